"""Launcher: who makes a grid's runs happen. The service asks; it never waits for training."""

from dataclasses import dataclass, field
from typing import Protocol

from server.settings import Settings
from server.store import Store
from server.tokens import Tokens


@dataclass(frozen=True)
class GridService:
    """What a launcher may ask of the service.

    `store.active_grids()` names the grids to work on, `store.pending_runs(grid_id)` what is left of one,
    `store.fail_runs(grid_id, message)` gives its runs up and `store.set_message(grid_id, message)` tells people why it stands still.
    """

    settings: Settings
    store: Store
    tokens: Tokens

    @property
    def url(self) -> str:
        """The service's address, as workers reach it."""
        return self.settings.url

    def token(self, grid_id: str) -> str:
        """The token with which the grid's workers send records and its driver reads what is left."""
        return self.tokens.of(grid_id)


class Launcher(Protocol):
    """Makes sure that somebody works on a grid. All methods return at once."""

    def start(self, service: GridService) -> None:
        """Called when the service has opened its database; may start threads."""

    def close(self) -> None:
        """Called when the service stops. Grids that run go on."""

    def launch(self, grid_id: str) -> None:
        """Have a driver work on the grid's remaining runs; nothing happens where one does already."""

    def stop(self, grid_id: str) -> None:
        """Stop the grid's driver and its workers; nothing happens where there are none."""

    def log(self, grid_id: str, after: int) -> tuple[str, int]:
        """The driver's log from position `after` on, and the position to ask from next."""
        ...

    def status(self) -> str:
        """One line for /health: 'not started', an address, or what is wrong with it."""
        ...


@dataclass
class NullLauncher:
    """Launches nothing and remembers what it was asked: for tests, and for grids that are launched from elsewhere."""

    launched: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def start(self, service: GridService) -> None:
        pass

    def close(self) -> None:
        pass

    def launch(self, grid_id: str) -> None:
        self.launched.append(grid_id)

    def stop(self, grid_id: str) -> None:
        self.stopped.append(grid_id)

    def log(self, grid_id: str, after: int) -> tuple[str, int]:
        return "", after

    def status(self) -> str:
        return "not started"
