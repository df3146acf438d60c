"""Notifier: wakes event streams after a commit, from the writer's thread into the server's event loop."""

import asyncio
import contextlib


class Notifier:
    """Belongs to one event loop. `notify` may be called from any thread, everything else in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._news = asyncio.Event()
        self.closed = False

    def notify(self) -> None:
        """Something was committed."""
        # A loop that is closed has nobody left to wake.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """End every stream, from any thread or signal handler: the server waits for open connections before it stops."""
        self.closed = True
        self.notify()

    def ticket(self) -> asyncio.Event:
        """An event that the next commit sets. Take it before reading, and no commit goes unnoticed."""
        return self._news

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
