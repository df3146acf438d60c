"""Small runs on real digits, a reporter that keeps what it is told, and two workers."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

from spec.records import RunFacts, RunState
from spec.run import RunConfig
from trainables.parts import RunConfig as BoundRunConfig
from trainables.reporting import NullReporter
from trainables.train import Folders, execute
from trainables.world import World

CPU = torch.device("cpu")


def digits_run(**overrides: Any) -> RunConfig:
    """A run of a few seconds: 200 digits, symmetric noise, two epochs unless told otherwise."""
    base = {
        "dataset": "digits",
        "split": {"train_size": 200, "test_size": 100},
        "noise": {"name": "symmetric", "rate": 0.4},
        "model": {"name": "small_cnn", "width": 4},
        "optimizer": {"name": "sgd", "lr": 0.02},
        "epochs": 2,
        "batch_size": 64,
    }
    return BoundRunConfig.model_validate(base | overrides)


class KeepingReporter(NullReporter):
    """Keeps what a run says; asks it to stop after the epoch `stop_after`."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.facts: RunFacts
        self.epochs: dict[int, dict[str, float]] = {}
        self.stop_after = stop_after

    @property
    def stop_requested(self) -> bool:  # type: ignore[override]
        return self.stop_after is not None and max(self.epochs, default=0) >= self.stop_after

    def started(self, facts: RunFacts) -> None:
        self.facts = facts

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        self.epochs[epoch] = {name: value for name, value in metrics.items() if not name.endswith("_seconds")}


def record(run: RunConfig, folder: Path, world: World | None = None, stop_after: int | None = None) -> tuple[RunState, KeepingReporter]:
    """Execute a run and give its last state and what it said, without the wall times."""
    reporter = KeepingReporter(stop_after)
    return execute(run, Folders(folder / "data", folder / "run"), reporter, world or World.alone(CPU)), reporter


def on_two_workers(work: Callable[[World, Path], None], folder: Path) -> None:
    """Have two processes of one group do the work; it is a module's function, so that they find it."""
    multiprocessing.spawn(_be_worker, args=(work, folder), nprocs=2)


def _be_worker(rank: int, work: Callable[[World, Path], None], folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    work(World.distributed(CPU), folder)
    distributed.destroy_process_group()
    # An ordinary exit is an abort at times: on a busy machine gloo's threads outlive what they work on.
    os._exit(0)
