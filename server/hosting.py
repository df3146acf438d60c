"""Starting the service: on its own (`noisegrid serve`), or inside another program (the demo, a test)."""

import contextlib
import fcntl
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from server.app import create_app
from server.jobs import RayLauncher
from server.launcher import Launcher
from server.settings import Settings

# An event stream never ends by itself: a stopping service waits for its readers no longer than this.
GRACE_SECONDS = 3
START_SECONDS = 60.0
# The application locks this file.
LOCK = "service.lock"
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
WILDCARDS = ("0.0.0.0", "::", "")


class HostingError(RuntimeError):
    """The service cannot start here; the message says why, and what to do."""


class PortTakenError(HostingError):
    """Nobody can listen there."""


class DataDirTakenError(HostingError):
    """Another service works in the data directory."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any free one.

    Raises:
        PortTakenError: the port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortTakenError(f"cannot listen on {host}:{port}, {os.strerror(error.errno or 0)}: choose another --port") from None
    return listener


def address(host: str, listener: socket.socket, on_cluster: bool = False) -> str:
    """The service's URL as its workers reach it: those of an own Ray are on this machine."""
    port = listener.getsockname()[1]
    if host in WILDCARDS:
        host = socket.getfqdn() if on_cluster else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_settings(url: str, data_dir: Path | None = None, ray_address: str | None = None) -> Settings:
    """Settings from the command line; what it leaves open comes from the environment, as NOISEGRID_...."""
    given: dict[str, Any] = {"data_dir": data_dir, "ray_address": ray_address, "url": None if "NOISEGRID_URL" in os.environ else url}
    return Settings(**{name: value for name, value in given.items() if value is not None})


def check_free(settings: Settings) -> None:
    """Say before anything is started that another service works in the data directory; the application itself holds the lock.

    Raises:
        DataDirTakenError: there is one.
    """
    lock = settings.data_dir / LOCK
    if not lock.exists():
        return
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirTakenError(f"another service works in {settings.data_dir}: stop it, or choose another --data-dir") from None


def serve_until_stopped(host: str, port: int, data_dir: Path | None, ray_address: str | None, say: Callable[[str], object] = print) -> None:
    """Serve until Ctrl-C or SIGTERM. The grids' drivers go on, and are found again at the next start.

    Raises:
        HostingError: another program is in the way.
    """
    logging.basicConfig(format=LOG_FORMAT)
    logging.getLogger("server").setLevel(logging.INFO)
    with listen(host, port) as listener:
        settings = make_settings(address(host, listener, on_cluster=ray_address is not None), data_dir, ray_address)
        check_free(settings)
        say(f"serving {settings.url} from {settings.data_dir}   (Ctrl-C stops it, grids that run go on)")
        uvicorn.Server(_config(settings, RayLauncher(), log_level="warning")).run(sockets=[listener])


@contextlib.contextmanager
def hosted(settings: Settings, listener: socket.socket, launcher: Launcher | None = None) -> Iterator[None]:
    """The service in a thread of this process, for as long as the context lasts; its log is `service.log` in the data directory.

    Raises:
        DataDirTakenError: another service is in the way.
        HostingError: it did not come up; the log says why.
    """
    check_free(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    log_file = settings.data_dir / "service.log"
    server = uvicorn.Server(_config(settings, launcher or RayLauncher(), log_config=None))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="service", daemon=True)
    with _logging_to(log_file):
        thread.start()
        try:
            _wait_until_up(server, thread, log_file)
            yield
        finally:
            server.should_exit = True
            thread.join(START_SECONDS)


def _config(settings: Settings, launcher: Launcher, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(create_app(settings, launcher), timeout_graceful_shutdown=GRACE_SECONDS, access_log=False, **options)


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    logging.getLogger().addHandler(handler)
    logging.getLogger("server").setLevel(logging.INFO)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()


def _wait_until_up(server: uvicorn.Server, thread: threading.Thread, log_file: Path) -> None:
    for _ in range(int(START_SECONDS / 0.05)):
        if server.started:
            return
        thread.join(0.05)
        if not thread.is_alive():
            break
    raise HostingError(f"the service did not start: {log_file} says why")
