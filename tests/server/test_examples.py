"""Examples of a run: in with the grid's token, out again, and as figures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import plotly.graph_objects as go
import pytest
import torch
from fastapi.testclient import TestClient

from server.app import create_app
from server.launcher import NullLauncher
from server.routes import examples as route
from server.settings import Settings
from spec.records import EXAMPLES, RunState
from tests.server.parts import FakeRunConfig, epoch, finished, grid_spec, started
from tests.server.served import serving
from tests.server.world import bearer, run_ids, send
from trainables.measures.examples import ExampleFits
from trainables.outbox import Service
from trainables.reporting import HttpReporter

Post = Callable[..., dict[str, Any]]


def file(loss: float = 0.5, models: tuple[str, ...] = ("", "ema_")) -> bytes:
    """100 examples, of which every fourth has a wrong label that the model has learned."""
    given_M = torch.arange(100) % 2
    true_M = torch.where(torch.arange(100) % 4 == 0, 1 - given_M, given_M)
    fit_M3 = torch.stack([torch.full((100,), loss), given_M.float(), torch.full((100,), 0.75)], dim=1)
    return ExampleFits.of(torch.arange(100), given_M, true_M, dict.fromkeys(models, fit_M3)).to_bytes()


@pytest.fixture
def grid(post: Post, client: TestClient) -> dict[str, Any]:
    """Two treatments, two seeds each; all done."""
    grid = post(grid_spec(method__sigma=[0.0, 0.5], seed=[0, 1]))
    for run_id in run_ids(client, grid):
        send(client, grid, started(run_id), epoch(run_id, 1), finished(run_id))
    return grid


def put(client: TestClient, grid: dict[str, Any], run_id: str, content: bytes, **headers: str) -> Any:
    address = f"/api/runs/{run_id}/examples"
    return client.put(address, params={"grid_id": grid["grid_id"]}, content=content, headers=headers or bearer(grid))


def test_what_is_put_is_what_is_got(client: TestClient, grid: dict[str, Any]):
    run_id, *_ = run_ids(client, grid)
    answer = put(client, grid, run_id, file())
    assert (answer.status_code, answer.json()) == (200, {"run_id": run_id, "num_examples": 100, "models": ["raw", "ema"]})
    got = client.get(f"/api/runs/{run_id}/examples")
    assert got.content == file()
    assert f"{run_id}-examples.npz" in got.headers["content-disposition"]


def test_a_later_file_takes_the_place_of_an_earlier_one(client: TestClient, grid: dict[str, Any], settings: Settings):
    run_id, *_ = run_ids(client, grid)
    for loss in (0.5, 0.25, 0.25):
        put(client, grid, run_id, file(loss)).raise_for_status()
    assert client.get(f"/api/runs/{run_id}/examples").content == file(0.25)
    assert [path.name for path in (settings.runs_dir / run_id).iterdir()] == ["examples.npz"]


def test_the_grid_s_token_is_needed(client: TestClient, post: Post, grid: dict[str, Any]):
    run_id, *_ = run_ids(client, grid)
    other = post(grid_spec("other", seed=[7]))
    assert put(client, grid, run_id, file(), Authorization="Bearer wrong").status_code == 401
    assert put(client, grid, run_id, file(), **bearer(other)).status_code == 401
    assert put(client, other, run_id, file()).status_code == 404, "the other grid does not hold the run"
    assert client.get(f"/api/runs/{run_id}/examples").status_code == 404


def test_a_file_that_no_run_writes_is_refused_and_the_one_before_stays(client: TestClient, grid: dict[str, Any]):
    run_id, *_ = run_ids(client, grid)
    put(client, grid, run_id, file()).raise_for_status()
    answer = put(client, grid, run_id, b"cposix\nsystem\n(S'true'\ntR.")
    assert answer.status_code == 422
    assert "expected an .npz file" in answer.json()["error"]
    assert client.get(f"/api/runs/{run_id}/examples").content == file()


def test_a_file_that_is_too_large_is_refused(client: TestClient, grid: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(route, "MAX_BYTES", 100)
    run_id, *_ = run_ids(client, grid)
    answer = put(client, grid, run_id, file())
    assert (answer.status_code, "measure.examples" in answer.json()["error"]) == (413, True)


def test_what_is_not_there_is_said(client: TestClient, grid: dict[str, Any]):
    run_id, *_ = run_ids(client, grid)
    assert "has left no examples" in client.get(f"/api/runs/{run_id}/examples").json()["error"]
    assert client.get("/api/runs/none/examples").status_code == 404
    figure = go.Figure(client.get(f"/api/runs/{run_id}/figures/dissection").json())
    assert (len(figure.data), figure.layout.annotations[0].text) == (0, "the run has left none here")


@pytest.mark.parametrize("kind", ["probabilities", "dissection"])
def test_a_run_s_figures_have_a_panel_for_each_model(client: TestClient, grid: dict[str, Any], kind: str):
    run_id, *_ = run_ids(client, grid)
    for models, titles in ((("",), ["raw model"]), (("", "ema_"), ["raw model", "EMA model"])):
        put(client, grid, run_id, file(models=models)).raise_for_status()
        figure = go.Figure(client.get(f"/api/runs/{run_id}/figures/{kind}").json())
        assert [annotation.text for annotation in figure.layout.annotations] == titles
        assert sum(sum(trace.y) for trace in figure.data if kind == "dissection") in (0, 100 * len(models))


def test_a_grid_shows_one_run_of_each_treatment_and_names_its_seed(client: TestClient, grid: dict[str, Any]):
    _, second, third, fourth = run_ids(client, grid)
    for run_id in (second, third, fourth):
        put(client, grid, run_id, file()).raise_for_status()
    address = f"/api/grids/{grid['grid_id']}/figures/dissection"
    figure = go.Figure(client.get(address).json())
    assert [annotation.text for annotation in figure.layout.annotations] == ["σ = 0<br>seed = 1", "σ = 0.5<br>seed = 0"]
    assert "one run of each treatment, no mean" in figure.layout.title.text
    assert client.get(address, params={"metric": "train_accuracy"}).status_code == 422


def test_a_grid_without_examples_says_so(client: TestClient, grid: dict[str, Any]):
    figure = go.Figure(client.get(f"/api/grids/{grid['grid_id']}/figures/probabilities").json())
    assert "no finished run has left" in figure.layout.annotations[0].text


def test_a_worker_on_another_machine_reaches_the_service(settings: Settings, tmp_path: Path):
    with serving(create_app(settings, NullLauncher(), FakeRunConfig)) as address:
        grid = httpx.post(f"{address}/api/grids?launch=external", json=grid_spec(seed=[0])).raise_for_status().json()
        (run,) = httpx.get(f"{address}/api/grids/{grid['grid_id']}/runs").json()["runs"]
        elsewhere = tmp_path / "elsewhere"
        with HttpReporter(elsewhere, run["run_id"], Service(address, grid["token"]), grid["grid_id"]) as reporter:
            (elsewhere / EXAMPLES).write_bytes(file())
            reporter.finished(RunState.DONE)
        assert httpx.get(f"{address}/api/runs/{run['run_id']}/examples").content == file()
