"""Runs per hour of a grid: ours on all cores at once, against runs one after the other in the published plain loop.

Every contestant makes the same runs in processes of its own: CIFAR-10-shaped random images, the same network, epochs, batches and test
set, evaluated after each epoch. The plain loop is `benchmarks.train_step`'s, in float32 on all cores, with two loader processes as
published. Ours run through Ray Tune as a grid does, one thread for each run and as many runs as cores; and, to tell what that is worth,
one after the other on all cores without Ray. Ours measure also 1,000 training images after each epoch, and write every record and
checkpoint to disk.

With `--grid methods` the grid is the comparison that was published: CE, SLN, SLN-MO and SLN-MO-LC, each a run of its own there. Ours get
SLN and SLN-MO from one run, and its label correction, in the last sixth of the epochs, goes on from there. The plain loop neither
averages nor corrects, which is to its advantage.

    python -m benchmarks.grid [--model wide_resnet --precision bfloat16] [--grid methods] [--quick] [--out grid.json]
"""

import argparse
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from torch.utils.data import DataLoader

from benchmarks.empty_runs import Sink, with_ray
from benchmarks.report import Apart, interleaved, print_report, ratio_rows
from benchmarks.train_step import SHAPE, PlainImages, plain_epoch
from models._base import MODELS
from spec.forks import plan_forks
from spec.grid import Resources
from spec.records import Work, WorkItem
from spec.run import RunConfig
from trainables import launch, search
from trainables.parts import RunConfig as BoundRunConfig
from trainables.reporting import NullReporter
from trainables.train import Folders, execute
from trainables.worker import Job, set_up_process
from trainables.world import World

NAME = "benchmarks.grid"
# Of each seed.
PUBLISHED_RUNS = {"sigma": 2, "methods": 4}
CPU = torch.device("cpu")
FIGURE = "runs_per_hour"


def write_batches(folder: Path, num_train: int, num_test: int) -> None:
    """Random images in the layout of torchvision's CIFAR-10."""
    generator = torch.Generator().manual_seed(0)
    sizes = {f"data_batch_{number}": num_train // 5 for number in range(1, 6)} | {"test_batch": num_test}
    files: dict[str, dict[str, Any]] = {"batches.meta": {"label_names": [str(label) for label in range(10)]}}
    for name, size in sizes.items():
        pixels = torch.randint(256, (size, 3072), dtype=torch.uint8, generator=generator).numpy()
        files[name] = {"data": pixels, "labels": torch.randint(10, (size,), generator=generator).tolist()}
    (folder / "cifar-10-batches-py").mkdir()
    for name, content in files.items():
        (folder / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(content))


def treatments(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """What the grid crosses with seeds."""
    if arguments.grid == "sigma":
        return [{"method": {"name": "sln", "sigma": sigma}} for sigma in (0.0, 0.5)]
    averaged = {"name": "sln", "sigma": 1.0}
    corrected = averaged | {"correct_from": arguments.epochs * 5 // 6 + 1}
    return [{"method": "ce"}] + [{"method": method, "ema": {"decay": 0.999}} for method in (averaged, corrected)]


def runs_of(arguments: argparse.Namespace) -> list[RunConfig]:
    """Ours, for as many published runs as the arguments say."""
    base = {
        "dataset": {"name": "cifar10", "verify": False},
        "noise": {"name": "symmetric", "rate": 0.4},
        "model": arguments.model,
        "precision": arguments.precision,
        "optimizer": "sgd",
        "epochs": arguments.epochs,
        "measure": {"train_sample": min(1000, arguments.images), "examples": False},
    }
    seeds = range(arguments.runs // PUBLISHED_RUNS[arguments.grid])
    return [BoundRunConfig.model_validate(base | treatment | {"seed": seed}) for seed in seeds for treatment in treatments(arguments)]


def plain_runs(arguments: argparse.Namespace) -> Iterator[float]:
    """Runs per hour of the plain loop, one run after the other."""
    torch.set_num_threads(arguments.cores)
    while True:
        yield runs_per_hour(lambda: plain_run(runs_of(arguments)[0], arguments.images, arguments.images // 5), 1)


def plain_run(run: RunConfig, num_train: int, num_test: int) -> None:
    """One run of the plain loop: training images augmented one by one, and the test set after each epoch."""
    pixels = torch.randint(256, (num_train + num_test, 32, 32, 3), dtype=torch.uint8).numpy()
    labels_N = torch.randint(SHAPE.num_classes, (num_train + num_test,))
    train = DataLoader(PlainImages(pixels[:num_train], labels_N[:num_train]), run.batch_size, shuffle=True, num_workers=2)
    test = DataLoader(PlainImages(pixels[num_train:], labels_N[num_train:]), run.batch_size, num_workers=2)
    model = MODELS[run.model.name](run.model, SHAPE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
    for _ in range(run.epochs):
        plain_epoch(model.train(), optimizer, train, CPU)
        with torch.no_grad():
            for images, _, _ in test:
                model.eval()(images)


def our_runs(arguments: argparse.Namespace, data: Path) -> Iterator[float]:
    """Runs per hour of ours, one run after the other."""
    torch.set_num_threads(arguments.cores)
    while True:
        yield runs_per_hour(lambda: our_run(runs_of(arguments)[0], data), 1)


def our_run(run: RunConfig, data: Path) -> None:
    """One run of ours in this process."""
    with tempfile.TemporaryDirectory() as folder:
        execute(run, Folders(data, Path(folder)), NullReporter(), World.alone(CPU))


def our_grid(data: Path) -> float:
    """Runs per hour of all runs through Ray, which is there for as long as that takes: the other contestants have the machine alone."""
    with_ray(NAME, [*sys.argv[1:], "--time-grid", str(data)])
    return float((data / FIGURE).read_text())


def time_grid(arguments: argparse.Namespace) -> None:
    """All runs through Ray Tune, as a grid's driver has it; leaves the figure for `our_grid`."""
    launch.connect(set_up=set_up_process)
    data, runs, sink = arguments.time_grid, runs_of(arguments), Sink()
    items = [WorkItem(run_id=run.run_id, config=run.resolved(), fork=fork) for run, fork in zip(runs, plan_forks(runs), strict=True)]
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    with tempfile.TemporaryDirectory() as folder:
        job = Job("bench", sink.url, "token", data, Path(folder), Resources())
        work = Work(grid_id="bench", resources=job.resources, runs=items)
        figure = runs_per_hour(lambda: search.run_all(work, job, nodes, lambda run_id, death: None), arguments.runs)
    (data / FIGURE).write_text(str(figure))


def runs_per_hour(work: Callable[[], None], num_runs: int) -> float:
    began = time.perf_counter()
    work()
    return 3600 * num_runs / (time.perf_counter() - began)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="wide_resnet", help="any registered network with its defaults")
    parser.add_argument("--precision", default="bfloat16", choices=["float32", "bfloat16"], help="of ours; the plain loop is float32")
    parser.add_argument("--images", type=int, default=5000, help="training images of a run; a fifth as many test images")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument(
        "--grid", default="sigma", choices=sorted(PUBLISHED_RUNS), help="crossed with seeds: sigma, or the published methods"
    )
    parser.add_argument("--runs", type=int, default=8, help="published runs of the grid: two for each seed, of methods four")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="a small network and few images, to see that it works")
    parser.add_argument("--time-grid", type=Path, metavar="DATA", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="write the report as JSON here")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.model, arguments.images, arguments.epochs, arguments.rounds = "linear", 500, 2, 1
        arguments.runs = PUBLISHED_RUNS[arguments.grid]
    if arguments.runs < 1 or arguments.runs % PUBLISHED_RUNS[arguments.grid]:
        parser.error(f"--runs must be a multiple of {PUBLISHED_RUNS[arguments.grid]} with --grid {arguments.grid}, got {arguments.runs}")
    if arguments.grid == "methods" and arguments.epochs < 2:
        parser.error(f"--epochs must be at least 2 with --grid methods, got {arguments.epochs}: labels are corrected in the last sixth")
    if arguments.time_grid:
        time_grid(arguments)
        return 0
    arguments.cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        write_batches(data, arguments.images, arguments.images // 5)
        with Apart(plain_runs, arguments) as plain, Apart(our_runs, arguments, data) as ours:
            contestants: dict[str, Callable[[], float]] = {
                "plain loop, one after the other": plain,
                "ours, a grid": partial(our_grid, data),
            }
            if arguments.grid == "sigma":
                contestants["ours, one after the other"] = ours
            rows = ratio_rows(interleaved(contestants, arguments.rounds), "plain loop, one after the other", "runs_per_hour")
    settings = {name: value for name, value in vars(arguments).items() if name not in ("out", "time_grid")}
    print_report(f"a grid of {arguments.runs} runs, {arguments.model}, {arguments.cores} cores", rows, arguments.out, **settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
