"""One run on this machine, without the service and without Ray: `noisegrid train`."""

import traceback
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from spec.records import RunFacts, RunState
from spec.run import RunConfig
from spec.summary import Summary, TestAccuracy, summarise
from trainables.record_file import RECORDS, RecordFile, messages_in
from trainables.train import Folders, execute
from trainables.world import World


class ShownRecordFile(RecordFile):
    """A record file that moves a progress bar."""

    def __init__(self, folder: Path, run: RunConfig, progress: Progress) -> None:
        super().__init__(folder, run.run_id)
        self._progress = progress
        self._task = progress.add_task("training", total=run.epochs, accuracy="")

    def started(self, facts: RunFacts) -> None:
        super().started(facts)
        self._progress.update(self._task, completed=facts.resumed_from)

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        super().epoch(epoch, metrics)
        accuracy = metrics.get("ema_test_accuracy", metrics.get("test_accuracy"))
        self._progress.update(self._task, completed=epoch, accuracy="" if accuracy is None else f"test accuracy {accuracy:.1%}")


def train_here(run: RunConfig, data: Path, out: Path, threads: int, console: Console) -> RunState:
    """Train a run into `out` from wherever it stands there; leaves `records.jsonl` and `checkpoint.pt`.

    Raises:
        RuntimeError: another process trains in `out`.
        ValueError: `out` holds another run's checkpoint.
    """
    torch.set_num_threads(threads)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("epochs  {task.fields[accuracy]}"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress, ShownRecordFile(out, run, progress) as reporter:
        try:
            state = execute(run, Folders(data.absolute(), out.absolute()), reporter, World.alone())
        except Exception as error:
            reporter.finished(RunState.FAILED, f"{type(error).__name__}: {error}", traceback.format_exc())
            raise
        reporter.finished(state)
    return state


def summary_of(folder: Path) -> Summary | None:
    """The summary of the records in a run's folder; of an epoch recorded twice, the later record."""
    return summarise({record["epoch"]: record["metrics"] for record in epochs_in(folder)})


def epochs_in(folder: Path) -> list[dict[str, Any]]:
    """The epoch records in a run's folder, in the order in which they came.

    Raises:
        ValueError: it is no run's folder.
    """
    if not (folder / RECORDS).exists():
        raise ValueError(f"{folder} holds no {RECORDS}: give a folder that `noisegrid train --out` wrote, or a grid's id")
    return [message for message in messages_in(folder) if message["type"] == "epoch"]


def summary_table(summary: Summary) -> Table:
    """Test accuracy in per cent under each way to choose the epoch; the oracle's is marked as what it is."""
    table = Table("test accuracy, %", "last", "last ten", "best by validation", "best on test (oracle)", box=None, header_style="bold")
    for name, accuracy in (("raw model", summary.raw), ("EMA model", summary.ema)):
        if accuracy is not None:
            table.add_row(name, *_cells(accuracy))
    return table


def _cells(accuracy: TestAccuracy) -> tuple[str, str, str, str]:
    return (
        _percent(accuracy.last),
        _percent(accuracy.last_ten),
        _percent(accuracy.validation_best, accuracy.validation_best_epoch),
        _percent(accuracy.oracle_best, accuracy.oracle_best_epoch),
    )


def _percent(value: float | None, epoch: int | None = None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.2f}" + (f" (epoch {epoch})" if epoch else "")
