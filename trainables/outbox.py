"""Outbox: record files on their way to the service, which may be away for as long as it likes.

What it has acknowledged is kept beside the file, so that nothing is lost and little is sent twice; sending anything twice changes nothing.
"""

import json
import logging
import os
import random
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from spec.records import EXAMPLES, BatchReply
from trainables.record_file import RECORDS, complete_lines, message_of, messages_in

log = logging.getLogger(__name__)

SENT = "records.sent"
# The mark that the service has what the run left about its examples.
EXAMPLES_SENT = "examples.sent"

BATCH_MESSAGES = 500
REQUEST_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 30.0


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

    def _send_examples(self) -> ServiceUnavailableError | None:
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
        for line in complete_lines(self.folder / RECORDS, self._sent):
            end += len(line)
            if (message := message_of(line)) is not None:
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


def _read_offset(folder: Path) -> int:
    try:
        return int((folder / SENT).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _write_offset(folder: Path, offset: int) -> None:
    partial = folder / f"{SENT}.{os.getpid()}.partial"
    partial.write_text(str(offset))
    partial.replace(folder / SENT)
