"""The writer: commits together, fails alone, comes back after it broke, and never answers before the commit."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError, OperationalError

from server.db import Writer, WriterBusyError, WriterClosedError, migrate, open_engine
from tests.server.world import wait_for


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'test.db'}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE points (value INTEGER PRIMARY KEY)"))
    yield engine
    engine.dispose()


@pytest.fixture
def writer(engine: Engine) -> Iterator[Writer]:
    writer = Writer(engine, max_queued=100)
    yield writer
    writer.close()


def add(value: int):
    def change(connection: Connection) -> int:
        connection.execute(text("INSERT INTO points VALUES (:value)"), {"value": value})
        return value

    return change


def points(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT value FROM points ORDER BY value")))


class Gate:
    """Holds the writer inside a change until it is opened, so that others wait together."""

    def __init__(self, writer: Writer) -> None:
        self._entered, self._open = threading.Event(), threading.Event()
        self.passed = writer.submit(self._change)
        assert self._entered.wait(10)

    def _change(self, _connection: Connection) -> None:
        self._entered.set()
        assert self._open.wait(10)

    def open(self) -> None:
        self._open.set()


def test_sqlite_is_durable_and_lets_readers_read(engine: Engine):
    with engine.connect() as connection:
        values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert values == ["wal", 2, 1]


def test_what_waits_together_is_committed_together_and_answered_afterwards(engine: Engine):
    seen_at_commit: list[list[int]] = []
    writer = Writer(engine, max_queued=100, on_commit=lambda: seen_at_commit.append(points(engine)))
    gate = Gate(writer)
    futures = [writer.submit(add(value)) for value in range(50)]
    assert not any(future.done() for future in futures)
    gate.open()
    assert [future.result(10) for future in futures] == list(range(50))
    writer.close()
    assert seen_at_commit == [[], list(range(50))]


def test_a_change_that_fails_fails_alone_and_leaves_nothing(engine: Engine, writer: Writer):
    def half(connection: Connection) -> None:
        add(7)(connection)
        raise ValueError("half-way")

    gate = Gate(writer)
    good, bad, repeated, also_good = [writer.submit(change) for change in (add(1), half, add(1), add(2))]
    gate.open()
    assert (good.result(10), also_good.result(10)) == (1, 2)
    with pytest.raises(ValueError, match="half-way"):
        bad.result(10)
    with pytest.raises(IntegrityError):
        repeated.result(10)
    assert points(engine) == [1, 2]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, MemoryError])
def test_a_loop_that_breaks_starts_again_and_keeps_nobody_waiting(engine: Engine, writer: Writer, error: type[BaseException], caplog):
    def breaks(_connection: Connection) -> None:
        raise error

    gate = Gate(writer)
    before, broken, after = [writer.submit(change) for change in (add(1), breaks, add(2))]
    gate.open()
    with pytest.raises((WriterClosedError, MemoryError)):
        broken.result(10)
    outcomes = [future.exception(10) is None for future in (before, after)]
    kept = points(engine)
    assert kept == [value for value, was_kept in zip((1, 2), outcomes, strict=True) if was_kept]
    assert writer.write(add(3), timeout=10) == 3
    assert writer.alive
    assert error is MemoryError or "starting it again" in caplog.text


def test_a_full_queue_refuses_at_once(engine: Engine):
    writer = Writer(engine, max_queued=3)
    gate = Gate(writer)
    waiting = [writer.submit(add(value)) for value in range(3)]
    assert writer.queued == 3
    with pytest.raises(WriterBusyError, match="3 changes wait"):
        writer.submit(add(9))
    gate.open()
    assert [future.result(10) for future in waiting] == [0, 1, 2]
    writer.close()
    assert points(engine) == [0, 1, 2]


def test_waiting_has_an_end(writer: Writer):
    gate = Gate(writer)
    with pytest.raises(WriterBusyError, match=r"no commit within 0\.01 s"):
        writer.write(add(1), timeout=0.01)
    gate.open()


def test_a_sender_that_goes_away_while_it_waits_takes_its_change_along(engine: Engine, writer: Writer):
    gate = Gate(writer)
    gone, stays = writer.submit(add(1)), writer.submit(add(2))
    assert gone.cancel()
    gate.open()
    assert stays.result(10) == 2
    assert points(engine) == [2]


def test_closing_writes_what_waits_and_then_refuses(engine: Engine):
    writer = Writer(engine, max_queued=100)
    gate = Gate(writer)
    waiting = [writer.submit(add(value)) for value in range(5)]
    closing = threading.Thread(target=writer.close)
    closing.start()
    gate.open()
    closing.join(10)
    assert [future.result(0) for future in waiting] == list(range(5))
    assert points(engine) == list(range(5))
    with pytest.raises(WriterClosedError):
        writer.submit(add(9))
    writer.close()
    assert not writer.alive


def test_a_database_that_cannot_be_locked_fails_the_batch_and_not_the_writer(engine: Engine, writer: Writer, monkeypatch):
    def refuse(*_: object) -> None:
        raise OperationalError("BEGIN IMMEDIATE", None, Exception("database is locked"))

    with monkeypatch.context() as patch:
        patch.setattr(writer, "_engine", type("Locked", (), {"begin": refuse})())
        with pytest.raises(OperationalError, match="locked"):
            writer.write(add(1), timeout=10)
    assert writer.write(add(2), timeout=10) == 2
    assert points(engine) == [2]


def test_rollbacks_are_told(engine: Engine):
    rollbacks: list[int] = []
    writer = Writer(engine, max_queued=100, on_rollback=lambda: rollbacks.append(1))
    writer.write(add(1), timeout=10)
    assert rollbacks == []
    with pytest.raises(IntegrityError):
        writer.write(add(1), timeout=10)
    assert rollbacks == [1]
    writer.close()


def test_many_threads_lose_nothing(engine: Engine):
    writer = Writer(engine, max_queued=1000)

    def work(first: int) -> None:
        for value in range(first, first + 100):
            writer.write(add(value), timeout=20)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 800, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert points(engine) == list(range(800))


def test_an_idle_writer_s_heart_beats(writer: Writer):
    beat = writer._beat
    wait_for(lambda: writer._beat > beat, seconds=5)
    assert time.monotonic() - writer._beat < 5


def test_a_database_without_upserts_is_refused_in_one_line():
    with pytest.raises(ValueError, match="'mysql': expected one of sqlite, postgresql"):
        open_engine("mysql://localhost/noisegrid")


def test_a_driver_that_is_not_installed_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ValueError, match=r"driver psycopg is missing: pip install '\.\[postgresql\]'"):
        open_engine("postgresql://localhost/noisegrid")


def test_migrating_twice_changes_nothing(engine: Engine, monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    migrate(engine)
    migrate(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT value FROM sequence WHERE name = 'changes'")) == 0
