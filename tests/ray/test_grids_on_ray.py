"""Whole grids through a real service, Ray Tune and DDP workers, with everything killed once."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import torch

from server.ray_head import find_head, free_ports, token_file
from server.views import RunView
from spec.records import RunState
from tests.ray.conftest import ROOT, LiveService, digits, processes, trainers, wait_for
from tests.trainables.runs import KeepingReporter
from trainables.measures.examples import read_fits
from trainables.outbox import EXAMPLES_SENT
from trainables.parts import RunConfig
from trainables.train import Folders, execute
from trainables.world import World

# Epochs that last long enough to be killed in.
SLOW = {"split": {}, "model": {"name": "small_cnn", "width": 16}}

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


def alone(config: dict, folder: Path) -> dict[str, list[float]]:
    """The metrics of a run that nobody disturbs, in this process."""
    reporter = KeepingReporter()
    torch.set_num_threads(1)
    execute(RunConfig.model_validate(config), Folders(folder / "data", folder / "run"), reporter, World.alone(torch.device("cpu")))
    rows = [{"epoch": epoch, **metrics} for epoch, metrics in sorted(reporter.epochs.items())]
    return {name: [row[name] for row in rows] for name in rows[0]}


def log_of(service: LiveService, grid_id: str) -> str:
    return str(httpx.get(f"{service.url}/api/grids/{grid_id}/logs").json()["text"])


@pytest.fixture(scope="module")
def mixed(service: LiveService) -> tuple[str, list[RunView]]:
    """A grid with a run of one worker, one of two, of which one is killed, and one that raises; and its runs at the end."""
    cells = [{"workers": 1}, {"workers": 2}, {"dataset": "cifar10", "workers": 1}]
    grid_id = service.post("mixed", base=digits(epochs=30, **SLOW), cells=cells)
    of_two = service.runs(grid_id)[1].run_id
    service.wait_for_epoch(of_two, 3)
    [first] = trainers(service.folder(of_two))
    second = next(pid for pid in processes("RayTrainWorker") if pid != first and parent(pid) == parent(first))
    os.kill(second, signal.SIGKILL)
    return grid_id, service.finished(grid_id)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_run_on_ray_gives_the_numbers_of_one_without(service: LiveService, mixed: tuple[str, list[RunView]], tmp_path: Path):
    _, (one, _, _) = mixed
    assert one.state is RunState.DONE
    assert service.metrics(one.run_id) == alone(one.config, tmp_path)


def test_one_and_two_workers_are_given_the_same_labels(mixed: tuple[str, list[RunView]]):
    _, (one, two, _) = mixed
    assert one.noisy_hash == two.noisy_hash is not None


def test_a_killed_process_of_a_group_is_replaced(service: LiveService, mixed: tuple[str, list[RunView]]):
    _, (_, two, _) = mixed
    assert (two.state, two.attempt) == (RunState.DONE, 2)
    assert service.metrics(two.run_id)["epoch"] == list(range(1, 31))


def test_one_and_two_workers_leave_their_examples_with_the_service(service: LiveService, mixed: tuple[str, list[RunView]]):
    for run in mixed[1][:2]:
        content = httpx.get(f"{service.url}/api/runs/{run.run_id}/examples").raise_for_status().content
        assert len(read_fits(content, 2**20).shared["index"]) == run.num_train
        assert (service.folder(run.run_id) / EXAMPLES_SENT).exists()


def test_a_run_that_raises_fails_alone_and_once(service: LiveService, mixed: tuple[str, list[RunView]]):
    grid_id, (_, _, broken) = mixed
    assert (broken.state, broken.attempt) == (RunState.FAILED, 1)
    assert "cifar" in (broken.error or "").lower()
    assert "Traceback" in broken.log_tail
    wait_for(lambda: "2 done, 1 failed" in log_of(service, grid_id), "the driver's last line", 30)


def test_a_run_whose_process_is_killed_ends_with_the_numbers_of_an_unbroken_one(service: LiveService, tmp_path: Path):
    grid_id = service.post("killed worker", base=digits(epochs=30, **SLOW), cells=[{"seed": 1}])
    run = service.runs(grid_id)[0]
    service.wait_for_epoch(run.run_id, 3)
    [pid] = trainers(service.folder(run.run_id))
    os.kill(pid, signal.SIGKILL)
    [run] = service.finished(grid_id)
    assert run.state is RunState.DONE
    assert run.attempt == 2
    assert service.metrics(run.run_id) == alone(run.config, tmp_path)


def test_nothing_is_lost_when_the_driver_and_the_service_are_killed(service: LiveService, tmp_path: Path):
    base = digits(epochs=40, **SLOW)
    grid_id = service.post("killed driver", base=base, axes={"seed": [3, 4]})
    first, second = (run.run_id for run in service.runs(grid_id))
    service.wait_for_epoch(first, 2)
    for pid in processes(f"trainables.launch --grid-id {grid_id}"):
        os.kill(pid, signal.SIGKILL)
    before = service.recorded_epochs(second)
    service.wait_for_epoch(second, before + 2)
    service.kill()
    before = service.recorded_epochs(first)
    service.wait_for_epoch(first, before + 2)
    service.start()
    for run in service.finished(grid_id):
        assert run.state is RunState.DONE
        assert service.metrics(run.run_id) == alone(run.config, tmp_path / run.run_id)


def test_a_cancelled_run_stops_alone_and_a_cancelled_grid_stops_its_driver(service: LiveService):
    base = digits(epochs=5000, **SLOW)
    grid_id = service.post("cancelled", base=base, axes={"seed": [5, 6, 7]})
    first, second, _ = (run.run_id for run in service.runs(grid_id))
    service.wait_for_epoch(first, 1)
    httpx.post(f"{service.url}/api/runs/{first}/cancel").raise_for_status()
    wait_for(lambda: not trainers(service.folder(first)), "the cancelled run to stop", 30)
    before = service.recorded_epochs(second)
    service.wait_for_epoch(second, before + 1)
    httpx.post(f"{service.url}/api/grids/{grid_id}/cancel").raise_for_status()
    wait_for(lambda: not processes(f"trainables.launch --grid-id {grid_id}"), "the driver to stop", 30)
    wait_for(lambda: not trainers(service.folder(second)), "the second run to stop", 30)
    assert {run.state for run in service.runs(grid_id)} == {RunState.CANCELLED}


def test_a_grid_from_ray_job_submit_spans_two_nodes(service: LiveService, tmp_path: Path):
    service.finished(service.post("starts Ray", base=digits(epochs=1), cells=[{"seed": 8}]))
    head = find_head(service.data_dir)
    assert head is not None
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token_file(service.data_dir))}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | token
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--address={head.cluster_address}", "--num-cpus=2", "--block"]
    command += [f"--dashboard-agent-listen-port={free_ports(1)[0]}", "--min-worker-port=0", "--max-worker-port=0"]
    # Nodes on one machine would share their copies of the working directory, and one would remove it too early.
    command += [f"--temp-dir={service.data_dir / 'n'}"]
    with (tmp_path / "node.log").open("wb") as log:
        node = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        submitted = submit(service, head.url, environment, tmp_path)
        assert submitted.returncode == 0, submitted.stdout
        assert "1 runs on 2 node(s)" in submitted.stdout
    finally:
        node.terminate()
        node.wait(30)
    with httpx.Client(base_url=service.url) as client:
        grid = client.get("/api/grids").json()["grids"][0]
        assert grid["name"] == "from the cluster"
        [run] = client.get(f"/api/grids/{grid['grid_id']}/runs").json()["runs"]
    assert run["state"] == "done"
    assert service.metrics(run["run_id"])["epoch"] == [1, 2, 3]


def submit(service: LiveService, url: str, environment: dict[str, str], folder: Path) -> "subprocess.CompletedProcess[str]":
    """`ray job submit` of a grid whose one run has more workers than a node has CPUs."""
    code = folder / "code"
    for package in ("spec", "noise", "models", "trainables"):
        shutil.copytree(ROOT / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    grid = {"name": "from the cluster", "base": digits(workers=3), "cells": [{"seed": 9}]}
    (code / "grid.yaml").write_text(str(grid))
    entrypoint = ["python", "-m", "trainables.launch", "grid.yaml", "--server", service.url, "--out", str(folder / "runs")]
    command = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "job",
        "submit",
        "--address",
        url,
        "--working-dir",
        str(code),
        "--",
        *entrypoint,
    ]
    return subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)


def test_runs_that_are_the_same_up_to_an_epoch_train_it_once(service: LiveService, tmp_path: Path):
    base = digits(epochs=5, method={"name": "sln", "sigma": 0.5}, ema={"decay": 0.9})
    grid_id = service.post("forks", base=base, axes={"workers": [1, 2], "method.correct_from": [None, 4]})
    runs = service.finished(grid_id)
    assert [(run.state, run.forked_after, run.error) for run in runs] == [(RunState.DONE, after, None) for after in (0, 3)] * 2
    for run in runs[:2]:
        assert service.metrics(run.run_id) == alone(run.config, tmp_path / run.run_id)
    grid = httpx.get(f"{service.url}/api/grids/{grid_id}").json()
    assert (grid["epochs_total"], grid["epochs_shared"], grid["epochs_saved"]) == (20, 6, 6)
    wait_for(lambda: not (service.data_dir / "runs" / ".prefixes" / grid_id).exists(), "the driver to clear up", 30)


def test_runs_that_do_worse_are_stopped_early_and_another_grid_trains_them_to_their_end(service: LiveService, tmp_path: Path):
    # The second learning rate learns nothing.
    base = digits(epochs=12, split={"validation": 0.2, "train_size": 300, "test_size": 100}, seed=11)
    grid = {"base": base, "axes": {"optimizer.lr": [0.05, 1e-7]}}
    rule = {"early_stopping": {"grace_epochs": 3, "reduction_factor": 2}, "resources": {"max_concurrent": 1}}
    good, bad = service.finished(service.post("asha", **grid, **rule))
    assert [(run.state, run.epoch, run.error) for run in (good, bad)] == [(RunState.DONE, 12, None), (RunState.STOPPED, 3, None)]
    good, bad = service.finished(service.post("all of them", **grid))
    assert [(run.state, run.epoch) for run in (good, bad)] == [(RunState.DONE, 12)] * 2
    assert service.metrics(bad.run_id) == alone(bad.config, tmp_path)
