"""The service as a whole: how it starts, what it says about itself, what it does when it cannot write."""

import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fastapi.testclient import TestClient

from server.app import create_app
from server.db import open_engine
from server.settings import Settings
from server.tables import Base
from server.tokens import Tokens, load_or_make_secret
from tests.server.parts import FakeRunConfig, epoch, grid_spec
from tests.server.world import bearer, read_run, run_ids, send


def test_importing_or_making_the_app_opens_nothing(tmp_path: Path):
    create_app(Settings(data_dir=tmp_path / "data"), run_type=FakeRunConfig)
    assert not (tmp_path / "data").exists()


def test_importing_the_app_imports_neither_torch_nor_ray():
    code = "import sys, server.app; sys.exit(str({'torch', 'ray'} & set(sys.modules)) if {'torch', 'ray'} & set(sys.modules) else 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_tables_are_what_the_migrations_make(client: TestClient, settings: Settings):
    engine = open_engine(settings.database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_what_was_written_is_there_after_a_restart(settings: Settings):
    with TestClient(create_app(settings, run_type=FakeRunConfig)) as client:
        grid = client.post("/api/grids", params={"launch": "external"}, json=grid_spec()).json()
        run_id = run_ids(client, grid)[0]
        send(client, grid, epoch(run_id, 1))
        before = client.app.state.noisegrid.store.sequence()
    with TestClient(create_app(settings, run_type=FakeRunConfig)) as client:
        assert client.app.state.noisegrid.store.sequence() == before
        # The token is good for as long as the secret is.
        send(client, grid, epoch(run_id, 2))
        assert read_run(client, run_id)["epoch"] == 2
        assert read_run(client, run_id)["summary"]["raw"]["oracle_best_epoch"] == 2


def test_a_second_service_on_the_same_folder_is_refused(client: TestClient, settings: Settings):
    second = TestClient(create_app(settings, run_type=FakeRunConfig))
    with pytest.raises(RuntimeError, match="another service runs on"), second:
        pass


def test_health_is_ok_and_then_not_when_the_writer_is_dead(client: TestClient, monkeypatch):
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"
    assert (answer.json()["writer_alive"], answer.json()["queued_writes"], answer.json()["ray"]) == (True, 0, "not started")
    monkeypatch.setattr("server.db.DEAD_AFTER_SECONDS", -1.0)
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["writer_alive"] is False


def test_a_full_queue_is_503_with_retry_after_and_nothing_of_it_is_kept(settings: Settings):
    app = create_app(settings.model_copy(update={"max_queued_writes": 1, "write_timeout_seconds": 0.2}), run_type=FakeRunConfig)
    with TestClient(app) as client:
        grid = client.post("/api/grids", params={"launch": "external"}, json=grid_spec()).json()
        run_id = run_ids(client, grid)[0]
        entered, done = threading.Event(), threading.Event()
        writer = app.state.noisegrid.writer
        held = writer.submit(lambda _: entered.set() or done.wait(20))
        assert entered.wait(10)
        waiting = writer.submit(lambda _: None)
        batch = {"grid_id": grid["grid_id"], "messages": [epoch(run_id, 1)]}
        refused = [client.post("/api/records", json=batch, headers=bearer(grid)), client.post(f"/api/grids/{grid['grid_id']}/cancel")]
        done.set()
        assert (held.result(10), waiting.result(10)) == (True, None)
        for answer in refused:
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert "1 changes wait" in answer.json()["error"]
        assert client.get(f"/api/runs/{run_id}/records").json()["epochs"] == []
        assert send(client, grid, epoch(run_id, 1))["accepted"] == 1


def test_a_commit_that_takes_too_long_is_503(settings: Settings):
    app = create_app(settings.model_copy(update={"write_timeout_seconds": 0.1}), run_type=FakeRunConfig)
    with TestClient(app) as client:
        grid = client.post("/api/grids", params={"launch": "external"}, json=grid_spec()).json()
        done = threading.Event()
        app.state.noisegrid.writer.submit(lambda _: done.wait(20))
        batch = {"grid_id": grid["grid_id"], "messages": [epoch(run_ids(client, grid)[0], 1)]}
        answer = client.post("/api/records", json=batch, headers=bearer(grid))
        done.set()
        assert answer.status_code == 503
        assert "no commit within 0.1 s" in answer.json()["error"]


def test_a_mistake_of_ours_is_a_500_of_the_usual_form(settings: Settings, monkeypatch):
    with TestClient(create_app(settings, run_type=FakeRunConfig), raise_server_exceptions=False) as client:
        monkeypatch.setattr(client.app.state.noisegrid.store, "grids", lambda *_: 1 / 0)
        answer = client.get("/api/grids")
    assert answer.status_code == 500
    assert "its log says why" in answer.json()["error"]


def test_the_schema_knows_the_parts(client: TestClient):
    schema = client.get("/api/schema").json()
    assert "epochs" in schema["required"]
    assert set(schema["properties"]["method"]["discriminator"]["mapping"]) == {"ce", "sln"}


def test_every_route_is_documented_and_every_documented_one_is_there(client: TestClient):
    contract = (Path(__file__).parents[2] / "docs" / "rest.md").read_text()
    documented = set(re.findall(r"^\| `(GET|POST|PUT) (/[\w/{}]+)", contract, re.MULTILINE))
    paths = client.get("/openapi.json").json()["paths"]
    served = {(method.upper(), re.sub(r"{(grid|run)_id}", "{id}", path)) for path, methods in paths.items() for method in methods}
    assert served == documented


def test_the_example_of_a_grid_in_openapi_is_one(client: TestClient):
    document = client.get("/openapi.json").json()
    body = document["paths"]["/api/grids"]["post"]["requestBody"]["content"]["application/json"]
    example = body["examples"]["digits"]["value"]
    assert client.post("/api/grids", json=example).json()["num_runs"] == 27


def test_the_log_is_the_launcher_s(client: TestClient, launcher, post, monkeypatch):
    grid = post(grid_spec())
    monkeypatch.setattr(launcher, "log", lambda grid_id, after: (f"log of {grid_id} from {after}", after + 5))
    answer = client.get(f"/api/grids/{grid['grid_id']}/logs", params={"after": 3})
    assert answer.json() == {"text": f"log of {grid['grid_id']} from 3", "next": 8}


def test_the_launcher_lives_as_long_as_the_service(settings: Settings, launcher, monkeypatch):
    calls: list[str] = []
    monkeypatch.setattr(launcher, "start", lambda service: calls.append(f"start {service.url} {service.store.active_grids()}"))
    monkeypatch.setattr(launcher, "close", lambda: calls.append("close"))
    with TestClient(create_app(settings, launcher, FakeRunConfig)):
        assert calls == ["start http://127.0.0.1:8642 []"]
    assert calls[1:] == ["close"]


def test_what_a_launcher_asks_of_the_store(client: TestClient, post):
    store = client.app.state.noisegrid.store
    post(grid_spec("elsewhere", seed=[9]))
    grid = post(grid_spec("ours"), launch="service")
    first, second = run_ids(client, grid)
    assert store.active_grids() == [grid["grid_id"]]
    assert [run.run_id for run in store.pending_runs(grid["grid_id"]).runs] == [first, second]
    client.post(f"/api/runs/{first}/cancel")
    store.set_message(grid["grid_id"], "waiting for a GPU")
    assert client.get(f"/api/grids/{grid['grid_id']}").json()["message"] == "waiting for a GPU"
    assert store.fail_runs(grid["grid_id"], "the driver died") == 1
    assert read_run(client, second)["error"] == "the driver died"
    assert read_run(client, first)["state"] == "cancelled"
    assert store.active_grids() == []


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path):
    path = tmp_path / "secret"
    secret = load_or_make_secret(path)
    assert load_or_make_secret(path) == secret
    assert len(secret) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_a_broken_secret_is_told_not_replaced(tmp_path: Path):
    (tmp_path / "secret").write_text("short")
    with pytest.raises(ValueError, match="does not hold 64 hex digits"):
        load_or_make_secret(tmp_path / "secret")


def test_a_token_is_for_one_grid_and_one_secret():
    tokens = Tokens(b"s" * 32)
    assert tokens.allows("a", tokens.of("a"))
    assert not tokens.allows("b", tokens.of("a"))
    assert not Tokens(b"t" * 32).allows("a", tokens.of("a"))
    assert not tokens.allows("a", "")


def test_settings_come_from_the_environment_and_paths_are_absolute(monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NOISEGRID_DATA_DIR", "here")
    monkeypatch.setenv("NOISEGRID_MAX_RUNS", "7")
    settings = Settings()
    assert settings.max_runs == 7
    assert settings.data_dir == tmp_path / "here"
    assert settings.dataset_root == tmp_path / "here" / "datasets"
    assert settings.database_url == f"sqlite:///{tmp_path / 'here' / 'noisegrid.db'}"
    assert Settings(dataset_root=Path("~/images")).dataset_root == Path(os.path.expanduser("~/images"))


def test_the_limit_of_runs_is_a_setting(tmp_path: Path):
    with TestClient(create_app(Settings(data_dir=tmp_path, max_runs=3), run_type=FakeRunConfig)) as client:
        answer = client.post("/api/grids", json=grid_spec(seed=[0, 1, 2, 3]))
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["message"] == "the grid has 4 runs, the limit is 3: shorten an axis"


def test_ten_thousand_runs_can_be_posted_listed_and_cancelled(client: TestClient, post):
    grid = post(grid_spec(seed=list(range(10_000))))
    page = client.get(f"/api/grids/{grid['grid_id']}/runs", params={"limit": 10_000}).json()
    assert (page["total"], len(page["runs"])) == (10_000, 10_000)
    other = post(grid_spec("other", seed=list(range(5_000, 10_000))))
    assert client.post(f"/api/grids/{grid['grid_id']}/cancel").json()["state"] == "cancelled"
    assert client.get(f"/api/grids/{other['grid_id']}").json()["runs_by_state"] == {"queued": 5_000}


def test_the_interactive_description_loads_nothing_from_elsewhere(client: TestClient):
    sources = re.findall(r'(?:src|href)="([^"]+)"', client.get("/docs").text)
    assert sources
    assert all(source.startswith("/") and client.get(source).status_code == 200 for source in sources), sources
