"""Grids in the database: how they come in, how far they are, how they are cancelled and taken up again.

Changes run in the writer's thread, each in a savepoint of its own.
"""

import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, case, cast, func, insert, select, update

from server.store._common import INCOMPLETE, REPEATABLE, UNFINISHED, grid_row, grid_rows, next_seq, portions
from server.tables import CellRow, GridRow, RunRow
from server.views import Factor, GridState, GridSummary
from spec.grid import Grid
from spec.records import RunState


class NewGrid(NamedTuple):
    """The rows of a grid that comes in."""

    grid: dict[str, Any]
    runs: list[dict[str, Any]]
    cells: list[dict[str, Any]]

    @classmethod
    def of(cls, grid: Grid, external: bool) -> "NewGrid":
        """Made outside the writer's thread, which everybody waits for."""
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
        return cls(row, runs, cells)


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


def insert_grid(connection: Connection, new: NewGrid) -> bool:
    grid_id = new.grid["grid_id"]
    if connection.scalar(select(GridRow.grid_id).where(GridRow.grid_id == grid_id)) is not None:
        return False
    seq, now = next_seq(connection), time.time()
    present: dict[str, Any] = {}
    for some in portions([run["run_id"] for run in new.runs]):
        known = select(RunRow.run_id, RunRow.state, RunRow.epoch - RunRow.forked_after).where(RunRow.run_id.in_(some))
        present.update((run.run_id, run) for run in connection.execute(known))
    epochs_before = sum(trained for _, _, trained in present.values())
    grid_times = {"created_at": now, "active_since": now, "epochs_before": epochs_before}
    connection.execute(insert(GridRow), [{**new.grid, **grid_times, "seq": seq}])
    if unknown := [{**run, "seq": seq} for run in new.runs if run["run_id"] not in present]:
        connection.execute(insert(RunRow.__table__), unknown)  # type: ignore[arg-type]  # a Table
    for some in portions([run.run_id for run in present.values() if run.state in INCOMPLETE]):
        _queue_again(connection, RunRow.run_id.in_(some), grid_id, seq)
    connection.execute(insert(CellRow.__table__), new.cells)  # type: ignore[arg-type]  # a Table
    return True


def _queue_again(connection: Connection, which: ColumnElement[bool], grid_id: str, seq: int) -> None:
    fresh = {"grid_id": grid_id, "state": RunState.QUEUED.value, "finished_at": None, "error": None, "log_tail": "", "seq": seq}
    connection.execute(update(RunRow).where(which).values(fresh))


def _held_by(grid_id: str) -> Select[Any]:
    return select(CellRow.run_id).where(CellRow.grid_id == grid_id)


def cancel_grid(connection: Connection, grid_id: str) -> list[str]:
    if grid_row(connection, grid_id).cancelled:
        return []
    unfinished = RunRow.state.in_(UNFINISHED)
    if connection.scalar(select(RunRow.run_id).where(RunRow.run_id.in_(_held_by(grid_id)), unfinished).limit(1)) is None:
        return []
    seq = next_seq(connection)
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


def resume_grid(connection: Connection, grid_id: str, state: ColumnElement[str]) -> None:
    row = grid_row(connection, grid_id)
    seq = next_seq(connection)
    held = RunRow.run_id.in_(_held_by(grid_id))
    running = select(RunRow.run_id).where(held, state == RunState.RUNNING).limit(1)
    is_made_elsewhere = row.external and connection.scalar(running) is not None
    states = REPEATABLE if row.spec.get("early_stopping") else INCOMPLETE
    _queue_again(connection, held & RunRow.state.in_(states), grid_id, seq)
    epochs = connection.scalar(select(_total(RunRow.epoch - RunRow.forked_after)).where(held)) or 0
    fresh = {"cancelled": False, "message": "", "external": is_made_elsewhere, "active_since": time.time(), "epochs_before": epochs}
    connection.execute(update(GridRow).where(GridRow.grid_id == grid_id).values(**fresh, seq=seq))


def set_message(connection: Connection, grid_id: str, message: str) -> None:
    if grid_row(connection, grid_id).message != message:
        connection.execute(update(GridRow).where(GridRow.grid_id == grid_id).values(message=message, seq=next_seq(connection)))


def _total(number: Any) -> ColumnElement[int]:
    """The sum, as a whole number: PostgreSQL would make a decimal of it."""
    return cast(func.sum(number), BigInteger)


class _Tally(NamedTuple):
    """A grid's runs in one state."""

    state: str
    runs: int
    epoch: int
    epochs: int
    forked: int
    own: int
    first_start: float | None


def grid_summaries(connection: Connection, grid_ids: Sequence[str], state: ColumnElement[str]) -> list[GridSummary]:
    """Summaries in the order of the ids; unknown ones are left out. `state`: of a run, as of now."""
    counts = (
        select(
            CellRow.grid_id,
            state,
            func.count().label("runs"),
            _total(RunRow.epoch).label("epoch"),
            _total(RunRow.epochs).label("epochs"),
            _total(RunRow.forked_after).label("forked"),
            _total(func.coalesce(CellRow.epochs_own, RunRow.epochs)).label("own"),
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
    rows = {row.grid_id: row for row in connection.execute(grid_rows().where(GridRow.grid_id.in_(grid_ids)))}
    return [_grid_summary(rows[grid_id], tallies[grid_id]) for grid_id in grid_ids if grid_id in rows]


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


def _epochs_left(tally: _Tally) -> int:
    """Epochs still to train: a queued run will find those that it shares, one that runs has them already."""
    return (tally.own if tally.state == RunState.QUEUED else tally.epochs) - tally.epoch
