"""Histories: what the summaries of recently heard runs are made from, so that a commit need not read a run's records again."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from spec.summary import MODELS, Metrics, Summary, summarise

MAX_RUNS = 512
# All that a summary needs of epochs before the last.
KEPT = frozenset(f"{model}{name}" for model in MODELS for name in ("test_accuracy", "validation_accuracy"))


class Measured(NamedTuple):
    """One attempt's metrics of one epoch."""

    attempt: int
    epoch: int
    metrics: Metrics


class History:
    """A run's epochs, the latest attempt's of each; whole metrics of the last one, those that summaries need of the others."""

    def __init__(self, records: Iterable[Measured]) -> None:
        self._attempts: dict[int, int] = {}
        self._epochs: dict[int, Metrics] = {}
        self._last = 0
        self.add(records)

    def add(self, records: Iterable[Measured]) -> None:
        for attempt, epoch, metrics in records:
            if attempt < self._attempts.get(epoch, 0):
                continue
            self._attempts[epoch] = attempt
            self._epochs[epoch] = metrics
            if epoch != self._last:
                self._trim(min(epoch, self._last))
            self._last = max(epoch, self._last)

    def summary(self) -> Summary | None:
        return summarise(self._epochs)

    def _trim(self, epoch: int) -> None:
        if epoch in self._epochs:
            self._epochs[epoch] = {name: value for name, value in self._epochs[epoch].items() if name in KEPT}


class Histories:
    """Histories of the runs that were heard of last. Belongs to the writer's thread.

    `clear` must be called when a transaction that added to them is rolled back.
    """

    def __init__(self, max_runs: int = MAX_RUNS) -> None:
        self._max_runs = max_runs
        self._histories: OrderedDict[str, History] = OrderedDict()

    def clear(self) -> None:
        self._histories.clear()

    def summary(self, run_id: str, new: Iterable[Measured], load: Callable[[str], Iterable[Measured]]) -> Summary | None:
        """The run's summary with `new` records, which `load` (called for a run not held here) gives too."""
        history = self._histories.pop(run_id, None)
        if history is None:
            history = History(load(run_id))
        else:
            history.add(new)
        self._histories[run_id] = history
        if len(self._histories) > self._max_runs:
            self._histories.popitem(last=False)
        return history.summary()
