"""Posting, reading, cancelling and resuming grids; what happens to runs that several grids hold."""

import time

import pytest
from fastapi.testclient import TestClient

from server.launcher import NullLauncher
from server.store import grid_state
from spec.records import RunState
from tests.server.parts import epoch, finished, grid_spec, heartbeat, started
from tests.server.world import bearer, driver_token, run_ids, send, state_of, work


def test_a_new_grid_is_created_with_its_factors_in_the_order_given(client: TestClient):
    answer = client.post("/api/grids", json=grid_spec(noise__rate=[0.4, 0.2], seed=[3, 1]))
    grid = answer.json()
    assert answer.status_code == 201
    assert grid["num_runs"] == 4
    assert grid["runs_by_state"] == {"queued": 4}
    assert grid["state"] == "queued"
    assert grid["epochs_total"] == 20
    assert grid["factors"] == [
        {"path": "noise.rate", "role": "condition", "values": [0.4, 0.2]},
        {"path": "seed", "role": "replicate", "values": [3, 1]},
    ]
    assert grid["token"] is None


def test_the_same_grid_again_is_the_same_grid_and_is_launched_once(client: TestClient, launcher: NullLauncher):
    first = client.post("/api/grids", json=grid_spec())
    again = client.post("/api/grids", json=grid_spec())
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert launcher.launched == [first.json()["grid_id"]]


def test_a_grid_launched_from_elsewhere_gets_a_token_and_is_not_launched(client: TestClient, launcher: NullLauncher):
    answer = client.post("/api/grids", params={"launch": "external"}, json=grid_spec())
    assert len(answer.json()["token"]) == 64
    assert launcher.launched == []


def test_grids_are_listed_newest_first_with_the_true_total(client: TestClient):
    for name in ("first", "second", "third"):
        client.post("/api/grids", json=grid_spec(name))
    page = client.get("/api/grids", params={"limit": 2}).json()
    assert page["total"] == 3
    assert [grid["name"] for grid in page["grids"]] == ["third", "second"]
    assert [grid["name"] for grid in client.get("/api/grids", params={"offset": 2}).json()["grids"]] == ["first"]


def test_a_grid_keeps_its_specification(client: TestClient, post):
    grid = post(grid_spec("kept"))
    spec = client.get(f"/api/grids/{grid['grid_id']}").json()["spec"]
    assert spec["name"] == "kept"
    assert spec["axes"] == {"seed": [0, 1]}
    assert client.post("/api/grids", json=spec).json()["grid_id"] == grid["grid_id"]


@pytest.mark.parametrize(
    "path",
    ["/api/grids/{}", "/api/grids/{}/runs", "/api/grids/{}/events", "/api/grids/{}/logs", "/api/runs/{}", "/api/runs/{}/records"],
)
def test_an_unknown_id_is_404_and_named(client: TestClient, path: str):
    answer = client.get(path.format("0123abc"))
    assert answer.status_code == 404
    assert "'0123abc'" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/api/grids/{}/cancel", "/api/grids/{}/resume", "/api/runs/{}/cancel"])
def test_an_action_on_an_unknown_id_is_404(client: TestClient, path: str):
    assert client.post(path.format("0123abc")).status_code == 404


def test_work_is_what_is_left_in_order_and_needs_the_token(client: TestClient, post):
    grid = post(grid_spec(seed=[0, 1, 2]))
    first, second, third = run_ids(client, grid)
    send(client, grid, started(first), finished(first), started(third))
    assert work(client, grid) == [second, third]
    assert client.get(f"/api/grids/{grid['grid_id']}/work").status_code == 401
    other = post(grid_spec("other"))
    assert client.get(f"/api/grids/{grid['grid_id']}/work", headers=bearer(other)).status_code == 401


def test_work_says_how_many_attempts_there_were(client: TestClient, post):
    grid = post(grid_spec(seed=[0]))
    (run_id,) = run_ids(client, grid)
    send(client, grid, started(run_id, attempt=3))
    answer = client.get(f"/api/grids/{grid['grid_id']}/work", headers=bearer(grid)).json()
    assert answer["runs"][0]["attempts"] == 3
    assert answer["runs"][0]["config"]["seed"] == 0


def test_cancelling_a_grid_cancels_what_is_unfinished_and_stops_its_driver(client: TestClient, launcher: NullLauncher, post):
    grid = post(grid_spec(seed=[0, 1, 2]))
    done, running, _ = run_ids(client, grid)
    send(client, grid, started(done), finished(done), started(running))
    view = client.post(f"/api/grids/{grid['grid_id']}/cancel").json()
    assert view["state"] == "cancelled"
    assert view["runs_by_state"] == {"cancelled": 2, "done": 1}
    assert launcher.stopped == [grid["grid_id"]]
    assert send(client, grid, heartbeat(running), heartbeat(done))["cancelled"] == [running]


def test_cancelling_a_finished_grid_leaves_it_done(client: TestClient, post):
    grid = post(grid_spec(seed=[0]))
    (run_id,) = run_ids(client, grid)
    send(client, grid, started(run_id), finished(run_id))
    assert client.post(f"/api/grids/{grid['grid_id']}/cancel").json()["state"] == "done"


def test_resuming_queues_failed_and_cancelled_runs_again(client: TestClient, launcher: NullLauncher):
    grid = client.post("/api/grids", json=grid_spec(seed=[0, 1, 2])).json()
    grid["token"] = driver_token(client, grid)
    done, failed, _ = run_ids(client, grid)
    send(client, grid, started(done), finished(done), started(failed), finished(failed, "failed", error="out of memory"))
    client.post(f"/api/grids/{grid['grid_id']}/cancel")
    view = client.post(f"/api/grids/{grid['grid_id']}/resume").json()
    assert view["runs_by_state"] == {"queued": 2, "done": 1}
    assert view["state"] == "running"
    assert launcher.launched == [grid["grid_id"], grid["grid_id"]]
    assert client.get(f"/api/runs/{failed}").json()["error"] is None


def test_a_resumed_grid_that_is_made_elsewhere_right_now_stays_there(client: TestClient, launcher: NullLauncher, post):
    grid = post(grid_spec())
    first, second = run_ids(client, grid)
    send(client, grid, started(first), started(second), finished(second, "failed"))
    client.post(f"/api/grids/{grid['grid_id']}/resume")
    assert launcher.launched == []


def test_a_resumed_grid_that_nobody_makes_is_taken_over(client: TestClient, launcher: NullLauncher, post):
    grid = post(grid_spec())
    client.post(f"/api/grids/{grid['grid_id']}/cancel")
    client.post(f"/api/grids/{grid['grid_id']}/resume")
    assert launcher.launched == [grid["grid_id"]]


def test_a_cancelled_run_is_cancelled_for_every_grid_and_a_done_one_is_not(client: TestClient, post):
    one, two = post(grid_spec("one")), post(grid_spec("two"))
    first, second = run_ids(client, one)
    send(client, one, started(second), finished(second))
    assert client.post(f"/api/runs/{first}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/api/runs/{second}/cancel").json()["state"] == "done"
    assert client.get(f"/api/grids/{two['grid_id']}").json()["runs_by_state"] == {"cancelled": 1, "done": 1}


def test_a_done_run_is_reused_by_a_later_grid(client: TestClient, launcher: NullLauncher, post):
    one = post(grid_spec("one", seed=[0]))
    (run_id,) = run_ids(client, one)
    send(client, one, started(run_id), epoch(run_id, 1), finished(run_id))
    two = client.post("/api/grids", json=grid_spec("two", seed=[0])).json()
    assert two["state"] == "done"
    assert run_ids(client, two) == [run_id]
    assert launcher.launched == []


def test_a_run_that_another_grid_is_making_stays_with_it(client: TestClient, post):
    one = post(grid_spec("one", seed=[0, 1]))
    two = post(grid_spec("two", seed=[1, 2]))
    shared, own = run_ids(client, two)
    assert work(client, one) == run_ids(client, one)
    assert work(client, two) == [own]
    send(client, one, started(shared))
    assert client.get(f"/api/grids/{two['grid_id']}").json()["runs_by_state"] == {"running": 1, "queued": 1}


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_a_failed_or_cancelled_run_is_queued_again_by_a_new_grid(client: TestClient, post, end: str):
    one = post(grid_spec("one", seed=[0]))
    (run_id,) = run_ids(client, one)
    send(client, one, started(run_id), finished(run_id, end, error="broke"))
    two = post(grid_spec("two", seed=[0]))
    assert state_of(client, run_id) == "queued"
    assert work(client, two) == [run_id]
    assert work(client, one) == []


def test_cancelling_hands_shared_runs_to_the_grid_that_still_wants_them(client: TestClient, launcher: NullLauncher, post):
    one = post(grid_spec("one", seed=[0, 1]))
    two = client.post("/api/grids", json=grid_spec("two", seed=[1])).json()
    alone, shared = run_ids(client, one)
    send(client, one, started(shared), epoch(shared, 1))
    launcher.launched.clear()
    view = client.post(f"/api/grids/{one['grid_id']}/cancel").json()
    assert state_of(client, alone) == "cancelled"
    assert state_of(client, shared) == "queued"
    assert view["state"] == "cancelled"
    assert launcher.launched == [two["grid_id"]]
    # The first grid's worker, which still trains it, is told to stop, and its late messages do not take the run up again.
    assert send(client, one, epoch(shared, 2))["cancelled"] == [shared]
    assert state_of(client, shared) == "queued"
    two["token"] = driver_token(client, two)
    assert send(client, two, started(shared, attempt=2))["cancelled"] == []
    assert state_of(client, shared) == "running"


def test_cancelling_a_grid_leaves_runs_that_another_one_makes(client: TestClient, post):
    one = post(grid_spec("one", seed=[0]))
    two = post(grid_spec("two", seed=[0, 1]))
    shared, own = run_ids(client, two)
    client.post(f"/api/grids/{two['grid_id']}/cancel")
    assert state_of(client, shared) == "queued"
    assert state_of(client, own) == "cancelled"
    assert work(client, one) == [shared]


def test_a_shared_run_is_cancelled_with_the_last_grid_that_wants_it(client: TestClient, post):
    grids = [post(grid_spec(name, seed=[0])) for name in ("one", "two", "three")]
    (run_id,) = run_ids(client, grids[0])
    states = []
    for grid in grids:
        client.post(f"/api/grids/{grid['grid_id']}/cancel")
        states.append(state_of(client, run_id))
    assert states == ["queued", "queued", "cancelled"]


def test_the_time_left_is_estimated_from_the_epochs_so_far(client: TestClient, post):
    grid = post(grid_spec(seed=[0, 1]))
    first, _ = run_ids(client, grid)
    send(client, grid, started(first))
    assert client.get(f"/api/grids/{grid['grid_id']}").json()["seconds_left"] is None
    send(client, grid, epoch(first, 1), epoch(first, 2))
    view = client.get(f"/api/grids/{grid['grid_id']}").json()
    assert view["epochs_done"] == 2
    assert 0 < view["seconds_left"] < 60


@pytest.mark.parametrize(
    ("runs", "cancelled", "expected"),
    [
        ({RunState.QUEUED: 2}, False, "queued"),
        ({RunState.QUEUED: 2, RunState.RUNNING: 1}, False, "running"),
        ({RunState.QUEUED: 2, RunState.DONE: 1}, False, "running"),
        ({RunState.LOST: 1, RunState.DONE: 3}, False, "running"),
        ({RunState.DONE: 3}, False, "done"),
        ({RunState.DONE: 3, RunState.FAILED: 1, RunState.CANCELLED: 1}, False, "failed"),
        ({RunState.DONE: 3, RunState.CANCELLED: 1}, False, "cancelled"),
        ({RunState.RUNNING: 1}, True, "cancelled"),
    ],
)
def test_a_grid_stands_as_its_runs_do(runs: dict[RunState, int], cancelled: bool, expected: str):
    assert grid_state(runs, cancelled) == expected


def test_nobody_else_may_drive_a_grid_that_the_service_launches(client: TestClient):
    client.post("/api/grids", json=grid_spec())
    again = client.post("/api/grids", params={"launch": "external"}, json=grid_spec())
    assert (again.status_code, again.json()["token"]) == (200, None)


def test_a_grid_says_what_its_runs_share_and_what_that_has_saved(client: TestClient, post):
    grid = post(grid_spec(epochs=[2, 5]))
    assert (grid["num_runs"], grid["epochs_total"], grid["epochs_shared"], grid["epochs_saved"]) == (2, 7, 2, 0)
    answer = client.get(f"/api/grids/{grid['grid_id']}/work", headers=bearer(grid)).json()
    assert [run["fork"] for run in answer["runs"]] == [{"wave": 1, "after": 2, "shared": [2]}, {"wave": 0, "after": 0, "shared": [2]}]
    short, long = run_ids(client, grid)
    send(client, grid, started(long), *(epoch(long, number) for number in range(1, 6)), finished(long))
    # Nothing is left to train: no time, either.
    assert client.get(f"/api/grids/{grid['grid_id']}").json()["seconds_left"] is None
    send(client, grid, started(short, forked_after=2), epoch(short, 1), epoch(short, 2), finished(short))
    assert client.get(f"/api/grids/{grid['grid_id']}").json()["epochs_saved"] == 2
    assert client.get(f"/api/runs/{short}").json()["forked_after"] == 2


def test_the_time_left_counts_epochs_that_are_trained(client: TestClient, post):
    grid = post(grid_spec(epochs=[10, 20]))
    _, long = run_ids(client, grid)
    began = time.time()
    send(client, grid, started(long, at=began), *(epoch(long, number) for number in range(1, 11)))
    earliest = time.time() - began
    seconds_left = client.get(f"/api/grids/{grid['grid_id']}").json()["seconds_left"]
    # Ten epochs so far; ten more of the long run, and none of the short one.
    assert earliest <= seconds_left <= time.time() - began


def test_a_resumed_run_keeps_where_its_first_epochs_came_from(client: TestClient, post):
    grid = post(grid_spec(epochs=[2, 5]))
    run = run_ids(client, grid)[1]
    send(client, grid, started(run, forked_after=2), epoch(run, 1), epoch(run, 2), epoch(run, 3))
    send(client, grid, started(run, attempt=2, resumed_from=3))
    assert client.get(f"/api/runs/{run}").json()["forked_after"] == 2
