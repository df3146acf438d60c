"""A grid's results in the few lines that a terminal has room for. Figures and pages are the dashboard's."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from rich.table import Table

from dashboard.figures.groups import group_table
from server.views import Factor, RunSummary
from spec.records import RunState

# Finished runs by condition, then by treatment, both in reading order.
Cells = dict[str, dict[str, list[RunSummary]]]

# What a run says of its raw model and of its moving average.
MODELS = {"raw": "", "EMA": "ema_"}
ROWS = {"test accuracy": "test_accuracy", "test accuracy, EMA": "ema_test_accuracy", "wrong labels fitted": "corrupt_fit_given"}


@dataclass(frozen=True)
class Best:
    """The treatment and model that a condition's finished runs speak for."""

    condition: str
    treatment: str
    model: str
    test_accuracy: float
    num_runs: int
    # False: chosen by test accuracy, because there is no validation split. No honest protocol may do so.
    by_validation: bool

    def __str__(self) -> str:
        chosen = "by validation" if self.by_validation else "an oracle's choice"
        return f"at {self.condition}: {self.treatment}, {self.model} model {self.test_accuracy:.1%} ({chosen}, n = {self.num_runs})"


def finished_cells(factors: Iterable[Factor], runs: Iterable[RunSummary]) -> Cells:
    """The finished runs, grouped and called as in the dashboard's figures; a cell may be empty."""
    runs = list(runs)
    labels = group_table({run.run_id: run.factors for run in runs}, {factor.path: factor.role for factor in factors})
    conditions, treatments = (list(labels[column].cat.categories) for column in ("condition", "treatment"))
    cells: Cells = {condition: {treatment: [] for treatment in treatments} for condition in conditions}
    for run in runs:
        if run.state is RunState.DONE and run.summary is not None:
            cells[labels["condition"][run.run_id]][labels["treatment"][run.run_id]].append(run)
    return cells


def best_treatments(cells: Cells) -> list[Best]:
    """For each condition with finished runs, the best treatment and model after the last epoch.

    Chosen by the mean accuracy on validation labels where every run has one, else on the test set.
    """
    return [best for condition, treatments in cells.items() if (best := _best(condition, treatments))]


def _best(condition: str, treatments: dict[str, list[RunSummary]]) -> Best | None:
    finished = [run for runs in treatments.values() for run in runs]
    by_validation = all(_value(run, "validation_accuracy") is not None for run in finished)
    found: list[tuple[float, Best]] = []
    for treatment, runs in treatments.items():
        for model, prefix in MODELS.items():
            tests = _values(runs, f"{prefix}test_accuracy")
            scores = _values(runs, f"{prefix}validation_accuracy") if by_validation else tests
            if tests and scores:
                found.append((fmean(scores), Best(condition, treatment, model, fmean(tests), len(runs), by_validation)))
    return max(found, key=lambda pair: pair[0])[1] if found else None


def result_table(cells: Cells) -> Table:
    """Test accuracy and memorisation after the last epoch, in per cent: mean ± sample standard deviation over replicates.

    Rows are treatments, columns conditions.
    """
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for title in ("", "last epoch, %"):
        table.add_column(title, no_wrap=True)
    for condition in cells:
        table.add_column(condition)
    for treatment in dict.fromkeys(treatment for treatments in cells.values() for treatment in treatments):
        rows = [(name, [_mean_and_spread(_values(runs[treatment], metric)) for runs in cells.values()]) for name, metric in ROWS.items()]
        for position, (name, values) in enumerate(row for row in rows if any(row[1])):
            table.add_row("" if position else treatment, name, *values)
    return table


def shown(value: Any) -> str:
    """A factor's value as people write it: 0.0 is 0, a part is its name and parameters."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        given = [f"{key} {shown(child)}" for key, child in value.items() if key != "name" and child is not None]
        return f"{value.get('name', '')} ({', '.join(given)})" if given else str(value.get("name", value))
    return "none" if value is None else str(value)


def _value(run: RunSummary, metric: str) -> float | None:
    return run.summary.last_metrics.get(metric) if run.summary else None


def _values(runs: Iterable[RunSummary], metric: str) -> list[float]:
    return [value for run in runs if (value := _value(run, metric)) is not None]


def _mean_and_spread(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {100 * stdev(values):.1f}" if len(values) > 1 else ""
    return f"{100 * fmean(values):.1f}{spread}"
