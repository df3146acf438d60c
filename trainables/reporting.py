"""Reporting: what a run says while it trains, and to whom."""

import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import Protocol, Self

from pydantic import BaseModel

from spec.records import Heartbeat, RunFacts, RunState
from trainables.outbox import Outbox, Pause, RefusedError, Service, ServiceUnavailableError
from trainables.record_file import LOCK_SECONDS, EpochMetrics, RecordFile

log = logging.getLogger(__name__)

# Short epochs share a batch: no more than this many seconds' worth of them.
LINGER_SECONDS = 0.2
HEARTBEAT_SECONDS = 5.0


class Reporter(Protocol):
    """Where a run's messages go. The run's identity and attempt are the reporter's own business."""

    @property
    def stop_requested(self) -> bool:
        """Whether somebody cancelled the run; asked after every epoch."""
        ...

    def started(self, facts: RunFacts) -> None:
        """The run is set up and trains from the epoch after `facts.resumed_from`."""

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """What was measured after an epoch, counted from 1. Durable when this returns."""

    def inherited(self, epochs: EpochMetrics) -> None:
        """What another run measured after the epochs that it trained for this one, too."""

    def finished(self, state: RunState, error: str | None = None, log_tail: str = "") -> None:
        """The run is over."""


class NullReporter:
    """Says nothing to nobody: for tests, and for all ranks but the first."""

    stop_requested = False

    def started(self, facts: RunFacts) -> None:
        pass

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        pass

    def inherited(self, epochs: EpochMetrics) -> None:
        pass

    def finished(self, state: RunState, error: str | None = None, log_tail: str = "") -> None:
        pass


class HttpReporter(RecordFile):
    """A record file whose lines a thread sends to the service as they come; what cannot be sent waits in the file."""

    def __init__(
        self, folder: Path, run_id: str, service: Service, grid_id: str, lock_seconds: float = LOCK_SECONDS, attempts: int = 0
    ) -> None:
        super().__init__(folder, run_id, lock_seconds, attempts)
        self._outbox = Outbox(folder, service, grid_id)
        self._cancelled = threading.Event()
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._send_until_closed, name=f"report {run_id}", daemon=True)

    @property
    def stop_requested(self) -> bool:  # type: ignore[override]  # the record file's never changes
        return self._cancelled.is_set()

    def open(self) -> Self:
        """Say that the run is alive, hear whether it was cancelled meanwhile, and send from now on."""
        with contextlib.suppress(ServiceUnavailableError, RefusedError):
            self._beat()
        self._news.set()
        self._thread.start()
        return self

    def close(self, drain_seconds: float = 10.0) -> None:
        """Send what is left, for so long; the rest stays in the outbox."""
        self._closing.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join(drain_seconds)
        super().close()

    def __enter__(self) -> Self:
        return self.open()

    def _write(self, *messages: BaseModel) -> None:
        super()._write(*messages)
        self._news.set()

    def _send_until_closed(self) -> None:
        pause = Pause()
        while not self._closing.is_set():
            heard = self._news.wait(HEARTBEAT_SECONDS)
            self._closing.wait(LINGER_SECONDS)
            self._news.clear()
            if self._delivers(with_news=heard):
                pause.reset()
            else:
                self._news.set()
                self._closing.wait(pause.seconds())
        # A service that is away must not hold up the next run: the file keeps what two tries could not send.
        if not self._delivers(with_news=True):
            time.sleep(0.5)
            self._delivers(with_news=True)

    def _delivers(self, with_news: bool) -> bool:
        """Whether the service took what waits, or, where nothing does, heard that the run is alive."""
        try:
            if with_news:
                self._hear(self._outbox.send())
            else:
                self._beat()
        except (ServiceUnavailableError, RefusedError) as error:
            log.debug("the records of run %s wait: %s", self.run_id, error)
            return False
        return True

    def _beat(self) -> None:
        self._hear(self._outbox.post([Heartbeat(run_id=self.run_id, attempt=self.attempt).model_dump(mode="json")]))

    def _hear(self, cancelled: set[str]) -> None:
        if self.run_id in cancelled:
            self._cancelled.set()
