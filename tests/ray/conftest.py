"""A real service in a process of its own, with a Ray of its own on two CPUs, that tests may kill."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.client import Client
from server.ray_head import find_head, free_ports, stop_embedded
from server.views import RunView
from spec.records import FINAL_STATES
from trainables.record_file import messages_in

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 150.0


def wait_for(condition: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """What the condition gives when it gives something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds:g} s for {what}")


def digits(**changes: Any) -> dict[str, Any]:
    """A small run on digits, as a grid's base."""
    base = {
        "dataset": "digits",
        "split": {"train_size": 200, "test_size": 100},
        "noise": {"name": "symmetric", "rate": 0.4},
        "model": {"name": "small_cnn", "width": 4},
        "optimizer": {"name": "sgd", "lr": 0.02},
        "epochs": 3,
        "batch_size": 64,
    }
    return base | changes


class LiveService:
    """`noisegrid serve` as a process, on the same port and data directory however often it is killed."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.port = free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {"NOISEGRID_RAY_CPUS": "2", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "server.cli", "serve", "--port", str(self.port), "--data-dir", str(self.data_dir)]
        with (self.data_dir / "service.out").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        wait_for(self._answers, "the service to start", 60)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def post(self, name: str, **grid: Any) -> str:
        """Post a grid; gives its id."""
        with Client(self.url) as client:
            return client.create_grid({"name": name, **grid})[0].grid_id

    def runs(self, grid_id: str) -> list[RunView]:
        """The grid's runs, in its order."""
        with Client(self.url) as client:
            return [client.run(run.run_id) for run in client.runs(grid_id)]

    def finished(self, grid_id: str) -> list[RunView]:
        """The grid's runs, once all have ended."""

        def ended() -> list[RunView]:
            runs = self.runs(grid_id)
            return runs if all(run.state in FINAL_STATES for run in runs) else []

        found: list[RunView] = wait_for(ended, f"grid {grid_id} to end")
        return found

    def metrics(self, run_id: str) -> dict[str, list[float | None]]:
        """A run's records by metric, with its epochs and without wall times."""
        answer = httpx.get(f"{self.url}/api/runs/{run_id}/records").raise_for_status().json()
        return {"epoch": answer["epochs"]} | {k: v for k, v in answer["metrics"].items() if not k.endswith("_seconds")}

    def folder(self, run_id: str) -> Path:
        return self.data_dir / "runs" / run_id

    def recorded_epochs(self, run_id: str) -> int:
        """Epochs in the run's own file, whether or not the service has heard of them."""
        return sum(message["type"] == "epoch" for message in messages_in(self.folder(run_id)))

    def wait_for_epoch(self, run_id: str, epoch: int) -> None:
        """Wait until the run has recorded so many epochs, and is not over."""
        wait_for(lambda: self.recorded_epochs(run_id) >= epoch or self._over(run_id), f"epoch {epoch} of run {run_id}")
        assert not self._over(run_id), list(messages_in(self.folder(run_id)))[-1]

    def _over(self, run_id: str) -> bool:
        return any(message["type"] == "finished" for message in messages_in(self.folder(run_id)))

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").is_success
        except httpx.TransportError:
            return False


def processes(holds: str) -> list[int]:
    """Ids of the processes whose command line holds a text."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if holds in (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return [pid for pid in found if pid != os.getpid()]


def trainers(run_folder: Path) -> list[int]:
    """Ids of the processes that hold a run's record file: the one that trains it, or the first of its group."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if Path(os.readlink(link)) == run_folder / "records.jsonl":
                found.append(int(link.parts[2]))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return sorted(set(found) - {os.getpid()})


@pytest.fixture(scope="module")
def service() -> Iterator[LiveService]:
    # A short path: Ray's sockets lie in it.
    with tempfile.TemporaryDirectory(prefix="ng", ignore_cleanup_errors=True) as folder:
        live = LiveService(Path(folder))
        live.start()
        try:
            yield live
        finally:
            live.close()
            stop_embedded(live.data_dir)
            assert find_head(live.data_dir) is None
