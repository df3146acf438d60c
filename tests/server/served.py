"""The service on a real socket: in a thread of the test, or as a process that can be killed."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from server.app import create_app
from server.settings import Settings
from tests.server.parts import FakeRunConfig
from tests.server.world import wait_for

ROOT = Path(__file__).parents[2]


def _free_socket() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


@contextlib.contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """The service in a thread, for as long as the context lasts; gives its address."""
    listener = _free_socket()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        app.state.noisegrid.notifier.close()
        server.should_exit = True
        thread.join(20)
        listener.close()


class ServiceProcess:
    """The service in a process of its own, on a port that it finds free."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        port_file = data_dir.parent / "port"
        port_file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "tests.server.served", str(data_dir), str(port_file)]
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})
        wait_for(lambda: port_file.exists() or self.process.poll() is not None, seconds=60)
        self.address = f"http://127.0.0.1:{port_file.read_text()}"
        wait_for(self._answers, seconds=60)

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.address}/health").status_code == 200
        return False

    def kill(self) -> None:
        """As a power cut would: no goodbye."""
        self.process.kill()
        self.process.wait(20)


def main() -> None:
    data_dir, port_file = map(Path, sys.argv[1:])
    listener = _free_socket()
    draft = port_file.with_suffix(".draft")
    draft.write_text(str(listener.getsockname()[1]))
    draft.rename(port_file)
    app = create_app(Settings(data_dir=data_dir), run_type=FakeRunConfig)
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
