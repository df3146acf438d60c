"""Checkpoints: all that a run needs to go on with the same numbers, after a kill or from where another run has come."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from spec.identity import content_hash
from spec.run import RunConfig
from trainables.learner import Learner
from trainables.record_file import EpochMetrics, measured_in


class Checkpoint:
    """A run's one checkpoint file: tensors and the run's configuration, never a pickled module.

    Random streams are functions of their seed and the epoch, so there is no generator to save.
    """

    def __init__(self, path: Path, run: RunConfig, prefixes: "SharedPrefixes | None" = None) -> None:
        self.path = path
        self.config = run.resolved()
        self.prefixes = prefixes

    def save(self, epoch: int, learner: Learner) -> None:
        """Replace the file by the state after `epoch`; a kill in the middle leaves the file before."""
        if self.prefixes is not None:
            self.prefixes.keep(epoch, learner)
        _save(self.path, {"epoch": epoch, "config": self.config, "learner": learner.state_dict()})

    def restore(self, learner: Learner) -> int:
        """Load the file into the learner; gives the epoch that it holds, 0 where there is no file.

        Raises:
            ValueError: the file is of another run.
        """
        if not self.path.exists():
            return 0
        state = _load(self.path)
        if content_hash(state["config"]) != content_hash(self.config):
            raise ValueError(f"{self.path} is the checkpoint of another run: give each run a folder of its own")
        learner.load_state_dict(state["learner"])
        return int(state["epoch"])


@dataclass(frozen=True)
class SharedPrefixes:
    """States that runs of a grid share: a file for each, named by what decides the state, with what was measured on the way there."""

    folder: Path
    run: RunConfig
    run_folder: Path
    # After these, the run's state is another run's too.
    epochs: Collection[int]

    def keep(self, epoch: int, learner: Learner) -> None:
        """Keep the state after `epoch` for the others that have the same, unless one of them did."""
        if epoch not in self.epochs or (path := self._path(epoch)).exists():
            return
        measured = measured_in(self.run_folder)
        # Records of attempts elsewhere may be missing here: the others must not inherit a gap.
        if measured.keys() == set(range(1, epoch + 1)):
            _save(path, {"measured": measured, "learner": learner.state_dict()})

    def take_up(self, learner: Learner) -> EpochMetrics:
        """Load the latest state that another run left; gives what was measured in its epochs, nothing where there is none."""
        for epoch in sorted(self.epochs, reverse=True):
            if (path := self._path(epoch)).exists():
                state = _load(path)
                learner.load_state_dict(state["learner"])
                measured: EpochMetrics = state["measured"]
                return measured
        return {}

    def _path(self, epoch: int) -> Path:
        return self.folder / f"{self.run.prefix_id(epoch)}.pt"


def _save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _load(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
