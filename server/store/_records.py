"""A batch of records, from the messages to the rows that they change."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select, update
from sqlalchemy.dialects import postgresql, sqlite

from server.histories import Histories, Measured
from server.lifecycle import Progress, advance
from server.store._common import UnknownIdError, next_seq, portions
from server.tables import CellRow, EpochRow, GridRow, RunRow
from spec.grid import MAX_PROBLEMS
from spec.problems import InvalidInputError, Problem
from spec.records import BatchReply, EpochRecord, RecordBatch, RunState

# Both dialects have the same `on_conflict_do_update`; the common type is only for the type checker.
_UPSERTS: dict[str, Callable[[Any], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

# Made once: SQLAlchemy takes longer to put a statement together than SQLite to run it.
_IS_CANCELLED = select(GridRow.cancelled).where(GridRow.grid_id == bindparam("grid_id"))
_NAMED_RUNS = (
    select(
        RunRow.grid_id,
        RunRow.seq,
        RunRow.run_id,
        RunRow.state,
        RunRow.attempt,
        RunRow.epoch,
        RunRow.started_at,
        RunRow.heard_at,
        RunRow.finished_at,
        RunRow.error,
        RunRow.log_tail,
    )
    .join(CellRow, CellRow.run_id == RunRow.run_id)
    .where(CellRow.grid_id == bindparam("grid_id"), RunRow.run_id.in_(bindparam("run_ids", expanding=True)))
)


class _Named(NamedTuple):
    """A run that a batch names: as it stands, and the change that it last had."""

    progress: Progress
    grid_id: str
    seq: int


def add_records(connection: Connection, histories: Histories, batch: RecordBatch) -> BatchReply:
    is_cancelled = connection.scalar(_IS_CANCELLED, {"grid_id": batch.grid_id})
    if is_cancelled is None:
        raise UnknownIdError("grid", batch.grid_id)
    named = _named_runs(connection, batch)
    before = {run_id: replace(run.progress) for run_id, run in named.items()}
    now = time.time()
    for message in batch.messages:
        advance(named[message.run_id].progress, message, now)
    summaries = _add_epochs(connection, histories, [message for message in batch.messages if isinstance(message, EpochRecord)])
    _update_progress(connection, named, before, summaries)
    stopped = [
        run_id
        for run_id, run in named.items()
        # Handed to another grid when the sender's was cancelled: the sender's worker must stop too.
        if run.progress.state is RunState.CANCELLED or (is_cancelled and run.grid_id != batch.grid_id)
    ]
    return BatchReply(accepted=len(batch.messages), cancelled=stopped)


@cache
def _upsert_epochs(dialect: str) -> Any:
    statement = _UPSERTS[dialect](EpochRow.__table__)
    return statement.on_conflict_do_update(index_elements=["run_id", "attempt", "epoch"], set_={"metrics": statement.excluded.metrics})


@cache
def _update_run(names: tuple[str, ...]) -> Any:
    statement = update(RunRow.__table__).where(RunRow.__table__.c.run_id == bindparam("_run_id"))  # type: ignore[arg-type]  # a Table
    return statement.values({name: bindparam(name) for name in names})


def _named_runs(connection: Connection, batch: RecordBatch) -> dict[str, _Named]:
    ids = list(dict.fromkeys(message.run_id for message in batch.messages))
    named: dict[str, _Named] = {}
    for some in portions(ids):
        for grid_id, seq, run_id, state, *rest in connection.execute(_NAMED_RUNS, {"grid_id": batch.grid_id, "run_ids": some}):
            named[run_id] = _Named(Progress(run_id, RunState(state), *rest), grid_id, seq)
    if strangers := [place for place, message in enumerate(batch.messages) if message.run_id not in named]:
        raise InvalidInputError(_stranger(place, batch) for place in strangers[:MAX_PROBLEMS])
    return named


def _stranger(place: int, batch: RecordBatch) -> Problem:
    run_id = batch.messages[place].run_id
    return Problem(path=f"messages.{place}.run_id", given=run_id, message=f"grid {batch.grid_id!r} has no run {run_id!r}")


def _add_epochs(connection: Connection, histories: Histories, records: list[EpochRecord]) -> dict[str, dict[str, Any]]:
    """Keep epoch records; one that is there already is replaced. Gives the new summaries, by run."""
    if not records:
        return {}
    # PostgreSQL refuses to touch a row twice in one statement; the later message counts.
    unique = {(record.run_id, record.attempt, record.epoch): record.metrics for record in records}
    rows = [
        {"run_id": run_id, "attempt": attempt, "epoch": epoch, "metrics": metrics} for (run_id, attempt, epoch), metrics in unique.items()
    ]
    connection.execute(_upsert_epochs(connection.dialect.name), rows)
    measured: dict[str, list[Measured]] = {}
    for (run_id, attempt, epoch), metrics in unique.items():
        measured.setdefault(run_id, []).append(Measured(attempt, epoch, metrics))
    summaries = {run_id: histories.summary(run_id, new, lambda run_id: _measured(connection, run_id)) for run_id, new in measured.items()}
    return {run_id: summary.model_dump(mode="json") for run_id, summary in summaries.items() if summary}


def _measured(connection: Connection, run_id: str) -> Iterable[Measured]:
    rows = connection.execute(select(EpochRow.attempt, EpochRow.epoch, EpochRow.metrics).where(EpochRow.run_id == run_id))
    return [Measured(*row) for row in rows]


def _update_progress(
    connection: Connection, named: dict[str, _Named], before: dict[str, Progress], summaries: dict[str, dict[str, Any]]
) -> None:
    """Write back what the batch changed. A run that was only heard of keeps its `seq`: there is nothing to tell."""
    told = {run_id for run_id, run in named.items() if run_id in summaries or _is_news(before[run_id], run.progress)}
    seq = next_seq(connection) if told else 0
    updates: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for run_id, (progress, _, last_seq) in named.items():
        values = {**_progress_values(progress), **progress.facts, "seq": seq if run_id in told else last_seq}
        if run_id in summaries:
            values["summary"] = summaries[run_id]
        updates.setdefault(tuple(values), []).append({"_run_id": run_id, **values})
    for names, rows in updates.items():
        connection.execute(_update_run(names), rows)


def _is_news(before: Progress, now: Progress) -> bool:
    return replace(before, heard_at=now.heard_at) != now


def _progress_values(progress: Progress) -> dict[str, Any]:
    names = ("attempt", "epoch", "started_at", "heard_at", "finished_at", "error", "log_tail")
    return {"state": progress.state.value, **{name: getattr(progress, name) for name in names}}
