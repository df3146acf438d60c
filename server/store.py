"""Store: everything that is asked of the database and done to it. All SQL stands here.

Reads take their own connections and see one moment. Changes go through the writer; each takes the next number of the
sequence, and every grid and run that it touches carries that number as `seq`.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, bindparam, case, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from server.db import Writer
from server.histories import Histories, Measured
from server.lifecycle import Progress, advance
from server.run_table import SUMMARY_COLUMNS, RunQuery, in_order, matches
from server.tables import CellRow, EpochRow, GridRow, RunRow, SequenceRow
from server.views import (
    Factor,
    GridChange,
    GridPage,
    GridState,
    GridSummary,
    GridView,
    LabelEntry,
    LabelOrigin,
    LabelPage,
    LabelUse,
    LabelView,
    Records,
    RunPage,
    RunSummary,
    RunView,
)
from spec.grid import MAX_PROBLEMS, Grid, Role
from spec.identity import content_hash
from spec.problems import InvalidInputError, Problem
from spec.records import BatchReply, EpochRecord, LabelCard, RecordBatch, RunState, Work, WorkItem
from spec.summary import Summary

Result = TypeVar("Result")
# One metric of one run after one epoch: run, epoch, value.
MetricValue = tuple[str, int, float | None]

UNFINISHED = (RunState.QUEUED, RunState.RUNNING, RunState.LOST)
REPEATABLE = (RunState.FAILED, RunState.CANCELLED)
# A grid that stops runs early leaves them to those that want all of their epochs.
INCOMPLETE = (*REPEATABLE, RunState.STOPPED)
# Below the number of parameters that one SQLite statement may have (32,766), and PostgreSQL's (65,535).
MAX_IDS = 10_000

# Both dialects have the same `on_conflict_do_update`; the common type is only for the type checker.
_UPSERTS: dict[str, Callable[[Any], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

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


class UnknownIdError(LookupError):
    """There is no grid or run of that id."""

    def __init__(self, kind: str, given: str) -> None:
        self.kind, self.given = kind, given
        super().__init__(f"there is no {kind} {given!r}")


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


class Changes(NamedTuple):
    """What changed in a grid up to (and with) change number `seq`."""

    seq: int
    change: GridChange


class Store:
    """The service's memory: grids, runs, epoch records."""

    def __init__(
        self, engine: Engine, writer: Writer, histories: Histories, lost_after_seconds: float, write_timeout_seconds: float
    ) -> None:
        self._engine = engine
        self._writer = writer
        self._histories = histories
        self._lost_after_seconds = lost_after_seconds
        self._write_timeout_seconds = write_timeout_seconds

    # Grids

    def create_grid(self, grid: Grid, external: bool) -> bool:
        """Keep a grid; False where it is there already, and stays as it is.

        Runs that another grid has made or is making are shared with it; those that failed or were cancelled are queued
        again, and the new grid answers for them. `external`: the sender launches the runs.
        """
        runs = [_new_run(cell.run_id, grid.grid_id, cell.run.resolved()) for cell in grid.cells]
        cells = [
            {
                "grid_id": grid.grid_id,
                "position": position,
                "run_id": cell.run_id,
                "factors": cell.factors,
                "fork": cell.fork.model_dump(),
                "epochs_own": cell.run.epochs - cell.fork.after,
            }
            for position, cell in enumerate(grid.cells)
        ]
        row = {
            "grid_id": grid.grid_id,
            "name": grid.spec.name,
            "description": grid.spec.description,
            "spec": grid.spec.model_dump(mode="json"),
            "factors": [factor.model_dump(mode="json") for factor in _factors(grid)],
            "external": external,
            "cancelled": False,
            "message": "",
        }
        return self._write(lambda connection: _insert_grid(connection, row, runs, cells))

    def grids(self, offset: int, limit: int) -> GridPage:
        """A page of all grids, newest first."""
        with self._engine.connect() as connection:
            total = connection.scalar(select(func.count()).select_from(GridRow)) or 0
            newest = select(GridRow.grid_id).order_by(GridRow.created_at.desc(), GridRow.grid_id).offset(offset).limit(limit)
            summaries = self._grid_summaries(connection, list(connection.scalars(newest)))
        return GridPage(total=total, offset=offset, limit=limit, grids=summaries)

    def grid(self, grid_id: str) -> GridView:
        """A grid, whole.

        Raises:
            UnknownIdError: there is none.
        """
        with self._engine.connect() as connection:
            row = _grid_row(connection, grid_id)
            summary = self._grid_summary(connection, grid_id)
        return GridView(**dict(summary), description=row.description, factors=row.factors, spec=row.spec)

    def grid_summary(self, grid_id: str) -> GridSummary:
        """How far a grid is.

        Raises:
            UnknownIdError: there is none.
        """
        with self._engine.connect() as connection:
            return self._grid_summary(connection, grid_id)

    def factors(self, grid_id: str) -> list[Factor]:
        """A grid's varying paths.

        Raises:
            UnknownIdError: there is no such grid.
        """
        with self._engine.connect() as connection:
            return [Factor.model_validate(factor) for factor in _grid_row(connection, grid_id).factors]

    def is_external(self, grid_id: str) -> bool:
        """Whether the grid's sender launches its runs.

        Raises:
            UnknownIdError: there is no such grid.
        """
        with self._engine.connect() as connection:
            return bool(_grid_row(connection, grid_id).external)

    def cancel_grid(self, grid_id: str) -> list[str]:
        """Cancel a grid's unfinished runs; those that another grid holds too are handed to it. Gives the grids that got some.

        Raises:
            UnknownIdError: there is no such grid.
        """
        return self._write(lambda connection: _cancel_grid(connection, grid_id))

    def resume_grid(self, grid_id: str) -> None:
        """Queue a grid's failed and cancelled runs again.

        The service takes a grid over that was launched from elsewhere, unless its runs are being made right now.

        Raises:
            UnknownIdError: there is no such grid.
        """
        state = self._state()
        self._write(lambda connection: _resume_grid(connection, grid_id, state))

    def set_message(self, grid_id: str, message: str) -> None:
        """Tell people why a grid stands still."""
        self._write(lambda connection: _set_message(connection, grid_id, message))

    # What launchers ask

    def active_grids(self) -> list[str]:
        """Grids that the service has to launch and that have runs left, oldest first."""
        query = (
            select(GridRow.grid_id)
            .where(~GridRow.external, ~GridRow.cancelled)
            .where(select(RunRow.run_id).where(RunRow.grid_id == GridRow.grid_id, RunRow.state.in_(UNFINISHED)).exists())
            .order_by(GridRow.created_at)
        )
        with self._engine.connect() as connection:
            return list(connection.scalars(query))

    def pending_runs(self, grid_id: str) -> Work:
        """The runs that a grid answers for and that are not finished, in the grid's order, also those that run right now.

        Raises:
            UnknownIdError: there is no such grid.
        """
        query = (
            select(RunRow.run_id, RunRow.config, RunRow.attempt.label("attempts"), CellRow.fork, CellRow.factors)
            .join(CellRow, and_(CellRow.run_id == RunRow.run_id, CellRow.grid_id == RunRow.grid_id))
            .where(RunRow.grid_id == grid_id, RunRow.state.in_(UNFINISHED))
            .order_by(CellRow.position)
        )
        with self._engine.connect() as connection:
            grid = _grid_row(connection, grid_id)
            conditions = [factor["path"] for factor in grid.factors if factor["role"] == Role.CONDITION]
            runs = [_work_item(dict(row), conditions) for row in connection.execute(query).mappings()]
        return Work(grid_id=grid_id, resources=grid.spec["resources"], early_stopping=grid.spec.get("early_stopping"), runs=runs)

    def fail_runs(self, grid_id: str, message: str) -> int:
        """Give up the unfinished runs that a grid answers for; gives their number."""
        return self._write(lambda connection: _fail_runs(connection, grid_id, message))

    # Runs

    def run_page(self, grid_id: str, query: RunQuery) -> RunPage:
        """The runs of a grid that match, in order; `total` counts all that match.

        Raises:
            UnknownIdError: there is no such grid.
        """
        with self._engine.connect() as connection:
            _grid_row(connection, grid_id)
            if query.where or query.sort:
                total, rows = self._searched(connection, grid_id, query)
            else:
                total, rows = self._listed(connection, grid_id, query)
        return RunPage(total=total, offset=query.offset, limit=len(rows) if query.limit is None else query.limit, runs=_run_summaries(rows))

    def run(self, run_id: str) -> RunView:
        """A run, whole, at its place in the grid that answers for it.

        Raises:
            UnknownIdError: there is none.
        """
        query = self._runs(*SUMMARY_FIELDS, *DETAIL_FIELDS).where(RunRow.run_id == run_id, CellRow.grid_id == RunRow.grid_id)
        with self._engine.connect() as connection:
            if not (row := connection.execute(query).mappings().first()):
                raise UnknownIdError("run", run_id)
        return RunView.model_validate(dict(row))

    def cancel_run(self, run_id: str) -> None:
        """Cancel a run, for every grid that holds it; nothing happens where it is finished.

        Raises:
            UnknownIdError: there is none.
        """
        self._write(lambda connection: _cancel_run(connection, run_id))

    def cells(self, grid_id: str) -> list[CellFactors]:
        """A grid's runs in order, with their factors."""
        query = select(CellRow.run_id, CellRow.factors).where(CellRow.grid_id == grid_id).order_by(CellRow.position)
        with self._engine.connect() as connection:
            return [CellFactors(run_id, factors) for run_id, factors in connection.execute(query)]

    def holds(self, grid_id: str, run_id: str) -> bool:
        """Whether the run is one of the grid's."""
        query = select(CellRow.run_id).where(CellRow.grid_id == grid_id, CellRow.run_id == run_id)
        with self._engine.connect() as connection:
            return connection.scalar(query) is not None

    def run_facts(self, grid_id: str) -> list[RunFacts]:
        """A grid's runs in order, with their whole configurations and label cards.

        Raises:
            UnknownIdError: there is no such grid.
        """
        columns = (self._state().label("state"), RunRow.config, RunRow.labels, RunRow.num_validation, RunRow.summary)
        query = select(RunRow.run_id, *columns).join(CellRow, CellRow.run_id == RunRow.run_id)
        query = query.where(CellRow.grid_id == grid_id).order_by(CellRow.position)
        with self._engine.connect() as connection:
            _grid_row(connection, grid_id)
            rows = connection.execute(query).all()
        return [
            RunFacts(
                row.run_id,
                RunState(row.state),
                row.config,
                row.labels and LabelCard.model_validate(row.labels),
                row.num_validation,
                row.summary and Summary.model_validate(row.summary),
            )
            for row in rows
        ]

    def sweep_lost(self) -> int:
        """Mark the running runs that were not heard of for too long; gives their number."""
        silent = (RunRow.state == RunState.RUNNING) & (RunRow.heard_at < time.time() - self._lost_after_seconds)
        with self._engine.connect() as connection:
            if connection.scalar(select(RunRow.run_id).where(silent).limit(1)) is None:
                return 0
        return self._write(lambda connection: _update_runs(connection, silent, {"state": RunState.LOST}))

    # Records

    def submit_records(self, batch: RecordBatch) -> Future[BatchReply]:
        """Queue a batch of messages; the future has the reply once they are on the disk.

        Raises, or the future does:
            UnknownIdError: there is no such grid.
            InvalidInputError: a message is of a run that the grid does not hold; nothing of the batch is kept.
            WriterBusyError: too much waits to be written.
        """
        return self._writer.submit(lambda connection: _add_records(connection, self._histories, batch))

    def add_records(self, batch: RecordBatch) -> BatchReply:
        """`submit_records`, waited for."""
        return self.submit_records(batch).result(self._write_timeout_seconds)

    def records(self, run_id: str, metrics: Sequence[str] | None = None) -> Records:
        """A run's epoch records, all metrics if None; of each epoch the last attempt's.

        Raises:
            UnknownIdError: there is no such run.
        """
        query = select(EpochRow.epoch, EpochRow.attempt, EpochRow.metrics).where(EpochRow.run_id == run_id)
        query = query.order_by(EpochRow.epoch, EpochRow.attempt)
        with self._engine.connect() as connection:
            if connection.scalar(select(RunRow.run_id).where(RunRow.run_id == run_id)) is None:
                raise UnknownIdError("run", run_id)
            # A later attempt's row follows an earlier one's and takes its place.
            latest = {row.epoch: row for row in connection.execute(query)}
        names = list(dict.fromkeys(name for row in latest.values() for name in row.metrics)) if metrics is None else metrics
        return Records(
            run_id=run_id,
            epochs=list(latest),
            attempts=[row.attempt for row in latest.values()],
            metrics={name: [row.metrics.get(name) for row in latest.values()] for name in names},
        )

    def metric_names(self, grid_id: str) -> list[str]:
        """Every metric that the grid's runs recorded, in the order that they give them."""
        query = select(RunRow.summary).join(CellRow, CellRow.run_id == RunRow.run_id)
        query = query.where(CellRow.grid_id == grid_id, RunRow.epoch > 0).order_by(CellRow.position)
        with self._engine.connect() as connection:
            return list(dict.fromkeys(name for summary in connection.scalars(query) if summary for name in summary["last_metrics"]))

    def metric_values(self, grid_id: str, metric: str) -> Sequence[MetricValue]:
        """One metric of all runs of a grid after all epochs, by run; of each epoch the last attempt's."""
        attempts = select(func.max(RunRow.attempt)).join(CellRow, CellRow.run_id == RunRow.run_id).where(CellRow.grid_id == grid_id)
        query = (
            select(EpochRow.run_id, EpochRow.epoch, EpochRow.metrics[metric].as_float())
            .join(CellRow, CellRow.run_id == EpochRow.run_id)
            .where(CellRow.grid_id == grid_id)
            .order_by(CellRow.position, EpochRow.attempt, EpochRow.epoch)
        )
        with self._engine.connect() as connection:
            has_repeats = (connection.scalar(attempts) or 0) > 1
            values: Sequence[Any] = connection.execute(query).all()
        # A later attempt's value follows an earlier one's and takes its place.
        return list({value[:2]: value for value in values}.values()) if has_repeats else values

    # Labels

    def label_page(self, offset: int, limit: int) -> LabelPage:
        """The label vectors that runs were given, last used first."""
        used = select(RunRow.noisy_hash, func.max(RunRow.started_at).label("last")).where(RunRow.noisy_hash.is_not(None))
        used = used.group_by(RunRow.noisy_hash)
        newest = used.order_by(func.max(RunRow.started_at).desc(), RunRow.noisy_hash).offset(offset).limit(limit)
        with self._engine.connect() as connection:
            total = connection.scalar(select(func.count()).select_from(used.subquery())) or 0
            hashes = [str(noisy_hash) for noisy_hash, _ in connection.execute(newest)]
            entries = {row.noisy_hash: _label_entry(row) for row in connection.execute(_label_rows(hashes))}
        return LabelPage(total=total, offset=offset, limit=limit, labels=[entries[noisy_hash] for noisy_hash in hashes])

    def labels(self, noisy_hash: str) -> LabelView:
        """A label vector: what was measured of it, what made it, and which grids used it.

        Raises:
            UnknownIdError: no run was given it.
        """
        with self._engine.connect() as connection:
            if (row := connection.execute(_label_rows([noisy_hash])).first()) is None:
                raise UnknownIdError("label vector", noisy_hash)
            configs = connection.scalars(select(RunRow.config).where(RunRow.noisy_hash == noisy_hash).order_by(RunRow.started_at))
            origins = _label_origins(configs)
            uses = connection.execute(_label_uses(noisy_hash)).all()
        card = LabelCard.model_validate(row.labels)
        grids = [LabelUse(grid_id=use.grid_id, name=use.name, num_runs=use.num_runs) for use in uses]
        return LabelView(**dict(_label_entry(row)), card=card, rate_by_class=card.rate_by_class, origins=origins, grids=grids)

    # Events

    def sequence(self) -> int:
        """The number of the last change."""
        with self._engine.connect() as connection:
            return connection.scalar(select(SequenceRow.value)) or 0

    def changes(self, grid_id: str, after: int) -> Changes | None:
        """What changed in a grid after change number `after`; None where nothing did.

        Raises:
            UnknownIdError: there is no such grid.
        """
        changed = self._runs(*SUMMARY_FIELDS, RunRow.seq).where(CellRow.grid_id == grid_id, RunRow.seq > after).order_by(CellRow.position)
        with self._engine.connect() as connection:
            grid_seq = _grid_row(connection, grid_id).seq
            rows = connection.execute(changed).mappings().all()
            if not rows and grid_seq <= after:
                return None
            summary = self._grid_summary(connection, grid_id)
        seq = max(after, grid_seq, *(row["seq"] for row in rows))
        return Changes(seq, GridChange(grid=summary, runs=_run_summaries(rows)))

    # Parts of the above

    def _write(self, change: Callable[[Connection], Result]) -> Result:
        return self._writer.write(change, self._write_timeout_seconds)

    def _state(self) -> ColumnElement[str]:
        """A run's state as of now: the sweep may not have come by yet."""
        silent = (RunRow.state == RunState.RUNNING) & (RunRow.heard_at < time.time() - self._lost_after_seconds)
        return case((silent, RunState.LOST.value), else_=RunRow.state).label("state")

    def _runs(self, *fields: Any) -> Select[Any]:
        return select(self._state(), *fields).join(CellRow, CellRow.run_id == RunRow.run_id)

    def _listed(self, connection: Connection, grid_id: str, query: RunQuery) -> tuple[int, Sequence[Any]]:
        """Runs in the grid's order: the database counts and pages."""
        runs = self._runs(*SUMMARY_FIELDS).where(CellRow.grid_id == grid_id)
        if query.states:
            runs = runs.where(self._state().in_(query.states))
        total = connection.scalar(runs.with_only_columns(func.count())) or 0
        page = runs.order_by(CellRow.position).offset(query.offset).limit(query.limit)
        return total, connection.execute(page).mappings().all()

    def _searched(self, connection: Connection, grid_id: str, query: RunQuery) -> tuple[int, Sequence[Any]]:
        """Runs by their factors or their results: one narrow pass over the grid's runs, then the page's rows whole."""
        fields = [RunRow.run_id, CellRow.factors, RunRow.epoch, RunRow.realised_rate]
        if query.sort in SUMMARY_COLUMNS:
            fields.append(RunRow.summary)
        narrow = self._runs(*fields).where(CellRow.grid_id == grid_id).order_by(CellRow.position)
        if query.states:
            narrow = narrow.where(self._state().in_(query.states))
        found = [row for row in connection.execute(narrow) if matches(row.factors, query.where)]
        if query.sort:
            found = in_order(found, query.sort, query.descending)
        end = None if query.limit is None else query.offset + query.limit
        ids = [row.run_id for row in found[query.offset : end]]
        rows: dict[str, Any] = {}
        for some in _portions(ids):
            whole = self._runs(*SUMMARY_FIELDS).where(CellRow.grid_id == grid_id, RunRow.run_id.in_(some))
            rows.update((row["run_id"], row) for row in connection.execute(whole).mappings())
        return len(found), [rows[run_id] for run_id in ids]

    def _grid_summary(self, connection: Connection, grid_id: str) -> GridSummary:
        if not (summaries := self._grid_summaries(connection, [grid_id])):
            raise UnknownIdError("grid", grid_id)
        return summaries[0]

    def _grid_summaries(self, connection: Connection, grid_ids: Sequence[str]) -> list[GridSummary]:
        """Summaries in the order of the ids; unknown ones are left out."""
        state = self._state()
        counts = (
            select(
                CellRow.grid_id,
                state,
                func.count().label("runs"),
                func.sum(RunRow.epoch).label("epoch"),
                func.sum(RunRow.epochs).label("epochs"),
                func.sum(RunRow.forked_after).label("forked"),
                func.sum(func.coalesce(CellRow.epochs_own, RunRow.epochs)).label("own"),
                func.min(case((RunRow.started_at >= GridRow.active_since, RunRow.started_at))).label("first_start"),
            )
            .join(RunRow, RunRow.run_id == CellRow.run_id)
            .join(GridRow, GridRow.grid_id == CellRow.grid_id)
            .where(CellRow.grid_id.in_(grid_ids))
            .group_by(CellRow.grid_id, state)
        )
        tallies: dict[str, list[_Tally]] = {grid_id: [] for grid_id in grid_ids}
        for grid_id, *tally in connection.execute(counts):
            tallies[grid_id].append(_Tally(*tally))
        rows = {row.grid_id: row for row in connection.execute(_grid_rows().where(GridRow.grid_id.in_(grid_ids)))}
        return [_grid_summary(rows[grid_id], tallies[grid_id]) for grid_id in grid_ids if grid_id in rows]


class _Tally(NamedTuple):
    """A grid's runs in one state."""

    state: str
    runs: int
    epoch: int
    epochs: int
    forked: int
    own: int
    first_start: float | None


def _grid_summary(row: Any, tallies: list[_Tally]) -> GridSummary:
    runs_by_state = {RunState(tally.state): tally.runs for tally in tallies}
    state = grid_state(runs_by_state, row.cancelled)
    return GridSummary(
        grid_id=row.grid_id,
        name=row.name,
        state=state,
        created_at=row.created_at,
        num_runs=sum(runs_by_state.values()),
        runs_by_state=runs_by_state,
        epochs_done=sum(tally.epoch for tally in tallies),
        epochs_total=sum(tally.epochs for tally in tallies),
        epochs_shared=sum(tally.epochs - tally.own for tally in tallies),
        epochs_saved=sum(tally.forked for tally in tallies),
        seconds_left=_seconds_left(row, tallies) if state is GridState.RUNNING else None,
        message=row.message,
    )


def grid_state(runs_by_state: dict[RunState, int], cancelled: bool) -> GridState:
    """A grid's state from its runs'. One with runs to come runs as soon as one of them has; at the end, the worst counts."""
    if cancelled:
        return GridState.CANCELLED
    present = {state for state, runs in runs_by_state.items() if runs}
    if present & {RunState.RUNNING, RunState.LOST} or {RunState.QUEUED} < present:
        return GridState.RUNNING
    for state in (RunState.QUEUED, RunState.FAILED, RunState.CANCELLED):
        if state in present:
            return GridState(state.value)
    return GridState.DONE


def _seconds_left(row: Any, tallies: list[_Tally]) -> float | None:
    """Epochs left at the pace since the first of the grid's present runs started."""
    made = sum(tally.epoch - tally.forked for tally in tallies) - row.epochs_before
    left = sum(_epochs_left(tally) for tally in tallies if tally.state in UNFINISHED)
    first_start = min((tally.first_start for tally in tallies if tally.first_start is not None), default=None)
    if made <= 0 or left <= 0 or first_start is None:
        return None
    return max(0.0, time.time() - first_start) / made * left


def _work_item(row: dict[str, Any], conditions: Sequence[str]) -> WorkItem:
    factors = row.pop("factors")
    return WorkItem(**row, condition=content_hash([factors[path] for path in conditions]))


def _epochs_left(tally: _Tally) -> int:
    """Epochs still to train: a queued run will find those that it shares, one that runs has them already."""
    return (tally.own if tally.state == RunState.QUEUED else tally.epochs) - tally.epoch


def _factors(grid: Grid) -> list[Factor]:
    """Each varying path with the values that its runs have, in the order of the runs."""
    factors = []
    for path, role in grid.roles.items():
        values = {json.dumps(cell.factors[path], sort_keys=True): cell.factors[path] for cell in grid.cells}
        factors.append(Factor(path=path, role=role, values=list(values.values())))
    return factors


def _new_run(run_id: str, grid_id: str, config: dict[str, Any]) -> dict[str, Any]:
    rate = config["noise"].get("rate")
    return {
        "run_id": run_id,
        "grid_id": grid_id,
        "config": config,
        "state": RunState.QUEUED.value,
        "attempt": 0,
        "epoch": 0,
        "epochs": config["epochs"],
        # Until the label card comes.
        "noise_rate": rate if isinstance(rate, int | float) else None,
        "log_tail": "",
    }


def _grid_rows() -> Select[Any]:
    return select(GridRow.__table__)


def _grid_row(connection: Connection, grid_id: str) -> Any:
    if (row := connection.execute(_grid_rows().where(GridRow.grid_id == grid_id)).first()) is None:
        raise UnknownIdError("grid", grid_id)
    return row


def _run_summaries(rows: Iterable[Any]) -> list[RunSummary]:
    return [RunSummary.model_validate(dict(row)) for row in rows]


def _portions(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + MAX_IDS] for start in range(0, len(ids), MAX_IDS))


def _label_rows(hashes: Sequence[str]) -> Select[Any]:
    """Of each label vector: one run that was given it, and how many runs and grids were."""
    given = (
        select(
            RunRow.noisy_hash,
            func.min(RunRow.run_id).label("run_id"),
            func.count(RunRow.run_id.distinct()).label("num_runs"),
            func.count(CellRow.grid_id.distinct()).label("num_grids"),
        )
        .join(CellRow, CellRow.run_id == RunRow.run_id)
        .where(RunRow.noisy_hash.in_(hashes))
        .group_by(RunRow.noisy_hash)
        .subquery()
    )
    columns = (RunRow.noisy_hash, RunRow.config, RunRow.labels, given.c.num_runs, given.c.num_grids)
    return select(*columns).join(given, given.c.run_id == RunRow.run_id)


def _label_uses(noisy_hash: str) -> Select[str, str, int]:
    """The grids that hold runs with a label vector, newest first."""
    return (
        select(GridRow.grid_id, GridRow.name, func.count().label("num_runs"))
        .join(CellRow, CellRow.grid_id == GridRow.grid_id)
        .join(RunRow, RunRow.run_id == CellRow.run_id)
        .where(RunRow.noisy_hash == noisy_hash)
        .group_by(GridRow.grid_id, GridRow.name, GridRow.created_at)
        .order_by(GridRow.created_at.desc(), GridRow.grid_id)
    )


def _label_entry(row: Any) -> LabelEntry:
    card = LabelCard.model_validate(row.labels)
    facts = card.model_dump(
        include={"noisy_hash", "clean_hash", "noise_rate", "realised_rate", "num_examples", "num_corrupt", "num_replaced"}
    )
    return LabelEntry(**facts, **_drawn_by(row.config), num_runs=row.num_runs, num_grids=row.num_grids)


def _label_origins(configs: Iterable[dict[str, Any]]) -> list[LabelOrigin]:
    """Each generator and seed among runs' configurations, and how many runs have it."""
    origins: dict[str, LabelOrigin] = {}
    for config in configs:
        drawn = _drawn_by(config)
        origin = origins.setdefault(json.dumps(drawn, sort_keys=True), LabelOrigin(**drawn, num_runs=0))
        origin.num_runs += 1
    return list(origins.values())


def _drawn_by(config: dict[str, Any]) -> dict[str, Any]:
    return {"dataset": config["dataset"], "noise": config["noise"], "label_seed": config["seeds"]["label"]}


# Changes: each runs in the writer's thread, in a savepoint of its own.


def _next_seq(connection: Connection) -> int:
    return int(connection.execute(_NEXT_SEQ).scalar_one())


def _insert_grid(connection: Connection, row: dict[str, Any], runs: list[dict[str, Any]], cells: list[dict[str, Any]]) -> bool:
    grid_id = row["grid_id"]
    if connection.scalar(select(GridRow.grid_id).where(GridRow.grid_id == grid_id)) is not None:
        return False
    seq, now = _next_seq(connection), time.time()
    present: dict[str, Any] = {}
    for some in _portions([run["run_id"] for run in runs]):
        known = select(RunRow.run_id, RunRow.state, RunRow.epoch - RunRow.forked_after).where(RunRow.run_id.in_(some))
        present.update((run.run_id, run) for run in connection.execute(known))
    epochs_before = sum(trained for _, _, trained in present.values())
    grid_times = {"created_at": now, "active_since": now, "epochs_before": epochs_before}
    connection.execute(insert(GridRow), [{**row, **grid_times, "seq": seq}])
    if new := [{**run, "seq": seq} for run in runs if run["run_id"] not in present]:
        connection.execute(insert(RunRow.__table__), new)  # type: ignore[arg-type]  # a Table
    for some in _portions([run.run_id for run in present.values() if run.state in INCOMPLETE]):
        _queue_again(connection, RunRow.run_id.in_(some), grid_id, seq)
    connection.execute(insert(CellRow.__table__), cells)  # type: ignore[arg-type]  # a Table
    return True


def _queue_again(connection: Connection, which: ColumnElement[bool], grid_id: str, seq: int) -> None:
    fresh = {"grid_id": grid_id, "state": RunState.QUEUED.value, "finished_at": None, "error": None, "log_tail": "", "seq": seq}
    connection.execute(update(RunRow).where(which).values(fresh))


def _held_by(grid_id: str) -> Select[Any]:
    return select(CellRow.run_id).where(CellRow.grid_id == grid_id)


def _cancel_grid(connection: Connection, grid_id: str) -> list[str]:
    if _grid_row(connection, grid_id).cancelled:
        return []
    unfinished = RunRow.state.in_(UNFINISHED)
    if connection.scalar(select(RunRow.run_id).where(RunRow.run_id.in_(_held_by(grid_id)), unfinished).limit(1)) is None:
        return []
    seq = _next_seq(connection)
    connection.execute(update(GridRow).where(GridRow.grid_id == grid_id).values(cancelled=True, message="", seq=seq))
    heirs = _heirs(connection, grid_id)
    for run_id, heir in heirs.items():
        _queue_again(connection, RunRow.run_id == run_id, heir, seq)
    rest = (RunRow.grid_id == grid_id) & unfinished
    connection.execute(update(RunRow).where(rest).values(state=RunState.CANCELLED.value, finished_at=time.time(), seq=seq))
    return list(dict.fromkeys(heirs.values()))


def _heirs(connection: Connection, grid_id: str) -> dict[str, str]:
    """For the grid's unfinished runs that another grid wants too: the grid that shall make them, by run.

    One that the service launches goes before one that somebody else does, an older before a younger.
    """
    query = (
        select(RunRow.run_id, GridRow.grid_id)
        .join(CellRow, CellRow.run_id == RunRow.run_id)
        .join(GridRow, GridRow.grid_id == CellRow.grid_id)
        .where(RunRow.grid_id == grid_id, RunRow.state.in_(UNFINISHED), GridRow.grid_id != grid_id, ~GridRow.cancelled)
        .order_by(GridRow.external, GridRow.created_at)
    )
    heirs: dict[str, str] = {}
    for run_id, heir in connection.execute(query):
        heirs.setdefault(run_id, heir)
    return heirs


def _resume_grid(connection: Connection, grid_id: str, state: ColumnElement[str]) -> None:
    row = _grid_row(connection, grid_id)
    seq = _next_seq(connection)
    held = RunRow.run_id.in_(_held_by(grid_id))
    running = select(RunRow.run_id).where(held, state == RunState.RUNNING).limit(1)
    is_made_elsewhere = row.external and connection.scalar(running) is not None
    states = REPEATABLE if row.spec.get("early_stopping") else INCOMPLETE
    _queue_again(connection, held & RunRow.state.in_(states), grid_id, seq)
    epochs = connection.scalar(select(func.sum(RunRow.epoch - RunRow.forked_after)).where(held)) or 0
    fresh = {"cancelled": False, "message": "", "external": is_made_elsewhere, "active_since": time.time(), "epochs_before": epochs}
    connection.execute(update(GridRow).where(GridRow.grid_id == grid_id).values(**fresh, seq=seq))


def _set_message(connection: Connection, grid_id: str, message: str) -> None:
    if _grid_row(connection, grid_id).message != message:
        connection.execute(update(GridRow).where(GridRow.grid_id == grid_id).values(message=message, seq=_next_seq(connection)))


def _update_runs(connection: Connection, which: ColumnElement[bool], values: dict[str, Any]) -> int:
    return int(connection.execute(update(RunRow).where(which).values(**values, seq=_next_seq(connection))).rowcount)


def _cancel_run(connection: Connection, run_id: str) -> None:
    if connection.scalar(select(RunRow.run_id).where(RunRow.run_id == run_id)) is None:
        raise UnknownIdError("run", run_id)
    which = (RunRow.run_id == run_id) & RunRow.state.in_(UNFINISHED)
    _update_runs(connection, which, {"state": RunState.CANCELLED.value, "finished_at": time.time()})


def _fail_runs(connection: Connection, grid_id: str, message: str) -> int:
    which = (RunRow.grid_id == grid_id) & RunRow.state.in_(UNFINISHED)
    return _update_runs(connection, which, {"state": RunState.FAILED.value, "error": message, "finished_at": time.time()})


# A batch of records


class _Named(NamedTuple):
    """A run that a batch names: as it stands, and the change that it last had."""

    progress: Progress
    grid_id: str
    seq: int


def _add_records(connection: Connection, histories: Histories, batch: RecordBatch) -> BatchReply:
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


# Made once: SQLAlchemy takes longer to put a statement together than SQLite to run it.
_NEXT_SEQ = update(SequenceRow).values(value=SequenceRow.value + 1).returning(SequenceRow.value)
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
    for some in _portions(ids):
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
    seq = _next_seq(connection) if told else 0
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
