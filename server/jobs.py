"""Jobs: each grid's driver is a job of a Ray cluster, so that it outlives the service. The only place of the service that talks to Ray.

One thread does it all. It compares the grids that have runs left with the jobs that there are, and submits what is missing, so
that it makes no difference whether a grid is new, its driver was killed, or the service was away.
"""

import logging
import os
import shlex
import sys
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from server.launcher import GridService
from server.ray_head import START_SECONDS, RayHead, RayHeadError, answers, find_head, is_up, start_head, stop_embedded, token_file
from server.settings import Settings
from spec.records import FINAL_STATES

logger = logging.getLogger(__name__)

PROJECT = Path(__file__).parents[1]
TICK_SECONDS = 2.0
# Submissions after the first one that may bring nothing new before a grid is given up.
FRUITLESS = 3
LOG_TAIL_LINES = 15
LIVE = (JobStatus.PENDING, JobStatus.RUNNING)
# What a driver exits with when the next one would fail in the same way (trainables.launch).
REFUSED = 2
# A checkout's parts that no worker needs.
NOT_UPLOADED = [".git", ".venv", ".*_cache", "__pycache__", "tests", "docs", "noisegrid-data"]


class RayUnusableError(RuntimeError):
    """The cluster cannot be used now; the message says why, for people."""


class Cluster(Protocol):
    """Where jobs go."""

    def connect(self, start: bool) -> JobSubmissionClient | None:
        """Its job server; None where there is none and none shall be started.

        Raises:
            RayUnusableError, RayHeadError: it cannot be used now.
        """
        ...

    def python(self) -> str:
        """The interpreter that has Noisegrid's dependencies there."""
        ...

    def runtime_env(self) -> dict[str, Any]:
        """How a job finds this code there."""
        ...

    def close(self, idle: bool) -> None:
        """The service stops; `idle`: no grid needs the cluster."""


class OwnRay:
    """A Ray of the service's own, started when the first grid comes; it outlives the service while grids run."""

    def __init__(self, settings: Settings, closing: threading.Event) -> None:
        self._data_dir = settings.data_dir
        self._closing = closing
        self._num_cpus = settings.ray_cpus
        self._silent_ticks = 0
        self._client: tuple[RayHead, JobSubmissionClient] | None = None

    def connect(self, start: bool) -> JobSubmissionClient | None:
        head = find_head(self._data_dir)
        if head is None and not start:
            return None
        head = head or start_head(self._data_dir, self._num_cpus, unwanted=self._closing.is_set)
        if not is_up(head, self._data_dir):
            self._silent_ticks += 1
            if self._silent_ticks * TICK_SECONDS > START_SECONDS:
                head.stop()
            raise RayUnusableError("Ray is starting, or too busy to answer")
        self._silent_ticks = 0
        if self._client is None or self._client[0] != head:
            self._client = head, _client(head.url, token_file(self._data_dir).read_text())
        return self._client[1]

    def python(self) -> str:
        return sys.executable

    def runtime_env(self) -> dict[str, Any]:
        return {"env_vars": {"PYTHONPATH": str(PROJECT)}}

    def close(self, idle: bool) -> None:
        if idle:
            stop_embedded(self._data_dir)


class GivenRay:
    """A cluster that somebody else runs, at its job server's address (http://head:8265)."""

    def __init__(self, settings: Settings) -> None:
        address = settings.ray_address or ""
        self._url = (address if "://" in address else f"http://{address}").rstrip("/")
        self._allow_open = settings.allow_open_ray
        self._client: JobSubmissionClient | None = None

    def connect(self, start: bool) -> JobSubmissionClient:
        if self._client is None:
            if not self._allow_open and answers(self._url, None):
                remedy = "start it with RAY_AUTH_MODE=token, or set NOISEGRID_ALLOW_OPEN_RAY=1 where nobody else can reach it"
                raise RayUnusableError(f"the Ray cluster at {self._url} takes jobs from anyone: {remedy}")
            self._client = _client(self._url, _token_from_environment())
        return self._client

    def python(self) -> str:
        return "python"

    def runtime_env(self) -> dict[str, Any]:
        # An installed service has no checkout to send: the cluster's machines have it installed, too.
        if not (PROJECT / "pyproject.toml").exists():
            return {}
        return {"working_dir": str(PROJECT), "excludes": NOT_UPLOADED}

    def close(self, idle: bool) -> None:
        pass


@dataclass
class Pursuit:
    """What a grid's submissions have brought so far."""

    job: str | None = None
    progress: tuple[int, int] = (-1, -1)
    fruitless: int = 0


class RayLauncher:
    """Makes grids happen as jobs of a Ray cluster: the service's own, or the one at `settings.ray_address`."""

    def __init__(self) -> None:
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="ray jobs", daemon=True)

    def start(self, service: GridService) -> None:
        """Take up the grids that have runs left, those of before too."""
        settings = service.settings
        self._cluster: Cluster = GivenRay(settings) if settings.ray_address else OwnRay(settings, self._closing)
        self._overseer = Overseer(service, self._cluster)
        self._thread.start()

    def close(self) -> None:
        """Grids that run go on; an own Ray without any ends."""
        self._closing.set()
        self._news.set()
        self._thread.join(2 * TICK_SECONDS)
        self._cluster.close(idle=not self._overseer.has_work())

    def launch(self, grid_id: str) -> None:
        """Have a driver work on the grid's remaining runs, whatever became of earlier ones."""
        self._overseer.afresh.append(grid_id)
        self._news.set()

    def stop(self, grid_id: str) -> None:
        """Stop the grid's driver, and with it its workers."""
        self._overseer.to_stop.append(grid_id)
        self._news.set()

    def log(self, grid_id: str, after: int) -> tuple[str, int]:
        """What the grid's drivers printed, one driver after the other, as of the last look."""
        return self._overseer.log(grid_id, after)

    def status(self) -> str:
        return self._overseer.status

    def _work(self) -> None:
        while not self._closing.is_set():
            self._overseer.look()
            self._news.wait(TICK_SECONDS)
            self._news.clear()


class Overseer:
    """Compares grids with jobs. Other threads may only append to the queues, and read the status and logs."""

    def __init__(self, service: GridService, cluster: Cluster) -> None:
        self._service = service
        self._cluster = cluster
        self._logs = service.settings.data_dir / "logs"
        self.to_stop: deque[str] = deque()
        # Grids that somebody asked for: what their earlier drivers did does not count.
        self.afresh: deque[str] = deque()
        self.status = "not started"
        self._pursuits: dict[str, Pursuit] = {}
        self._messages: dict[str, str] = {}
        self._kept_logs: set[str] = set()
        # Several services may share a cluster, and have the same grids. The same for as long as the service's secret is.
        self._key = service.token("")[:8]

    def has_work(self) -> bool:
        return bool(self._service.store.active_grids())

    def look(self) -> None:
        """Compare once; what goes wrong is said in the status and to the grids that wait, and tried again at the next look."""
        try:
            self._compare()
        except (RayUnusableError, RayHeadError, ConnectionError) as error:
            self._stand_still(str(error))
        except Exception as error:
            # Whatever it is: the next look may find a better world, and if the thread ended no grid would run any more.
            logger.exception("looking after the Ray jobs failed")
            self._stand_still(f"Ray fails, see the service's log: {error}")

    def log(self, grid_id: str, after: int) -> tuple[str, int]:
        """The logs of the grid's drivers from position `after` on, and where they end."""
        text = "".join(path.read_text(errors="replace") for path in sorted((self._logs / grid_id).glob("*.log")))
        return text[after:], max(after, len(text))

    def _compare(self) -> None:
        while self.afresh:
            self._pursuits.pop(self.afresh.popleft(), None)
        active = self._service.store.active_grids()
        client = self._cluster.connect(start=bool(active))
        if client is None:
            self.status = "not started"
            return
        jobs = _jobs_by_grid(client.list_jobs(), self._key)
        self.status = client.get_address()
        while self.to_stop:
            self._stop_jobs(client, jobs.get(self.to_stop[0], []))
            self.to_stop.popleft()
        for grid_id, grid_jobs in jobs.items():
            self._keep_logs(client, grid_id, grid_jobs)
        for grid_id in active:
            self._see_to(client, grid_id, jobs.get(grid_id, []))

    def _see_to(self, client: JobSubmissionClient, grid_id: str, jobs: list[JobDetails]) -> None:
        """Have a job work on a grid that has runs left."""
        if any(job.status in LIVE for job in jobs):
            self._tell(grid_id, "")
            return
        last = jobs[-1] if jobs else None
        pursuit = self._pursuits.setdefault(grid_id, Pursuit())
        # A last job of before this service's time, or before somebody asked for the grid again, says nothing.
        is_ours = pursuit.job is not None and (last is None or _name(last) == pursuit.job)
        if is_ours and (reason := self._hopeless(pursuit, grid_id, last)):
            logger.error("grid %s is given up: %s", grid_id, reason)
            self._service.store.fail_runs(grid_id, reason)
            self._tell(grid_id, reason.splitlines()[0])
            return
        progress, name = self._progress(grid_id), f"{grid_id}-{self._key}-{self._next_number(grid_id, last)}"
        self._submit(client, name, grid_id)
        pursuit.job, pursuit.progress = name, progress

    def _hopeless(self, pursuit: Pursuit, grid_id: str, last: JobDetails | None) -> str | None:
        """Why another driver would do no better than the last one, where that is so. None: the last one went with its Ray."""
        if last is not None and last.driver_exit_code == REFUSED:
            return self._last_lines(grid_id)
        pursuit.fruitless = 0 if self._progress(grid_id) != pursuit.progress else pursuit.fruitless + 1
        if pursuit.fruitless <= FRUITLESS:
            return None
        return f"its driver ended {pursuit.fruitless} times without bringing anything; the last one said:\n{self._last_lines(grid_id)}"

    def _next_number(self, grid_id: str, last: JobDetails | None) -> int:
        """Higher than all before, those of a Ray that is gone too."""
        kept = [int(path.stem) for path in (self._logs / grid_id).glob("*.log")]
        return 1 + max([*kept, _number(last) if last else 0])

    def _progress(self, grid_id: str) -> tuple[int, int]:
        summary = self._service.store.grid_summary(grid_id)
        return summary.epochs_done, sum(summary.runs_by_state.get(state, 0) for state in FINAL_STATES)

    def _stop_jobs(self, client: JobSubmissionClient, jobs: list[JobDetails]) -> None:
        for job in jobs:
            if job.status in LIVE:
                client.stop_job(_name(job))

    def _submit(self, client: JobSubmissionClient, name: str, grid_id: str) -> None:
        settings = self._service.settings
        command = [self._cluster.python(), "-m", "trainables.launch", "--grid-id", grid_id, "--server", self._service.url]
        command += ["--out", str(settings.runs_dir), "--data", str(settings.dataset_root)]
        runtime_env = self._cluster.runtime_env()
        # In the environment: everybody on the machine can read a command.
        runtime_env["env_vars"] = runtime_env.get("env_vars", {}) | {"NOISEGRID_TOKEN": self._service.token(grid_id)}
        metadata = {"grid_id": grid_id, "service": self._key}
        client.submit_job(entrypoint=shlex.join(command), submission_id=name, runtime_env=runtime_env, metadata=metadata)
        logger.info("submitted job %s", name)

    def _keep_logs(self, client: JobSubmissionClient, grid_id: str, jobs: list[JobDetails]) -> None:
        """Copy what the drivers print: Ray forgets it when it ends."""
        for job in jobs:
            if _name(job) in self._kept_logs:
                continue
            path = self._logs / grid_id / f"{_number(job):04d}.log"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(client.get_job_logs(_name(job)) or "")
            if job.status not in LIVE:
                self._kept_logs.add(_name(job))

    def _last_lines(self, grid_id: str) -> str:
        lines = [line for line in self.log(grid_id, 0)[0].splitlines() if line.strip()]
        return "\n".join(lines[-LOG_TAIL_LINES:]) or "its driver ended without a word"

    def _stand_still(self, why: str) -> None:
        self.status = why
        for grid_id in self._service.store.active_grids():
            self._tell(grid_id, why)

    def _tell(self, grid_id: str, message: str) -> None:
        if self._messages.get(grid_id) != message:
            self._service.store.set_message(grid_id, message)
            self._messages[grid_id] = message


def _client(url: str, token: str | None) -> JobSubmissionClient:
    return JobSubmissionClient(url, headers={"Authorization": f"Bearer {token}"} if token else None)


def _token_from_environment() -> str | None:
    """The token that Ray's own tools would use."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", Path.home() / ".ray" / "auth_token"))
    return path.read_text().strip() if path.exists() else None


def _jobs_by_grid(jobs: Iterable[JobDetails], service: str) -> dict[str, list[JobDetails]]:
    """The jobs that a service submitted, by grid, each grid's oldest first."""
    by_grid: dict[str, list[JobDetails]] = {}
    for job in jobs:
        # Drivers that nobody submitted have no id, other people's jobs none of our metadata.
        metadata = job.metadata or {}
        if job.submission_id and metadata.get("service") == service and (grid_id := metadata.get("grid_id")):
            by_grid.setdefault(grid_id, []).append(job)
    return {grid_id: sorted(grid_jobs, key=_number) for grid_id, grid_jobs in by_grid.items()}


def _name(job: JobDetails) -> str:
    return str(job.submission_id)


def _number(job: JobDetails) -> int:
    return int(_name(job).rpartition("-")[2])
