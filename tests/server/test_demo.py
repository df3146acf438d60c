"""The demo: what it starts it stops, and what is not its own it leaves alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from rich.console import Console

from server import demo
from server.hosting import HostingError, listen
from server.ray_head import find_head
from server.watch import time_left

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {
    "name": "small demo",
    "base": {
        "dataset": "digits",
        "split": {"train_size": 200},
        "noise": {"name": "symmetric", "rate": 0.4},
        "model": "small_cnn",
        "optimizer": {"name": "sgd", "lr": 0.02},
        "epochs": 2,
        "batch_size": 64,
    },
    "axes": {"seed": [0, 1]},
}


def small_grid(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({**SMALL, "base": SMALL["base"] | changes}))
    return path


def test_a_folder_of_somebody_else_is_not_forgotten(tmp_path: Path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(HostingError, match="something else than a demo"):
        demo.forget(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_an_earlier_demo_is_forgotten_whole(tmp_path: Path):
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / demo.MARKER).touch()
    (folder / "noisegrid.db").touch()
    demo.forget(folder)
    assert not folder.exists()


def test_nothing_to_forget_is_no_error(tmp_path: Path):
    demo.forget(tmp_path / "none")


def test_a_taken_port_gives_another_one():
    with listen("127.0.0.1", 0) as taken, demo._listen_nearby(taken.getsockname()[1]) as found:
        assert found.getsockname()[1] not in (0, taken.getsockname()[1])


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.2, "about 0:00 left"), (65, "about 1:05 left"), (3600 + 62, "about 1:01:02 left")]
)
def test_time_left_is_in_minutes_or_hours(seconds: float | None, text: str):
    assert time_left(seconds) == text


@pytest.mark.ray
def test_the_demo_ends_with_its_grid_leaves_no_ray_and_is_quick_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo, "GRID", small_grid(tmp_path / "grid.yaml"))
    monkeypatch.setattr(signal, "signal", lambda *handler: None)
    console = Console(width=120, record=True)
    assert demo.run_demo(0, tmp_path / "demo", fresh=False, exit_when_done=True, console=console) == 0
    assert find_head(tmp_path / "demo") is None
    text = console.export_text()
    assert "2 of 2 runs done" in text
    assert "wrong labels fitted" in text
    began = time.monotonic()
    assert demo.run_demo(0, tmp_path / "demo", fresh=False, exit_when_done=True, console=console) == 0
    assert time.monotonic() - began < 10


@pytest.mark.ray
def test_a_demo_whose_runs_fail_exits_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # A grid is valid without its files; its runs are not.
    monkeypatch.setattr(demo, "GRID", small_grid(tmp_path / "grid.yaml", noise={"name": "recorded", "path": "missing.csv"}))
    monkeypatch.setattr(signal, "signal", lambda *handler: None)
    console = Console(width=120, record=True)
    assert demo.run_demo(0, tmp_path / "demo", fresh=False, exit_when_done=True, console=console) == 1
    assert "2 failed" in console.export_text()


@pytest.mark.ray
def test_an_interrupted_demo_leaves_no_ray(tmp_path: Path):
    program = f"""
from pathlib import Path
from server import demo
from server.cli import app
demo.GRID = Path({str(small_grid(tmp_path / "grid.yaml", epochs=100_000))!r})
app(["demo", "--port", "0", "--data-dir", {str(tmp_path / "demo")!r}])
"""
    environment = {**os.environ, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        page = process.stdout.readline().split()[-1]
        server, grid_id = page.split("/grids/")
        assert any(_epochs_done(server, grid_id) for _ in _seconds(120)), "no epoch in two minutes"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130
    assert find_head(tmp_path / "demo") is None
    assert any(not _processes_about(tmp_path) for _ in _seconds(30)), _processes_about(tmp_path)


def _epochs_done(server: str, grid_id: str) -> int:
    return int(httpx.get(f"{server}/api/grids/{grid_id}", trust_env=False).json()["epochs_done"])


def _seconds(number: int) -> Iterator[int]:
    """A number a second."""
    for second in range(number):
        yield second
        time.sleep(1)


def _processes_about(folder: Path) -> list[str]:
    """Command lines that name the folder, other than this process's own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command and process.name != str(os.getpid()):
            found.append(command)
    return found
