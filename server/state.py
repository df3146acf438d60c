"""State: what a running service holds, and how routes get at it."""

from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from server.db import Writer
from server.launcher import Launcher
from server.notifier import Notifier
from server.settings import Settings
from server.store import Store
from server.tokens import Tokens
from spec.run import RunConfig

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class State:
    """Made when the service starts, closed when it stops."""

    settings: Settings
    store: Store
    writer: Writer
    tokens: Tokens
    launcher: Launcher
    run_type: type[RunConfig]
    notifier: Notifier
    version: str
    kept: dict[type, Any] = field(default_factory=dict)

    def only(self, kind: type[Kept]) -> Kept:
        """The service's one object of a class, such as a cache; made when it is first asked for."""
        kept: Kept = self.kept.setdefault(kind, kind())
        return kept


# Asynchronous, because FastAPI would send a plain function to a thread, for every request.
async def _state(request: Request) -> State:
    state: State = request.app.state.noisegrid
    return state


StateDep = Annotated[State, Depends(_state)]


async def _store(state: StateDep) -> Store:
    return state.store


StoreDep = Annotated[Store, Depends(_store)]
