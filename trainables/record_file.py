"""Record files: what a run says, one message a line, on disk before the training goes on.

That file is the truth: it is all that a run without a service leaves, and what the service is told from, now or after it was away.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from spec.records import EpochRecord, Finished, RunFacts, RunState, Started

# Epoch (from 1) -> what was measured after it; a loss that diverged is None.
EpochMetrics = dict[int, dict[str, float | None]]

RECORDS = "records.jsonl"
# Metrics that say what an epoch cost, not what it did.
SECONDS = ("train_seconds", "evaluate_seconds")
# A killed predecessor's process may take this long to be gone.
LOCK_SECONDS = 60.0


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


def messages_in(folder: Path) -> Iterator[dict[str, Any]]:
    """A run's messages so far, in order; a last line torn by a kill is left out."""
    parsed = (message_of(line) for line in complete_lines(folder / RECORDS, 0))
    return (message for message in parsed if message is not None)


def measured_in(folder: Path) -> EpochMetrics:
    """What a run measured after each epoch so far; of one recorded twice, the later record. How long it took is not part of it."""
    records = (message for message in messages_in(folder) if message["type"] == "epoch")
    return {record["epoch"]: {name: value for name, value in record["metrics"].items() if name not in SECONDS} for record in records}


def message_of(line: bytes) -> dict[str, Any] | None:
    """The message of a line; None where it is none."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def complete_lines(path: Path, start: int) -> Iterator[bytes]:
    """The lines of a file from the byte `start` on; a last one that was torn by a kill is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _cut_torn_line(path: Path) -> None:
    content_end = path.stat().st_size
    whole = sum(map(len, complete_lines(path, 0)))
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
