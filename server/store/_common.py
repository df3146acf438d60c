"""What every part of the store needs: unknown ids, the sequence of changes, the states that runs can be taken up from."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select, update

from server.tables import GridRow, RunRow, SequenceRow
from spec.records import RunState

UNFINISHED = (RunState.QUEUED, RunState.RUNNING, RunState.LOST)
REPEATABLE = (RunState.FAILED, RunState.CANCELLED)
# A grid that stops runs early leaves them to those that want all of their epochs.
INCOMPLETE = (*REPEATABLE, RunState.STOPPED)
# Below the number of parameters that one SQLite statement may have (32,766), and PostgreSQL's (65,535).
MAX_IDS = 10_000

# Made once: SQLAlchemy takes longer to put a statement together than SQLite to run it.
_NEXT_SEQ = update(SequenceRow).values(value=SequenceRow.value + 1).returning(SequenceRow.value)


class UnknownIdError(LookupError):
    """There is no grid or run of that id."""

    def __init__(self, kind: str, given: str) -> None:
        self.kind, self.given = kind, given
        super().__init__(f"there is no {kind} {given!r}")


def grid_rows() -> Select[Any]:
    return select(GridRow.__table__)


def grid_row(connection: Connection, grid_id: str) -> Any:
    if (row := connection.execute(grid_rows().where(GridRow.grid_id == grid_id)).first()) is None:
        raise UnknownIdError("grid", grid_id)
    return row


def portions(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + MAX_IDS] for start in range(0, len(ids), MAX_IDS))


def next_seq(connection: Connection) -> int:
    return int(connection.execute(_NEXT_SEQ).scalar_one())


def update_runs(connection: Connection, which: ColumnElement[bool], values: dict[str, Any]) -> int:
    return int(connection.execute(update(RunRow).where(which).values(**values, seq=next_seq(connection))).rowcount)
