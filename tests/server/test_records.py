"""Records: what is acknowledged is kept, once; whose message may say what."""

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from server.tables import RunRow
from spec.summary import summarise
from tests.server.parts import epoch, finished, grid_spec, heartbeat, started
from tests.server.world import bearer, read_run, run_ids, send, state_of


@pytest.fixture
def grid(post) -> dict:
    return post(grid_spec(seed=[0, 1]))


@pytest.fixture
def run_id(client: TestClient, grid: dict) -> str:
    return run_ids(client, grid)[0]


def records(client: TestClient, run_id: str, **params: str) -> dict:
    return client.get(f"/api/runs/{run_id}/records", params=params).json()


def test_a_run_s_story_ends_in_its_view(client: TestClient, grid: dict, run_id: str):
    assert send(client, grid, started(run_id), epoch(run_id, 1), epoch(run_id, 2)) == {"accepted": 3, "cancelled": []}
    run = read_run(client, run_id)
    assert (run["state"], run["epoch"], run["attempt"]) == ("running", 2, 1)
    assert (run["noise_rate"], run["realised_rate"], run["noisy_hash"]) == (0.4, 0.38, "a" * 16)
    assert run["labels"]["counts"] == [[31, 19], [19, 31]]
    assert (run["num_train"], run["num_parameters"], run["device"], run["host"]) == (100, 1234, "cpu", "worker-1")
    send(client, grid, finished(run_id, "failed", error="ValueError: no", log_tail="Traceback"))
    run = read_run(client, run_id)
    assert (run["state"], run["error"], run["log_tail"]) == ("failed", "ValueError: no", "Traceback")


def test_a_batch_sent_twice_changes_nothing(client: TestClient, grid: dict, run_id: str):
    batch = [{"at": 100.0 + place, **message} for place, message in enumerate([started(run_id), epoch(run_id, 1), finished(run_id)])]
    send(client, grid, *batch)
    first = read_run(client, run_id), records(client, run_id)
    send(client, grid, *batch)
    again = read_run(client, run_id), records(client, run_id)
    assert {**first[0], "heard_at": 0} == {**again[0], "heard_at": 0}
    assert first[1] == again[1]
    assert again[1]["epochs"] == [1]


def test_epochs_out_of_order_are_in_order(client: TestClient, grid: dict, run_id: str):
    send(client, grid, epoch(run_id, 3), epoch(run_id, 1))
    send(client, grid, epoch(run_id, 2))
    assert records(client, run_id)["epochs"] == [1, 2, 3]
    assert read_run(client, run_id)["epoch"] == 3


def test_of_an_epoch_recorded_by_two_attempts_the_last_attempt_counts_even_if_the_first_comes_late(client, grid, run_id):
    send(client, grid, epoch(run_id, 1, test_accuracy=0.1), epoch(run_id, 3, test_accuracy=0.3))
    send(client, grid, epoch(run_id, 2, attempt=2, test_accuracy=0.5), epoch(run_id, 3, attempt=2, test_accuracy=0.6))
    send(client, grid, epoch(run_id, 2, test_accuracy=0.2))
    assert records(client, run_id) == {
        "run_id": run_id,
        "epochs": [1, 2, 3],
        "attempts": [1, 2, 2],
        "metrics": {"test_accuracy": [0.1, 0.5, 0.6]},
    }
    assert read_run(client, run_id)["summary"]["raw"]["last"] == 0.6
    values = client.app.state.noisegrid.store.metric_values(grid["grid_id"], "test_accuracy")
    assert sorted((number, value) for _, number, value in values) == [(1, 0.1), (2, 0.5), (3, 0.6)]


def test_the_summary_is_that_of_all_records_however_they_came(client: TestClient, grid: dict, run_id: str):
    metrics = {
        n: {"test_accuracy": (n * 7 % 5) / 10, "validation_accuracy": (n * 3 % 7) / 10, "ema_test_accuracy": n / 100} for n in range(1, 21)
    }
    for number in [5, 1, 2, 20, 3, 4, *range(6, 20)]:
        send(client, grid, epoch(run_id, number, **metrics[number], train_loss=1 / number))
    expected = summarise({n: {**values, "train_loss": 1 / n} for n, values in metrics.items()})
    assert read_run(client, run_id)["summary"] == expected.model_dump()


def test_the_summary_survives_a_change_that_is_rolled_back(client: TestClient, grid: dict, run_id: str, monkeypatch):
    send(client, grid, epoch(run_id, 1, test_accuracy=0.1))
    monkeypatch.setattr("server.store._records._update_progress", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        send(client, grid, epoch(run_id, 2, test_accuracy=0.9))
    monkeypatch.undo()
    send(client, grid, epoch(run_id, 3, test_accuracy=0.3))
    assert records(client, run_id)["epochs"] == [1, 3]
    assert read_run(client, run_id)["summary"]["raw"]["oracle_best"] == 0.3


def test_diverged_metrics_are_null(client: TestClient, grid: dict, run_id: str):
    body = f'{{"grid_id": "{grid["grid_id"]}", "messages": [{{"type": "epoch", "run_id": "{run_id}", "attempt": 1, "epoch": 1, '
    body += '"metrics": {"train_loss": NaN, "test_accuracy": null}}]}'
    answer = client.post("/api/records", content=body, headers={**bearer(grid), "Content-Type": "application/json"})
    assert answer.status_code == 200
    assert records(client, run_id)["metrics"] == {"train_loss": [None], "test_accuracy": [None]}


def test_only_the_asked_metrics_are_given_in_the_order_asked(client: TestClient, grid: dict, run_id: str):
    send(client, grid, epoch(run_id, 1, a=1.0, b=2.0, c=3.0), epoch(run_id, 2, a=1.5))
    assert records(client, run_id, metrics="b,a,z")["metrics"] == {"b": [2.0, None], "a": [1.0, 1.5], "z": [None, None]}


def test_a_message_of_a_run_that_the_grid_does_not_hold_refuses_the_whole_batch(client: TestClient, grid: dict, run_id: str, post):
    stranger = run_ids(client, post(grid_spec("other", seed=[7])))[0]
    batch = {"grid_id": grid["grid_id"], "messages": [epoch(run_id, 1), epoch(stranger, 1)]}
    answer = client.post("/api/records", json=batch, headers=bearer(grid))
    assert answer.status_code == 422
    assert answer.json()["problems"] == [
        {"path": "messages.1.run_id", "given": stranger, "message": f"grid {grid['grid_id']!r} has no run {stranger!r}"}
    ]
    assert records(client, run_id)["epochs"] == []


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic dTpw"}, {"Authorization": "Bearer é"}])
def test_without_the_grid_s_token_nothing_is_kept(client: TestClient, grid: dict, run_id: str, headers: dict):
    raw = {name: value.encode() for name, value in headers.items()}
    answer = client.post("/api/records", json={"grid_id": grid["grid_id"], "messages": [epoch(run_id, 1)]}, headers=raw)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert records(client, run_id)["epochs"] == []


def test_another_grid_s_token_is_not_enough(client: TestClient, grid: dict, run_id: str, post):
    other = post(grid_spec("other"))
    batch = {"grid_id": grid["grid_id"], "messages": [epoch(run_id, 1)]}
    assert client.post("/api/records", json=batch, headers=bearer(other)).status_code == 401


def test_a_cancelled_run_s_records_are_kept_and_its_sender_is_told(client: TestClient, grid: dict, run_id: str):
    send(client, grid, started(run_id), epoch(run_id, 1))
    client.post(f"/api/runs/{run_id}/cancel")
    assert send(client, grid, epoch(run_id, 2))["cancelled"] == [run_id]
    assert records(client, run_id)["epochs"] == [1, 2]
    assert state_of(client, run_id) == "cancelled"


def test_a_silent_run_reads_as_lost_and_runs_again_when_it_speaks(client: TestClient, grid: dict, run_id: str):
    send(client, grid, started(run_id))
    make_silent(client, run_id)
    assert state_of(client, run_id) == "lost"
    assert client.get(f"/api/grids/{grid['grid_id']}").json()["runs_by_state"] == {"lost": 1, "queued": 1}
    assert client.get(f"/api/grids/{grid['grid_id']}/runs", params={"state": "lost"}).json()["total"] == 1
    send(client, grid, heartbeat(run_id))
    assert state_of(client, run_id) == "running"


def test_the_sweep_marks_silent_runs_once_and_leaves_the_others(client: TestClient, grid: dict, run_id: str):
    other = run_ids(client, grid)[1]
    send(client, grid, started(run_id), started(other))
    make_silent(client, run_id)
    store = client.app.state.noisegrid.store
    assert (store.sweep_lost(), store.sweep_lost()) == (1, 0)
    assert (state_of(client, run_id), state_of(client, other)) == ("lost", "running")
    send(client, grid, epoch(run_id, 1))
    assert state_of(client, run_id) == "running"


def make_silent(client: TestClient, run_id: str) -> None:
    """As if the run was last heard of an hour ago."""
    change = update(RunRow).where(RunRow.run_id == run_id).values(heard_at=RunRow.heard_at - 3600)
    client.app.state.noisegrid.writer.write(lambda connection: connection.execute(change), timeout=10)


@pytest.mark.parametrize(
    ("message", "path", "said"),
    [
        ({"type": "epoc"}, "messages.0", "epoch"),
        ({"type": "epoch", "epoch": 0}, "messages.0.epoch", "greater than or equal to 1"),
        ({"type": "epoch", "attempt": 0}, "messages.0.attempt", "greater than or equal to 1"),
        ({"type": "epoch", "epoch": 2**70}, "messages.0.epoch", "less than or equal to"),
        ({"type": "epoch", "attempt": 2**70}, "messages.0.attempt", "less than or equal to"),
        ({"type": "epoch", "metrics": {"train_loss": "low"}}, "messages.0.metrics.train_loss", "valid number"),
        ({"type": "epoch", "metrics": {'a"b': 1.0}}, 'messages.0.metrics.a"b', "pattern"),
        ({"type": "epoch", "at": "NaN"}, "messages.0.at", "finite"),
        ({"type": "finished", "state": "running"}, "messages.0.state", "a run ends cancelled, done, failed"),
        ({"type": "heartbeat", "epohc": 1}, "messages.0.epohc", "unknown key"),
    ],
)
def test_a_bad_message_is_refused_with_its_place(client: TestClient, grid: dict, run_id: str, message: dict, path: str, said: str):
    whole = {"run_id": run_id, "attempt": 1} | ({"epoch": 1, "metrics": {}} if message["type"] == "epoch" else {}) | message
    answer = client.post("/api/records", json={"grid_id": grid["grid_id"], "messages": [whole]}, headers=bearer(grid))
    assert answer.status_code == 422
    problem = answer.json()["problems"][0]
    assert problem["path"].startswith(path)
    assert said in problem["message"]


def test_metric_names_are_those_of_all_runs(client: TestClient, grid: dict):
    first, second = run_ids(client, grid)
    send(client, grid, epoch(first, 1, a=1.0, b=1.0), epoch(second, 1, b=1.0, c=1.0))
    store = client.app.state.noisegrid.store
    assert store.metric_names(grid["grid_id"]) == ["a", "b", "c"]
    assert store.metric_values(grid["grid_id"], "c") == [(first, 1, None), (second, 1, 1.0)]
