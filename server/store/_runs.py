"""Runs in the database: what is told of them, and how they are ended from outside."""

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from server.store._common import UNFINISHED, UnknownIdError, update_runs
from server.tables import CellRow, RunRow
from server.views import RunSummary
from spec.identity import content_hash
from spec.records import LabelCard, RunState, WorkItem
from spec.summary import Summary

SUMMARY_FIELDS = (
    RunRow.run_id,
    RunRow.grid_id,
    RunRow.attempt,
    CellRow.factors,
    RunRow.epoch,
    RunRow.epochs,
    RunRow.started_at,
    RunRow.heard_at,
    RunRow.finished_at,
    RunRow.noise_rate,
    RunRow.realised_rate,
    RunRow.noisy_hash,
    RunRow.summary,
    RunRow.error,
)
DETAIL_FIELDS = (
    RunRow.config,
    RunRow.labels,
    RunRow.num_train,
    RunRow.num_validation,
    RunRow.num_test,
    RunRow.num_parameters,
    RunRow.forked_after,
    RunRow.device,
    RunRow.host,
    RunRow.log_tail,
)


class CellFactors(NamedTuple):
    """A run of a grid and where it stands on the varying paths."""

    run_id: str
    factors: dict[str, Any]


class RunFacts(NamedTuple):
    """A run of a grid with all that decided its numbers, and the little that they come to."""

    run_id: str
    state: RunState
    config: dict[str, Any]
    labels: LabelCard | None
    num_validation: int | None
    summary: Summary | None

    @property
    def is_validated(self) -> bool:
        """Whether it holds examples out, or (known once it has started) its data set brings some to validate on."""
        return bool(self.config["split"]["validation"]) or (self.labels is not None and self.labels.validation_labels == "clean")


def run_summaries(rows: Iterable[Any]) -> list[RunSummary]:
    return [RunSummary.model_validate(dict(row)) for row in rows]


def work_item(row: dict[str, Any], conditions: Sequence[str]) -> WorkItem:
    factors = row.pop("factors")
    return WorkItem(**row, condition=content_hash([factors[path] for path in conditions]))


def cancel_run(connection: Connection, run_id: str) -> None:
    if connection.scalar(select(RunRow.run_id).where(RunRow.run_id == run_id)) is None:
        raise UnknownIdError("run", run_id)
    which = (RunRow.run_id == run_id) & RunRow.state.in_(UNFINISHED)
    update_runs(connection, which, {"state": RunState.CANCELLED.value, "finished_at": time.time()})


def fail_runs(connection: Connection, grid_id: str, message: str) -> int:
    which = (RunRow.grid_id == grid_id) & RunRow.state.in_(UNFINISHED)
    return update_runs(connection, which, {"state": RunState.FAILED.value, "error": message, "finished_at": time.time()})
