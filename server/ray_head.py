"""RayHead: a Ray of the service's own on this machine, in processes that outlive the service.

It is locked with a token: Ray's own ports listen on all interfaces, and whoever reaches them may run code.
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path

# A Unix socket's path may have 107 characters; Ray puts up to 75 after its folder.
MAX_TEMP_DIR = 32
START_SECONDS = 180.0
# Nothing of worth is in it: runs are on disk.
STOP_SECONDS = 5.0
STARTS = 3
CLUSTER_FILE = "ray_current_cluster"
# Grids' data does not travel through Ray.
OBJECT_STORE_BYTES = 100 * 1024 * 1024


class RayHeadError(RuntimeError):
    """Ray does not start; the message says where its log is."""


@dataclass(frozen=True)
class RayHead:
    """A Ray that was started: its job server's address, its folder, and the process that holds it."""

    url: str
    temp_dir: str
    pid: int
    # Clock ticks since boot: another process with the same id has another.
    started: int
    # The file with its token; every process that it started knows it by that.
    token_path: str

    @property
    def alive(self) -> bool:
        return process_start(self.pid) == self.started

    @property
    def cluster_address(self) -> str:
        """Where other nodes and drivers join, once it is up."""
        return (Path(self.temp_dir) / CLUSTER_FILE).read_text().strip()

    def stop(self) -> None:
        """End it, with all that runs on it."""
        if self.alive:
            os.kill(self.pid, signal.SIGTERM)
            if not _wait_for(lambda: not self.alive, STOP_SECONDS):
                # It leads a session of its own, and Ray's processes are told by the kernel when it is gone.
                os.kill(self.pid, signal.SIGKILL)
                _wait_for(lambda: not self.alive, STOP_SECONDS)
        # A job's driver would look for its lost Ray for minutes.
        for pid in _processes_with(f"RAY_AUTH_TOKEN_PATH={self.token_path}"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def find_head(data_dir: Path) -> RayHead | None:
    """The Ray that a service on this data directory started, where it still runs."""
    try:
        head = RayHead(**json.loads((data_dir / "ray.json").read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return head if head.alive else None


def start_head(data_dir: Path, num_cpus: int | None = None, unwanted: Callable[[], bool] = lambda: False) -> RayHead:
    """Start Ray and wait until it takes jobs, or until it is unwanted.

    Raises:
        RayHeadError: it does not come up, or nobody wants it any more.
    """
    folder = temp_dir(data_dir)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for attempt in range(STARTS):
        try:
            return _start_once(data_dir, folder, num_cpus, unwanted)
        except RayHeadError:
            # Somebody else may have taken one of the ports that were free a moment ago.
            if attempt == STARTS - 1 or unwanted():
                raise
    raise AssertionError("unreachable")


def stop_embedded(data_dir: Path) -> bool:
    """End the Ray that a service on this data directory started; False where none runs."""
    head = find_head(data_dir)
    if head is not None:
        head.stop()
        shutil.rmtree(head.temp_dir, ignore_errors=True)
    (data_dir / "ray.json").unlink(missing_ok=True)
    return head is not None


def token_file(data_dir: Path) -> Path:
    """The file with the token of the service's own Ray, made once, readable by its owner alone."""
    path = data_dir / "ray_token"
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        draft.replace(path)
    return path


def temp_dir(data_dir: Path) -> Path:
    """Where Ray keeps sockets and logs: in the data directory, or under the system's temporary one where that path is too long.

    Raises:
        RayHeadError: somebody else owns the folder.
    """
    private = data_dir / "ray"
    if len(str(private / "r")) > MAX_TEMP_DIR:
        private = Path(tempfile.gettempdir()) / f"ng-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:8]}"
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = private.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise RayHeadError(f"{private} belongs to somebody else: remove it, or choose another data_dir")
    # Ray lets everybody write to its folder, so that one stands behind a door.
    private.chmod(0o700)
    return private / "r"


def process_start(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None where there is none, or only its corpse."""
    try:
        # The name, in parentheses, may hold anything; the state follows it, and the start is the 20th after that.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _processes_with(variable: str) -> list[int]:
    """Our own processes that have this environment variable (NAME=VALUE)."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        # Other people's cannot be read, and any may end meanwhile.
        with contextlib.suppress(OSError):
            if variable.encode() in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found


def _start_once(data_dir: Path, folder: Path, num_cpus: int | None, unwanted: Callable[[], bool]) -> RayHead:
    gcs, dashboard, agent, client = free_ports(4)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--temp-dir={folder}"]
    command += [f"--port={gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", "--disable-usage-stats"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"]
    # Ports of worker processes: whatever is free.
    command += ["--min-worker-port=0", "--max-worker-port=0", f"--object-store-memory={OBJECT_STORE_BYTES}"]
    command += [f"--num-cpus={num_cpus}"] if num_cpus else []
    log_path = data_dir / "ray.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=data_dir, env=_environment(data_dir), start_new_session=True
        )
    started = process_start(process.pid) or 0
    head = RayHead(f"http://127.0.0.1:{dashboard}", str(folder), process.pid, started, str(token_file(data_dir)))
    # At once: a service that dies while Ray starts must not leave a Ray that nobody knows.
    _remember(head, data_dir)
    _wait_for(lambda: process.poll() is not None or unwanted() or is_up(head, data_dir), START_SECONDS)
    if not is_up(head, data_dir):
        head.stop()
        raise RayHeadError(f"Ray does not start: {log_path} says why")
    return head


def is_up(head: RayHead, data_dir: Path) -> bool:
    """Whether it takes jobs. Ray writes its address into its folder when all is up; jobs find their cluster by it."""
    return head.alive and (Path(head.temp_dir) / CLUSTER_FILE).exists() and answers(head.url, token_file(data_dir).read_text())


def _remember(head: RayHead, data_dir: Path) -> None:
    draft = data_dir / "ray.json.partial"
    draft.write_text(json.dumps(asdict(head)))
    draft.replace(data_dir / "ray.json")


def answers(url: str, token: str | None) -> bool:
    """Whether a job server answers there, given the token, or given none."""
    request = urllib.request.Request(f"{url}/api/version", headers={"Authorization": f"Bearer {token}"} if token else {})
    # A proxy meant for the internet does not know a cluster's ports.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on right now."""
    listeners = [socket.create_server(("", 0)) for _ in range(number)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def _environment(data_dir: Path) -> dict[str, str]:
    # Variables of another Ray would lead this one astray.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file(data_dir)),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Jobs that say `python` mean this one.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
    }


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return condition()
