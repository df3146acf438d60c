"""The database: how it is opened, and the one thread that writes to it."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

import sqlalchemy
from alembic import command
from alembic.config import Config
from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Engine, event

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
# A change: what one request does to the database. It never commits.
Change = Callable[[Connection], Result]

DIALECTS = ("sqlite", "postgresql")
MIGRATIONS = Path(__file__).parent / "migrations"
MAX_CHANGES_PER_COMMIT = 512
HEARTBEAT_SECONDS = 1.0
# A commit that takes longer than this is reported as a dead writer.
DEAD_AFTER_SECONDS = 30.0


class WriterBusyError(RuntimeError):
    """Too many changes wait, or one waited too long: try again later."""


class WriterClosedError(RuntimeError):
    """The service is stopping, or the change was lost with the writer: try again later."""


def open_engine(url: str) -> Engine:
    """An engine for the URL; SQLite in WAL mode, where a commit is on the disk when it returns.

    Raises:
        ValueError: a database that the service has no upserts for, or whose driver is not installed.
    """
    parsed = sqlalchemy.make_url(url)
    if (dialect := parsed.get_backend_name()) not in DIALECTS:
        raise ValueError(f"database_url is for {dialect!r}: expected one of {', '.join(DIALECTS)}")
    if parsed.drivername == "postgresql":
        # SQLAlchemy would take the driver before this one.
        parsed = parsed.set(drivername="postgresql+psycopg")
    try:
        # As many connections as the server has threads, so that a reader never waits for one.
        engine = sqlalchemy.create_engine(parsed, json_serializer=_json_text, json_deserializer=from_json, pool_size=8, max_overflow=56)
    except ModuleNotFoundError as error:
        raise ValueError(f"database_url is for {dialect!r}, whose driver {error.name} is missing: pip install '.[{dialect}]'") from None
    if dialect == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def migrate(engine: Engine) -> None:
    """Bring the tables to this version's form. Works from any current directory; needs no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with writing(engine).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def writing(engine: Engine) -> Engine:
    """The same engine, whose transactions take SQLite's write lock when they begin, not half-way through."""
    return cast(Engine, engine.execution_options(writes=True))


def _json_text(value: Any) -> str:
    # Pydantic's reader and writer take a third of the time of Python's.
    return to_json(value, inf_nan_mode="null").decode()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGINs are switched off; _begin_sqlite says what is meant.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000", "cache_size=-65536"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class Writer:
    """The one thread that writes. Changes that wait together are committed together, and answered after the commit.

    Each change has its own savepoint: one that fails fails alone. Should the thread's loop break, its batch is
    rolled back and answered with an error, and the loop starts again. `on_commit` and `on_rollback` are called in the
    writer's thread, the latter also for a savepoint.
    """

    def __init__(
        self, engine: Engine, max_queued: int, on_commit: Callable[[], None] = lambda: None, on_rollback: Callable[[], None] = lambda: None
    ) -> None:
        self._engine = writing(engine)
        self._on_commit = on_commit
        self._on_rollback = on_rollback
        self._queue: queue.Queue[tuple[Change[Any], Future[Any]] | None] = queue.Queue(max_queued)
        self._lock = threading.Lock()
        self._closed = False
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._supervise, name="noisegrid-writer", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the loop went round lately."""
        return self._thread.is_alive() and time.monotonic() - self._beat < DEAD_AFTER_SECONDS

    @property
    def queued(self) -> int:
        """How many changes wait."""
        return self._queue.qsize()

    def submit(self, change: Change[Result]) -> Future[Result]:
        """Queue a change; the future has its result once it is committed.

        Raises:
            WriterBusyError: the queue is full.
            WriterClosedError: the writer was closed.
        """
        future: Future[Result] = Future()
        with self._lock:
            if self._closed:
                raise WriterClosedError("the service is stopping")
            try:
                self._queue.put_nowait((change, future))
            except queue.Full:
                raise WriterBusyError(f"{self._queue.maxsize} changes wait to be written") from None
        return future

    def write(self, change: Change[Result], timeout: float) -> Result:
        """Make a change and wait for its commit.

        Raises:
            WriterBusyError: the queue is full, or the commit took longer than `timeout` seconds (it may still come).
            WriterClosedError: the writer was closed.
        """
        try:
            return self.submit(change).result(timeout)
        except TimeoutError:
            raise WriterBusyError(f"no commit within {timeout:g} s") from None

    def close(self) -> None:
        """Write what waits, then stop. Waits until that is done."""
        with self._lock:
            already, self._closed = self._closed, True
        if not already:
            self._queue.put(None)
        self._thread.join()

    def _supervise(self) -> None:
        while True:
            try:
                self._loop()
                return
            except BaseException:
                # Also SystemExit and MemoryError: a service that takes no records must not look alive.
                logger.exception("the writer's loop broke; starting it again")

    def _loop(self) -> None:
        while True:
            self._beat = time.monotonic()
            batch, last = self._next_batch()
            if batch:
                self._commit(batch)
            if last:
                return

    def _next_batch(self) -> tuple[list[tuple[Change[Any], Future[Any]]], bool]:
        """All changes that wait, up to a limit, and whether the writer was told to stop after them."""
        batch: list[tuple[Change[Any], Future[Any]]] = []
        try:
            item = self._queue.get(timeout=HEARTBEAT_SECONDS)
            while item is not None:
                # A sender that went away while it waited takes its change with it; from here on it is made.
                if item[1].set_running_or_notify_cancel():
                    batch.append(item)
                if len(batch) == MAX_CHANGES_PER_COMMIT:
                    return batch, False
                item = self._queue.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _commit(self, batch: list[tuple[Change[Any], Future[Any]]]) -> None:
        answers: list[Callable[[], None]] = []
        try:
            with self._engine.begin() as connection:
                answers = [self._attempt(connection, change, future) for change, future in batch]
        except BaseException as error:
            self._on_rollback()
            lost = error if isinstance(error, Exception) else WriterClosedError("the writer broke off")
            for _, future in batch:
                future.set_exception(lost)
            if not isinstance(error, Exception):
                raise
            logger.warning("%d changes could not be committed: %s", len(batch), error)
            return
        for answer in answers:
            answer()
        self._on_commit()

    def _attempt(self, connection: Connection, change: Change[Any], future: Future[Any]) -> Callable[[], None]:
        """Make the change; gives what shall be said to its sender after the commit."""
        try:
            with connection.begin_nested():
                result = change(connection)
        except Exception as error:
            self._on_rollback()
            failure = error  # `error` is unbound when the except clause ends
            return lambda: future.set_exception(failure)
        return lambda: future.set_result(result)
