"""TensorBoard event files: what is written is read back, tag by tag and step by step."""

import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import create_app
from server.launcher import NullLauncher
from server.re_sln_files import events, scalars
from server.routes import tensorboard
from server.settings import Settings
from server.tensorboard_files import EventFiles, Told, folder_name
from tests.server.parts import FakeRunConfig, epoch, finished, grid_spec, started
from tests.server.served import serving
from tests.server.test_cli import run_cli
from tests.server.world import run_ids, send

METRICS = {"train_accuracy": 0.5, "test_accuracy": 0.25, "test_loss": 2.0, "train_loss": 1.5, "corrupt_loss": 3.0, "pristine_loss": 1.0}


def read(folder: Path) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """Every scalar below a folder: (sub-folder, tag) -> steps and values."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        for tag, step, value in scalars(path):
            found.setdefault((str(path.parent.relative_to(folder)), tag), []).append((step, value))
    return found


def test_metrics_come_back_under_re_sln_s_tags(tmp_path: Path):
    with EventFiles(tmp_path / "run") as files:
        files.write([Told(1, METRICS, 100.0), Told(2, {"test_accuracy": 0.75, "objective": 1.0}, 101.0)])
    assert read(tmp_path / "run") == {
        (".", "accuracy/train"): [(1, 0.5)],
        (".", "accuracy/test"): [(1, 0.25), (2, 0.75)],
        (".", "loss/test"): [(1, 2.0)],
        ("loss_train_all", "loss/train"): [(1, 1.5)],
        ("loss_train_noisy", "loss/train"): [(1, 3.0)],
        ("loss_train_clean", "loss/train"): [(1, 1.0)],
    }


def test_the_average_is_a_run_of_its_own_under_the_same_tags(tmp_path: Path):
    with EventFiles(tmp_path / "run") as files:
        files.write([Told(1, {"test_accuracy": 0.25, "ema_test_accuracy": 0.5}, 100.0)])
    assert read(tmp_path) == {("run", "accuracy/test"): [(1, 0.25)], ("run-ema", "accuracy/test"): [(1, 0.5)]}


def test_epochs_are_appended_once_and_old_files_are_replaced(tmp_path: Path):
    told = [Told(number, {"test_accuracy": number / 4}, 100.0 + number) for number in (1, 2, 3)]
    for _ in range(2):
        with EventFiles(tmp_path / "run") as files:
            files.write(told[:2])
            files.write(told)
    assert read(tmp_path) == {("run", "accuracy/test"): [(1, 0.25), (2, 0.5), (3, 0.75)]}


def test_the_configuration_is_there_as_text(tmp_path: Path):
    with EventFiles(tmp_path / "run", {"epochs": 3}) as files:
        files.write([Told(1, METRICS, 100.0)])
    written = [event for path in (tmp_path / "run").glob("events*") for event in events(path)]
    texts = [value.tensor.string_val[0].decode() for event in written for value in event.summary.value if value.HasField("tensor")]
    assert [json.loads(text.removeprefix("```json\n").removesuffix("\n```")) for text in texts] == [{"epochs": 3}]


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ({}, "0123"),
        ({"noise.rate": 0.4, "method": "sln"}, "noise.rate=0.4-method=sln-0123"),
        ({"dataset": "a b:c", "ema": None}, "dataset=a_b_c-ema=none-0123"),
        ({"method": {"name": "sln", "sigma": 0.5, "correct_from": None}}, "method=sln_sigma_0.5-0123"),
    ],
)
def test_folders_have_names_that_no_shell_minds(factors: dict[str, Any], expected: str):
    assert folder_name("0123", factors) == expected


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    with serving(create_app(settings, NullLauncher(), FakeRunConfig)) as address, httpx.Client(base_url=address) as client:
        yield client


@pytest.fixture
def grid(client: httpx.Client) -> dict[str, Any]:
    """Two runs of three epochs, of which one is done."""
    grid: dict[str, Any] = client.post("/api/grids?launch=external", json=grid_spec(seed=[0, 1], base={"epochs": 3})).json()
    first, second = run_ids(client, grid)
    for run in (first, second):
        records = [epoch(run, number, test_accuracy=number / 4, train_seconds=10) for number in (1, 2, 3)]
        send(client, grid, started(run, at=1000.0), *records)
    send(client, grid, finished(first))
    return grid


def test_the_service_gives_a_grid_as_a_zip(client: httpx.Client, grid: dict[str, Any], tmp_path: Path):
    answer = client.get(f"/api/grids/{grid['grid_id']}/tensorboard")
    assert answer.headers["content-type"] == "application/zip"
    zipfile.ZipFile(io.BytesIO(answer.content)).extractall(tmp_path)
    names = [f"seed={seed}-{run}" for seed, run in enumerate(run_ids(client, grid))]
    assert read(tmp_path) == {(name, "accuracy/test"): [(1, 0.25), (2, 0.5), (3, 0.75)] for name in names}
    times = [event.wall_time for event in events(next((tmp_path / names[0]).glob("events*"))) if event.step]
    assert times == [1010.0, 1020.0, 1030.0]


def test_a_grid_that_is_too_large_is_refused_with_the_way_out(client: httpx.Client, grid: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tensorboard, "MAX_EPOCHS", 5)
    answer = client.get(f"/api/grids/{grid['grid_id']}/tensorboard")
    assert answer.status_code == 422
    assert "the grid has 6 epochs, a zip holds 5: use `noisegrid tensorboard" in answer.json()["error"]


def test_the_command_line_writes_a_grid_and_a_run(client: httpx.Client, grid: dict[str, Any], tmp_path: Path):
    first, second = run_ids(client, grid)
    server = str(client.base_url)
    assert run_cli("tensorboard", grid["grid_id"][:6], "--out", tmp_path / "grid", server=server).exit_code == 0
    assert run_cli("tensorboard", second, "--out", tmp_path / "run", server=server).exit_code == 0
    missing = run_cli("tensorboard", "ffff", "--out", tmp_path / "none", server=server)
    assert [name for name, _ in read(tmp_path / "grid")] == [f"seed=0-{first}", f"seed=1-{second}"]
    assert [name for name, _ in read(tmp_path / "run")] == [f"seed=1-{second}"]
    assert missing.exit_code == 1
    assert "no grid 'ffff'" in missing.stderr


def test_it_follows_a_grid_to_its_end(client: httpx.Client, grid: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("server.cli_tensorboard.POLL_SECONDS", 0.05)
    threading.Timer(0.3, lambda: send(client, grid, finished(run_ids(client, grid)[1]))).start()
    assert run_cli("tensorboard", grid["grid_id"], "--out", tmp_path, "--follow", server=str(client.base_url)).exit_code == 0
    assert client.get(f"/api/grids/{grid['grid_id']}").json()["state"] == "done"


def test_a_folder_that_train_left_needs_no_service(tmp_path: Path):
    (tmp_path / "run1").mkdir()
    line = epoch("r", 1, test_accuracy=0.5) | {"at": 5.0}
    (tmp_path / "run1" / "records.jsonl").write_text(json.dumps(line) + "\n")
    assert run_cli("tensorboard", tmp_path / "run1", "--out", tmp_path / "out").exit_code == 0
    assert read(tmp_path / "out") == {("run1", "accuracy/test"): [(1, 0.5)]}
    refused = run_cli("tensorboard", tmp_path, "--out", tmp_path / "out")
    assert "holds no records.jsonl" in refused.stderr
