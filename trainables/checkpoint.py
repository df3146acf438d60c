"""Checkpoints: after every epoch, all that a killed run needs to go on with the same numbers."""

import os
from pathlib import Path
from typing import Any

import torch

from spec.identity import content_hash
from spec.run import RunConfig
from trainables.learner import Learner


class Checkpoint:
    """A run's one checkpoint file: tensors and the run's configuration, never a pickled module.

    Random streams are functions of their seed and the epoch, so there is no generator to save.
    """

    def __init__(self, path: Path, run: RunConfig) -> None:
        self.path = path
        self.run_hash = content_hash(run.resolved())
        self.config = run.resolved()

    def save(self, epoch: int, learner: Learner) -> None:
        """Replace the file by the state after `epoch`; a kill in the middle leaves the file before."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save({"epoch": epoch, "config": self.config, "learner": learner.state_dict()}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)

    def restore(self, learner: Learner) -> int:
        """Load the file into the learner; gives the epoch that it holds, 0 where there is no file.

        Raises:
            ValueError: the file is of another run.
        """
        if not self.path.exists():
            return 0
        state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        if content_hash(state["config"]) != self.run_hash:
            raise ValueError(f"{self.path} is the checkpoint of another run: give each run a folder of its own")
        learner.load_state_dict(state["learner"])
        return int(state["epoch"])
