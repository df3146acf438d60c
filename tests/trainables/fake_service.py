"""A stand-in for the service that keeps what it is sent, and can be told to misbehave."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from spec.records import RecordBatch, Work


class FakeService:
    """Answers POST /api/records with 200, or with what `refuse(body)` says; keeps each message that it took, once."""

    def __init__(self, token: str = "secret") -> None:
        self.token = token
        self.refuse: Callable[[dict[str, Any]], int | None] = lambda body: None
        self.cancelled: list[str] = []
        self.work = Work(grid_id="g", resources={}, runs=[])  # type: ignore[arg-type]
        self.files: dict[str, bytes] = {}
        self.batches: list[list[dict[str, Any]]] = []
        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"

    def put(self, path: str, content: bytes) -> int:
        """Keeps a file by its path, unless `refuse` has a status for it."""
        if (status := self.refuse({"path": path})) is not None:
            return status
        self.files[path] = content
        return 200

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All messages but heartbeats, in the order that they came."""
        return [message for batch in self.batches for message in batch if message["type"] != "heartbeat"]

    def answer(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if (status := self.refuse(body)) is not None:
            return status, {"error": "refused"}
        RecordBatch.model_validate(body)
        self.batches.append(body["messages"])
        named = {message["run_id"] for message in body["messages"]}
        return 200, {"accepted": len(body["messages"]), "cancelled": [run for run in self.cancelled if run in named]}

    @contextmanager
    def serving(self) -> Iterator["FakeService"]:
        thread = threading.Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._httpd.shutdown()
            self._httpd.server_close()
            thread.join()


def _handler(service: FakeService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, service.work.model_dump(mode="json"))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers["Authorization"] != f"Bearer {service.token}":
                return self._send(401, {"error": "not the grid's token"})
            self._send(*service.answer(body))

        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            is_allowed = self.headers["Authorization"] == f"Bearer {service.token}"
            self._send(service.put(self.path, content) if is_allowed else 401, {})

        def _send(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
