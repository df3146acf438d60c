"""Curve cache: the averaged curves that pages ask for again and again while a grid runs.

A grid of 1,000 runs has 100,000 values of each metric. They are read once; after a change, only the runs that changed
are read again, and after none nothing is computed.
"""

import math
import threading
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard.figures.curves import curve_table
from dashboard.figures.groups import group_table, group_values, parts, treatment_colors
from server.store import Store
from server.views import Curve, Curves
from spec.grid import Role

MAX_CACHED = 16
# Of one run after the other; more are faster read all at once.
MAX_RUNS_READ_SINGLY = 100
# Of no use on a screen, and a third of the bytes.
DIGITS = 6
COLUMNS = ["run_id", "epoch", "value"]


@dataclass(frozen=True)
class CachedCurves:
    """A grid's metric as it was at change number `seq`."""

    seq: int
    values: pd.DataFrame
    table: pd.DataFrame
    body: str


class CurveCache:
    """Curves that were asked for lately. Safe to use from several threads; one at a time computes."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], CachedCurves] = {}
        self._lock = threading.Lock()

    def curves(self, store: Store, grid_id: str, metric: str) -> CachedCurves:
        """The metric's curves as of now: the table, and `Curves` as JSON.

        Raises:
            UnknownIdError: there is no such grid.
        """
        with self._lock:
            entry = _brought_up_to_date(self._entries.pop((grid_id, metric), None), store, grid_id, metric)
            self._entries[grid_id, metric] = entry
            while len(self._entries) > MAX_CACHED:
                del self._entries[next(iter(self._entries))]
            return entry


def _brought_up_to_date(entry: CachedCurves | None, store: Store, grid_id: str, metric: str) -> CachedCurves:
    if entry is None:
        # Asked before the records are read: what is written meanwhile is read again next time, never missed.
        seq = store.sequence()
        return _curves(seq, _values(store.metric_values(grid_id, metric)), store, grid_id, metric)
    changes = store.changes(grid_id, entry.seq)
    if changes is None:
        return entry
    changed = [run.run_id for run in changes.change.runs]
    if len(changed) > MAX_RUNS_READ_SINGLY:
        values = _values(store.metric_values(grid_id, metric))
    else:
        kept = entry.values[~entry.values["run_id"].isin(changed)]
        values = pd.concat([kept, *(_run_values(store, run_id, metric) for run_id in changed)], ignore_index=True)
    return _curves(changes.seq, values, store, grid_id, metric)


def _values(rows: Any) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS).astype({"value": float})


def _run_values(store: Store, run_id: str, metric: str) -> pd.DataFrame:
    records = store.records(run_id, [metric])
    return _values({"run_id": run_id, "epoch": records.epochs, "value": records.metrics[metric]})


def _curves(seq: int, values: pd.DataFrame, store: Store, grid_id: str, metric: str) -> CachedCurves:
    roles = {factor.path: factor.role for factor in store.factors(grid_id)}
    factors = {cell.run_id: cell.factors for cell in store.cells(grid_id)}
    groups = group_table(factors, roles)
    table = curve_table(values, groups)
    curves = _drawn(table, _behind_labels(groups, factors, roles))
    view = Curves(metric=metric, metrics=store.metric_names(grid_id), curves=curves)
    return CachedCurves(seq, values, table, view.model_dump_json())


def _behind_labels(
    groups: pd.DataFrame, factors: dict[str, dict[str, Any]], roles: dict[str, Role]
) -> dict[tuple[str, str], dict[str, Any]]:
    """(condition, treatment) -> the factors behind the words."""
    labels = zip(groups["condition"], groups["treatment"], strict=True)
    return {label: group_values(run, roles) for label, run in zip(labels, factors.values(), strict=True)}


def _drawn(table: pd.DataFrame, groups: dict[tuple[str, str], dict[str, Any]]) -> list[Curve]:
    colors = treatment_colors(table["treatment"])
    return [
        Curve(
            group=groups[condition, treatment],
            label=f"{condition}, {treatment}",
            condition=condition,
            treatment=treatment,
            color=colors[treatment],
            epochs=curve["epoch"].tolist(),
            n=curve["n"].tolist(),
            mean=_rounded(curve["mean"]),
            low=_rounded(curve["low"]),
            high=_rounded(curve["high"]),
        )
        for (condition, treatment), curve in parts(table, "condition", "treatment")
    ]


def _rounded(values: pd.Series) -> list[float | None]:
    return [None if math.isnan(value) else round(value, DIGITS) for value in values.tolist()]
