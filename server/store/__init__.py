"""Store: everything that is asked of the database and done to it. All SQL stands in this package.

Reads take their own connections and see one moment. Changes go through the writer; each takes the next number of the
sequence, and every grid and run that it touches carries that number as `seq`.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, case, func, select

from server.db import Writer
from server.histories import Histories
from server.run_table import SUMMARY_COLUMNS, RunQuery, in_order, matches
from server.store._common import UNFINISHED, UnknownIdError, grid_row, portions, update_runs
from server.store._grids import NewGrid, cancel_grid, grid_state, grid_summaries, insert_grid, resume_grid, set_message
from server.store._labels import label_entry, label_origins, label_rows, label_uses
from server.store._records import add_records
from server.store._runs import DETAIL_FIELDS, SUMMARY_FIELDS, CellFactors, RunFacts, cancel_run, fail_runs, run_summaries, work_item
from server.tables import CellRow, EpochRow, GridRow, RunRow, SequenceRow
from server.views import Factor, GridChange, GridPage, GridSummary, GridView, LabelPage, LabelUse, LabelView, Records, RunPage, RunView
from spec.grid import Grid, Role
from spec.records import BatchReply, LabelCard, RecordBatch, RunState, Work
from spec.summary import Summary

__all__ = ["CellFactors", "Changes", "MetricValue", "RunFacts", "Store", "UnknownIdError", "grid_state"]

Result = TypeVar("Result")
# One metric of one run after one epoch: run, epoch, value.
MetricValue = tuple[str, int, float | None]


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
        new = NewGrid.of(grid, external)
        return self._write(lambda connection: insert_grid(connection, new))

    def grids(self, offset: int, limit: int) -> GridPage:
        """A page of all grids, newest first."""
        with self._engine.connect() as connection:
            total = connection.scalar(select(func.count()).select_from(GridRow)) or 0
            newest = select(GridRow.grid_id).order_by(GridRow.created_at.desc(), GridRow.grid_id).offset(offset).limit(limit)
            summaries = grid_summaries(connection, list(connection.scalars(newest)), self._state())
        return GridPage(total=total, offset=offset, limit=limit, grids=summaries)

    def grid(self, grid_id: str) -> GridView:
        """A grid, whole.

        Raises:
            UnknownIdError: there is none.
        """
        with self._engine.connect() as connection:
            row = grid_row(connection, grid_id)
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
            return [Factor.model_validate(factor) for factor in grid_row(connection, grid_id).factors]

    def is_external(self, grid_id: str) -> bool:
        """Whether the grid's sender launches its runs.

        Raises:
            UnknownIdError: there is no such grid.
        """
        with self._engine.connect() as connection:
            return bool(grid_row(connection, grid_id).external)

    def cancel_grid(self, grid_id: str) -> list[str]:
        """Cancel a grid's unfinished runs; those that another grid holds too are handed to it. Gives the grids that got some.

        Raises:
            UnknownIdError: there is no such grid.
        """
        return self._write(lambda connection: cancel_grid(connection, grid_id))

    def resume_grid(self, grid_id: str) -> None:
        """Queue a grid's failed and cancelled runs again.

        The service takes a grid over that was launched from elsewhere, unless its runs are being made right now.

        Raises:
            UnknownIdError: there is no such grid.
        """
        state = self._state()
        self._write(lambda connection: resume_grid(connection, grid_id, state))

    def set_message(self, grid_id: str, message: str) -> None:
        """Tell people why a grid stands still."""
        self._write(lambda connection: set_message(connection, grid_id, message))

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
            grid = grid_row(connection, grid_id)
            conditions = [factor["path"] for factor in grid.factors if factor["role"] == Role.CONDITION]
            runs = [work_item(dict(row), conditions) for row in connection.execute(query).mappings()]
        return Work(grid_id=grid_id, resources=grid.spec["resources"], early_stopping=grid.spec.get("early_stopping"), runs=runs)

    def fail_runs(self, grid_id: str, message: str) -> int:
        """Give up the unfinished runs that a grid answers for; gives their number."""
        return self._write(lambda connection: fail_runs(connection, grid_id, message))

    # Runs

    def run_page(self, grid_id: str, query: RunQuery) -> RunPage:
        """The runs of a grid that match, in order; `total` counts all that match.

        Raises:
            UnknownIdError: there is no such grid.
        """
        with self._engine.connect() as connection:
            grid_row(connection, grid_id)
            if query.where or query.sort:
                total, rows = self._searched(connection, grid_id, query)
            else:
                total, rows = self._listed(connection, grid_id, query)
        return RunPage(total=total, offset=query.offset, limit=len(rows) if query.limit is None else query.limit, runs=run_summaries(rows))

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
        self._write(lambda connection: cancel_run(connection, run_id))

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
            grid_row(connection, grid_id)
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
        return self._write(lambda connection: update_runs(connection, silent, {"state": RunState.LOST}))

    # Records

    def submit_records(self, batch: RecordBatch) -> Future[BatchReply]:
        """Queue a batch of messages; the future has the reply once they are on the disk.

        Raises, or the future does:
            UnknownIdError: there is no such grid.
            InvalidInputError: a message is of a run that the grid does not hold; nothing of the batch is kept.
            WriterBusyError: too much waits to be written.
        """
        return self._writer.submit(lambda connection: add_records(connection, self._histories, batch))

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
            entries = {row.noisy_hash: label_entry(row) for row in connection.execute(label_rows(hashes))}
        return LabelPage(total=total, offset=offset, limit=limit, labels=[entries[noisy_hash] for noisy_hash in hashes])

    def labels(self, noisy_hash: str) -> LabelView:
        """A label vector: what was measured of it, what made it, and which grids used it.

        Raises:
            UnknownIdError: no run was given it.
        """
        with self._engine.connect() as connection:
            if (row := connection.execute(label_rows([noisy_hash])).first()) is None:
                raise UnknownIdError("label vector", noisy_hash)
            configs = connection.scalars(select(RunRow.config).where(RunRow.noisy_hash == noisy_hash).order_by(RunRow.started_at))
            origins = label_origins(configs)
            uses = connection.execute(label_uses(noisy_hash)).all()
        card = LabelCard.model_validate(row.labels)
        grids = [LabelUse(grid_id=use.grid_id, name=use.name, num_runs=use.num_runs) for use in uses]
        return LabelView(**dict(label_entry(row)), card=card, rate_by_class=card.rate_by_class, origins=origins, grids=grids)

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
            grid_seq = grid_row(connection, grid_id).seq
            rows = connection.execute(changed).mappings().all()
            if not rows and grid_seq <= after:
                return None
            summary = self._grid_summary(connection, grid_id)
        seq = max(after, grid_seq, *(row["seq"] for row in rows))
        return Changes(seq, GridChange(grid=summary, runs=run_summaries(rows)))

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
        for some in portions(ids):
            whole = self._runs(*SUMMARY_FIELDS).where(CellRow.grid_id == grid_id, RunRow.run_id.in_(some))
            rows.update((row["run_id"], row) for row in connection.execute(whole).mappings())
        return len(found), [rows[run_id] for run_id in ids]

    def _grid_summary(self, connection: Connection, grid_id: str) -> GridSummary:
        if not (summaries := grid_summaries(connection, [grid_id], self._state())):
            raise UnknownIdError("grid", grid_id)
        return summaries[0]
