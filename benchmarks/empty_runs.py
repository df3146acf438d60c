"""Seconds and CPU-seconds that a run costs which trains nothing: Noisegrid's trials against bare Ray Tune's.

    python -m benchmarks.empty_runs [--trials 512] [--quick] [--out empty_runs.json]

Each variant runs the same number of trials of three epochs on a Ray of four CPUs. Variants are interleaved over the rounds, so that
what else the machine does falls on all of them alike; the ratios are the result. CPU time is that of all processes of this Ray.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, NamedTuple

import ray
from ray import tune

from benchmarks.report import print_report, ratio_rows
from server.ray_head import start_head, stop_embedded, token_file
from spec.grid import Resources
from spec.records import LabelCard, RunFacts, RunState, Work, WorkItem
from trainables import launch, search
from trainables.parts import RunConfig
from trainables.reporting import Reporter
from trainables.worker import Job, set_up_process

EPOCHS = 3
CPUS = 4
HEAD_PID = "NOISEGRID_BENCHMARK_HEAD_PID"
METRICS = {"objective": 1.0, "test_accuracy": 0.5}


class Cost(NamedTuple):
    """What a trial costs."""

    wall_seconds: float
    cpu_seconds: float


def empty_execute(run: Any, folders: Any, reporter: Reporter, world: Any, shared: Any = ()) -> RunState:
    """`trainables.train.execute` without data, model and training; all that it says, it says."""
    labels = LabelCard(
        noise="none", noise_rate=0, realised_rate=0, num_examples=0, num_corrupt=0, class_names=[], counts=[], clean_hash="", noisy_hash=""
    )
    device = str(world.device)
    reporter.started(RunFacts(labels=labels, num_train=0, num_validation=0, num_test=0, num_parameters=0, device=device))
    for epoch in range(1, EPOCHS + 1):
        if world.any(reporter.stop_requested):
            return RunState.CANCELLED
        if world.rank == 0:
            reporter.epoch(epoch, METRICS)
    return RunState.DONE


def empty_function(config: dict[str, Any]) -> None:
    """What Tune's users write who need nothing else."""
    for epoch in range(1, EPOCHS + 1):
        tune.report({"epoch": epoch, **METRICS})


def set_up_worker() -> None:
    """In every process: what a grid's driver has done there, and in the place of training something that trains nothing."""
    set_up_process()
    # Not imported and patched: that would bring PyTorch into Ray's helper processes, which have none.
    stand_in = ModuleType("trainables.train")
    stand_in.__dict__.update(execute=empty_execute, Folders=lambda *paths: paths)
    sys.modules["trainables.train"] = stand_in


class Sink:
    """A service that takes everything and keeps nothing."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _SinkHandler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()


class _SinkHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"accepted": 1, "cancelled": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class CpuMeter:
    """CPU-seconds of a process tree and of this process, sampled: those of processes that end are not lost."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._seconds: dict[tuple[int, str], float] = {}
        Thread(target=self._sample_for_ever, daemon=True).start()

    def total(self) -> float:
        self._sample()
        return sum(self._seconds.values())

    def _sample_for_ever(self) -> None:
        while True:
            self._sample()
            time.sleep(0.1)

    def _sample(self) -> None:
        fields = {int(path.parent.name): found for path in Path("/proc").glob("[0-9]*/stat") if (found := _stat(path))}
        family = {self._root, os.getpid()}
        for pid in sorted(fields, key=lambda pid: int(fields[pid][19])):
            if int(fields[pid][1]) in family - {os.getpid()}:
                family.add(pid)
        for pid in family & fields.keys():
            ticks = int(fields[pid][11]) + int(fields[pid][12])
            self._seconds[pid, fields[pid][19]] = ticks / os.sysconf("SC_CLK_TCK")


def _stat(path: Path) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state, parent, ...; user and system ticks are 11 and 12, the start is 19."""
    try:
        return path.read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def bare_tune(trials: int, job: Job) -> None:
    """Ray Tune with a plain function, its actors reused."""
    tune.Tuner(
        tune.with_resources(empty_function, {"CPU": 1}),
        param_space={"trial": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(storage_path=str(job.out / "bare"), verbose=0),
    ).fit()


def ours(workers: int, runs_per_group: int = search.RUNS_PER_GROUP) -> Callable[[int, Job], None]:
    """Noisegrid's trials of so many workers; a DDP group trains so many of them, one after the other."""

    def make(trials: int, job: Job) -> None:
        search.RUNS_PER_GROUP = runs_per_group
        runs = [empty_run(workers, seed) for seed in range(trials)]
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        search.run_all(Work(grid_id=job.grid_id, resources=job.resources, runs=runs), job, nodes, lambda run_id, death: None)

    return make


def empty_run(workers: int, seed: int) -> WorkItem:
    config = {
        "dataset": "digits",
        "noise": {"name": "symmetric", "rate": 0.4},
        "model": "small_cnn",
        "optimizer": {"name": "sgd", "lr": 0.1},
    }
    run = RunConfig.model_validate(config | {"epochs": EPOCHS, "workers": workers, "seed": seed})
    return WorkItem(run_id=run.run_id, config=run.resolved())


def measure(variant: Callable[[int, Job], None], trials: int, sink: Sink, meter: CpuMeter) -> Cost:
    """What one trial cost, of so many."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job("bench", sink.url, "token", Path(folder), Path(folder), Resources())
        cpu_before, began = meter.total(), time.perf_counter()
        variant(trials, job)
        return Cost((time.perf_counter() - began) / trials, (meter.total() - cpu_before) / trials)


def run_rounds(rounds: int, trials: dict[str, int], head_pid: int) -> list[dict[str, Any]]:
    """Every variant once a round; a row for each variant and each of wall and CPU time, per trial."""
    variants = {
        "bare Tune": bare_tune,
        "1 worker": ours(1),
        "2 workers": ours(2),
        "2 workers, a group for each run": ours(2, runs_per_group=1),
    }
    sink, meter = Sink(), CpuMeter(head_pid)
    costs: dict[str, list[Cost]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            costs[name].append(measure(variant, trials[name], sink, meter))
    walls = {f"{name}, wall": [cost.wall_seconds for cost in found] for name, found in costs.items()}
    cpus = {f"{name}, CPU": [cost.cpu_seconds for cost in found] for name, found in costs.items()}
    return [*ratio_rows(walls, "bare Tune, wall", "seconds per trial"), *ratio_rows(cpus, "bare Tune, CPU", "seconds per trial")]


def with_ray(program: str, arguments: list[str]) -> int:
    """Run the program with a Ray of its own: a token must be in the environment before Ray is imported. Gives the exit code."""
    # A short path: Ray's sockets lie in it.
    with tempfile.TemporaryDirectory(prefix="ng", ignore_cleanup_errors=True) as folder:
        head = start_head(Path(folder), CPUS)
        ray_environment = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token_file(Path(folder))),
            "RAY_ADDRESS": head.cluster_address,
            HEAD_PID: str(head.pid),
        }
        try:
            return subprocess.run([sys.executable, "-m", program, *arguments], env=os.environ | ray_environment).returncode
        finally:
            stop_embedded(Path(folder))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=128, help="of bare Tune, and of one worker")
    parser.add_argument("--trials-of-two", type=int, default=8, help="of two workers")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of few trials")
    parser.add_argument("--out", type=Path, help="write the report there instead of printing it as JSON")
    arguments = parser.parse_args()
    if HEAD_PID not in os.environ:
        return with_ray("benchmarks.empty_runs", sys.argv[1:])
    if arguments.quick:
        arguments.trials, arguments.trials_of_two, arguments.rounds = 16, 2, 1
    one, two, rounds = arguments.trials, arguments.trials_of_two, arguments.rounds
    trials = {"bare Tune": one, "1 worker": one, "2 workers": two, "2 workers, a group for each run": two}
    launch.connect(set_up=set_up_worker)
    rows = run_rounds(rounds, trials, int(os.environ[HEAD_PID]))
    print_report("What a run costs that trains nothing", rows, arguments.out, trials=trials, rounds=rounds, epochs=EPOCHS, ray_cpus=CPUS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
