"""TensorBoard event files of runs, under the tags of re-sln (mark-antal-csizmadia/re-sln, 2021).

A run is a folder; its moving average is a folder of its own, `RUN-ema`, under the same tags, for re-sln's runs with an average evaluated
that alone. Losses of all, wrong and right labels are sub-folders, so that TensorBoard draws them in one chart.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import text

from server.results import shown
from spec.summary import MODELS, Metrics

# Sub-folder and tag of a metric.
TAGS = {
    "train_accuracy": ("", "accuracy/train"),
    "test_accuracy": ("", "accuracy/test"),
    "validation_accuracy": ("", "accuracy/validation"),
    "test_loss": ("", "loss/test"),
    "validation_loss": ("", "loss/validation"),
    "train_loss": ("loss_train_all", "loss/train"),
    "corrupt_loss": ("loss_train_noisy", "loss/train"),
    "pristine_loss": ("loss_train_clean", "loss/train"),
}
MAX_NAME = 150


class Told(NamedTuple):
    """What is written of an epoch: its number (from 1), its metrics, and when it was, in seconds since 1970."""

    epoch: int
    metrics: Metrics
    at: float


class EventFiles:
    """One run's event files, replaced by new ones when they are opened."""

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None) -> None:
        self._folder = folder
        self._config = config
        self._writers: dict[Path, EventsWriter] = {}
        self.last_epoch = 0

    def write(self, epochs: Iterable[Told]) -> None:
        """Append the epochs that are not written yet."""
        for told in sorted(epochs):
            if told.epoch > self.last_epoch:
                self._write(told)
                self.last_epoch = told.epoch
        for writer in self._writers.values():
            writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def _write(self, told: Told) -> None:
        for model in MODELS:
            for name, (sub_folder, tag) in TAGS.items():
                if (value := told.metrics.get(f"{model}{name}")) is not None:
                    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                    writer = self._writer(self._of_model(model) / sub_folder)
                    writer.write_event(Event(wall_time=told.at, step=told.epoch, summary=summary))

    def _of_model(self, model: str) -> Path:
        return self._folder.with_name(f"{self._folder.name}-{model.rstrip('_')}") if model else self._folder

    def _writer(self, folder: Path) -> EventsWriter:
        if folder not in self._writers:
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
            self._writers[folder] = EventsWriter(str(folder / "events"))
            if self._config is not None and folder == self._folder:
                as_text = f"```json\n{json.dumps(self._config, indent=2)}\n```"
                self._writers[folder].write_event(Event(summary=text("configuration", as_text)))
        return self._writers[folder]


def folder_name(run_id: str, factors: Mapping[str, Any]) -> str:
    """What sets the run apart, and its id, in characters that no file system or command line minds."""
    parts = [f"{path}={shown(value)}" for path, value in factors.items()]
    words = re.sub(r"[^A-Za-z0-9._=+-]+", "_", ",".join(parts).replace(",", "-")).strip("_")[:MAX_NAME]
    return f"{words}-{run_id}" if words else run_id


def told_from_columns(epochs: Sequence[int], metrics: Mapping[str, Sequence[float | None]], started_at: float) -> list[Told]:
    """Epochs of columns of records. When each was is added up from what they took."""
    told, at = [], started_at
    for place, epoch in enumerate(epochs):
        row = {name: column[place] for name, column in metrics.items()}
        at += (row.get("train_seconds") or 0.0) + (row.get("evaluate_seconds") or 0.0)
        told.append(Told(epoch, row, at))
    return told
