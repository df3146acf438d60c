"""Reporting: what a run says while it trains, and to whom.

Every message is first a line of `records.jsonl` in the run's folder, on disk before the training goes on. That file is the
truth: it is all that a run without a service leaves, and the outbox from which the service is told, now or after it was away.
"""

import contextlib
import fcntl
import json
import logging
import os
import random
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

from pydantic import BaseModel

from spec.records import EXAMPLES, BatchReply, EpochRecord, Finished, Heartbeat, RunFacts, RunState, Started

log = logging.getLogger(__name__)

# Epoch (from 1) -> what was measured after it; a loss that diverged is None.
EpochMetrics = dict[int, dict[str, float | None]]

RECORDS = "records.jsonl"
SENT = "records.sent"
# The mark that the service has what the run left about its examples.
EXAMPLES_SENT = "examples.sent"
# Metrics that say what an epoch cost, not what it did.
SECONDS = ("train_seconds", "evaluate_seconds")

BATCH_MESSAGES = 500
# Short epochs share a batch: no more than this many seconds' worth of them.
LINGER_SECONDS = 0.2
HEARTBEAT_SECONDS = 5.0
REQUEST_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 30.0
# A killed predecessor's process may take this long to be gone.
LOCK_SECONDS = 60.0


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


class RecordFile:
    """A run's messages, one JSON line each, on disk when a method returns.

    One process at a time holds a run's file: a second one waits until the first is gone. `attempts` is how many there
    were before, as far as the service knows.

    Raises:
        RuntimeError: another process still holds the file after `lock_seconds`.
    """

    stop_requested = False

    def __init__(self, folder: Path, run_id: str, lock_seconds: float = LOCK_SECONDS, attempts: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.run_id = run_id
        self._file = (folder / RECORDS).open("ab")
        try:
            _lock(self._file.fileno(), folder, lock_seconds)
        except BaseException:
            self._file.close()
            raise
        _cut_torn_line(folder / RECORDS)
        # Earlier attempts may have run elsewhere, and have left nothing here.
        self._last_attempt = max([attempts, *(message.get("attempt", 0) for message in messages_in(folder))])
        self.attempt = self._last_attempt + 1

    def started(self, facts: RunFacts) -> None:
        self._write(Started(run_id=self.run_id, attempt=self.attempt, host=socket.gethostname(), **dict(facts)))

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        self._write(self._epoch_record(epoch, dict(metrics)))

    def inherited(self, epochs: EpochMetrics) -> None:
        self._write(*(self._epoch_record(epoch, metrics) for epoch, metrics in sorted(epochs.items())))

    def finished(self, state: RunState, error: str | None = None, log_tail: str = "") -> None:
        self._write(Finished(run_id=self.run_id, attempt=self.attempt, state=state, error=error, log_tail=log_tail))

    def abandoned(self, error: str, log_tail: str = "") -> None:
        """The attempt before this one failed without saying so: its process died."""
        self.attempt = max(self._last_attempt, 1)
        self.finished(RunState.FAILED, error, log_tail)

    def close(self) -> None:
        """Let another process have the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _epoch_record(self, epoch: int, metrics: dict[str, float | None]) -> EpochRecord:
        return EpochRecord(run_id=self.run_id, attempt=self.attempt, epoch=epoch, metrics=metrics)

    def _write(self, *messages: BaseModel) -> None:
        self._file.writelines(message.model_dump_json().encode() + b"\n" for message in messages)
        self._file.flush()
        os.fsync(self._file.fileno())


class HttpReporter(RecordFile):
    """A record file whose lines a thread sends to the service as they come; what cannot be sent waits in the file."""

    def __init__(
        self, folder: Path, run_id: str, service: "Service", grid_id: str, lock_seconds: float = LOCK_SECONDS, attempts: int = 0
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


class ServiceUnavailableError(ConnectionError):
    """The service did not answer, or asked to be asked later."""


class RefusedError(RuntimeError):
    """The service answered that the request itself is wrong."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"the service answered {status}: {text}")
        self.status = status


class Service:
    """The service's REST interface, as far as a worker and a launcher need it, with the standard library alone."""

    def __init__(self, server: str, token: str | None = None) -> None:
        self.server = server.rstrip("/")
        self.token = token
        # A proxy meant for the internet does not know this machine's own ports.
        local = urlsplit(server).hostname in ("127.0.0.1", "localhost", "::1")
        self._opener = urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON.

        Raises:
            ServiceUnavailableError: no answer, a server error, or "too many requests".
            RefusedError: any other error status.
        """
        return self._exchange(method, path, None if body is None else json.dumps(body).encode(), "application/json")

    def upload(self, path: str, content: bytes) -> None:
        """PUT a file. It raises as `request` does."""
        self._exchange("PUT", path, content, "application/octet-stream")

    def _exchange(self, method: str, path: str, content: bytes | None, content_type: str) -> Any:
        headers = {"Content-Type": content_type} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        request = urllib.request.Request(self.server + path, content, headers, method=method)
        try:
            with self._opener.open(request, timeout=REQUEST_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read(2000).decode(errors="replace")
            if error.code == 429 or error.code >= 500:
                raise ServiceUnavailableError(f"{self.server} answered {error.code}: {text}") from error
            raise RefusedError(error.code, text) from error
        except (OSError, ValueError) as error:
            raise ServiceUnavailableError(f"{self.server} does not answer: {error}") from error


class Outbox:
    """What the service has not acknowledged yet of a run's record file, and of what it left about each example."""

    def __init__(self, folder: Path, service: Service, grid_id: str, from_start: bool = False) -> None:
        self.folder = folder
        self.service = service
        self.grid_id = grid_id
        self._sent = 0 if from_start else _read_offset(folder)
        self._examples_wait = from_start or not (folder / EXAMPLES_SENT).exists()

    def send(self) -> set[str]:
        """Send all that waits; gives the runs that the service says are cancelled."""
        cancelled: set[str] = set()
        # Read first, sent last: who hears that the run is done finds its examples. A service that cannot take them gets the records still.
        batches = list(self._batches())
        delay = self._send_examples()
        for messages, end in batches:
            cancelled |= self.post(messages)
            self._sent = end
            _write_offset(self.folder, end)
        if delay is not None:
            raise delay
        return cancelled

    def _send_examples(self) -> "ServiceUnavailableError | None":
        """Send the file where it waits; gives why it still does. One that the service refuses is logged and left out."""
        path = self.folder / EXAMPLES
        if not self._examples_wait or not path.exists():
            return None
        # Where the run has not started here, the file is what the service had from elsewhere: its folder may be the run's.
        if (first := next(messages_in(self.folder), None)) is None:
            return None
        try:
            self.service.upload(f"/api/runs/{first['run_id']}/examples?grid_id={self.grid_id}", path.read_bytes())
        except ServiceUnavailableError as error:
            return error
        except RefusedError as error:
            log.error("left out the examples of run %s: %s", first["run_id"], error)
        else:
            (self.folder / EXAMPLES_SENT).touch()
        self._examples_wait = False
        return None

    def post(self, messages: list[dict[str, Any]]) -> set[str]:
        """Send messages; one that the service cannot take is left out and logged, so that it does not hold up the others."""
        body = {"grid_id": self.grid_id, "messages": messages}
        try:
            return set(BatchReply.model_validate(self.service.request("POST", "/api/records", body)).cancelled)
        except RefusedError as error:
            if error.status in (401, 403, 404):
                raise
            if len(messages) == 1:
                log.error("left out a record of run %s, %s: %s", messages[0].get("run_id"), error, json.dumps(messages[0])[:500])
                return set()
        middle = len(messages) // 2
        return self.post(messages[:middle]) | self.post(messages[middle:])

    def _batches(self) -> Iterator[tuple[list[dict[str, Any]], int]]:
        batch: list[dict[str, Any]] = []
        end = self._sent
        for line in _complete_lines(self.folder / RECORDS, self._sent):
            end += len(line)
            if (message := _parsed(line)) is not None:
                batch.append(message)
            if len(batch) == BATCH_MESSAGES:
                yield batch, end
                batch = []
        if end > self._sent:
            yield batch, end


class Pause:
    """Waits that double, with jitter, so that many workers do not come back at the same moment."""

    def __init__(self, longest: float = LONGEST_PAUSE_SECONDS) -> None:
        self.longest = longest
        self.tries = 0

    def seconds(self) -> float:
        """The next wait: half of it fixed, half of it random."""
        full = min(self.longest, 0.5 * 2 ** min(self.tries, 16))
        self.tries += 1
        # Not a number of an experiment: no named seed.
        return full * (0.5 + 0.5 * random.random())

    def reset(self) -> None:
        self.tries = 0


def replay(run_folders: Iterable[Path], service: Service, grid_id: str, from_start: bool = False) -> None:
    """Send what the outboxes still hold, or all that they ever held. Sending anything twice changes nothing.

    Raises:
        ServiceUnavailableError: the service is away; the outboxes keep what it did not take.
        RefusedError: the service does not know the grid, or not its token.
    """
    for folder in run_folders:
        Outbox(folder, service, grid_id, from_start).send()


def messages_in(folder: Path) -> Iterator[dict[str, Any]]:
    """A run's messages so far, in order; a last line torn by a kill is left out."""
    parsed = (_parsed(line) for line in _complete_lines(folder / RECORDS, 0))
    return (message for message in parsed if message is not None)


def measured_in(folder: Path) -> EpochMetrics:
    """What a run measured after each epoch so far; of one recorded twice, the later record. How long it took is not part of it."""
    records = (message for message in messages_in(folder) if message["type"] == "epoch")
    return {record["epoch"]: {name: value for name, value in record["metrics"].items() if name not in SECONDS} for record in records}


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def _complete_lines(path: Path, start: int) -> Iterator[bytes]:
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _cut_torn_line(path: Path) -> None:
    content_end = path.stat().st_size
    whole = sum(map(len, _complete_lines(path, 0)))
    if whole < content_end:
        os.truncate(path, whole)


def _lock(file: int, folder: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"another process is training the run in {folder}: wait for it, or choose another folder") from None
            time.sleep(0.1)


def _read_offset(folder: Path) -> int:
    try:
        return int((folder / SENT).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _write_offset(folder: Path, offset: int) -> None:
    partial = folder / f"{SENT}.{os.getpid()}.partial"
    partial.write_text(str(offset))
    partial.replace(folder / SENT)
