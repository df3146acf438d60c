"""The driver of a grid: fetches its runs from the service, has Ray run them, and sees that every record arrives.

The service starts it with --grid-id, a user with a grid's file:

    ray job submit --working-dir . -- python -m trainables.launch GRID.yaml --server URL --out DIR
"""

import argparse
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import ray
from ray.util import remove_placement_group
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from ray.util.state import list_jobs, list_placement_groups

from spec.problems import InvalidInputError
from spec.records import FINAL_STATES, RunState, Work
from trainables.grid_files import read_spec
from trainables.outbox import Pause, RefusedError, Service, ServiceUnavailableError, replay
from trainables.record_file import RECORDS, RecordFile, messages_in
from trainables.search import NoRoomError, run_all
from trainables.worker import Job, set_up_process

Answer = TypeVar("Answer")

# Exit codes. The service does not start a driver again that said REFUSED: the next one would say the same.
ALL_DONE, SOME_NOT_DONE, REFUSED = 0, 1, 2
# As shells say "ended by SIGTERM".
TERMINATED = 128 + signal.SIGTERM

SERVICE_PATIENCE_SECONDS = 600.0
REPLAY_PATIENCE_SECONDS = 3600.0
LAST_WORDS_SECONDS = 2.0


# A job counts as alive for a moment after its driver was killed.
REAP_SECONDS = 15.0

log = logging.getLogger(__name__)


class LaunchError(RuntimeError):
    """The grid cannot run here; the message says why, and what to do."""


def main(argv: list[str] | None = None) -> int:
    """Run what is left of a grid; gives the exit code."""
    arguments = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _leave)
    try:
        return launch(arguments)
    except ServiceUnavailableError as error:
        _say(f"the service was away for too long: {error}")
        return SOME_NOT_DONE
    except (LaunchError, NoRoomError, InvalidInputError, RefusedError) as error:
        _say(f"cannot run the grid: {error}")
        return REFUSED


def launch(arguments: argparse.Namespace) -> int:
    """Run what is left of a grid on the Ray cluster that RAY_ADDRESS names, or on this machine."""
    token = os.environ.get("NOISEGRID_TOKEN", "")
    service = Service(arguments.server, token)
    grid_id = arguments.grid_id or register(arguments.grid, service)
    out = arguments.out.absolute()
    work = remaining_work(service, grid_id, out)
    if not work.runs:
        _say(f"grid {grid_id}: nothing left to run")
        return ALL_DONE
    job = Job(grid_id, service.server, service.token or "", arguments.data.absolute(), out, work.resources)
    connect(work.resources.cpus_per_worker)
    Thread(target=reap_for_ever, name="reaper", daemon=True).start()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    check_nodes(nodes, out)
    _say(f"grid {grid_id}: {len(work.runs)} runs on {len(nodes)} node(s)")
    progress = Progress(job, len(work.runs))
    run_all(work, job, [node["Resources"] for node in nodes], progress.ended)
    deliver([job.run_folder(item.run_id) for item in work.runs], service, grid_id)
    return progress.summary()


def register(grid_file: Path, service: Service) -> str:
    """Tell the service of a grid that this process launches itself; gives the grid's id, and the service its token."""
    try:
        spec = read_spec(grid_file).model_dump(mode="json")
    except OSError as error:
        raise LaunchError(f"the grid cannot be read: {error}") from None
    created = patiently(lambda: service.request("POST", "/api/grids?launch=external", spec), SERVICE_PATIENCE_SECONDS)
    if not created.get("token"):
        raise LaunchError(f"grid {created['grid_id']} is there already, and the service runs it itself: watch it at {service.server}")
    service.token = created["token"]
    return str(created["grid_id"])


def remaining_work(service: Service, grid_id: str, out: Path) -> Work:
    """What the service still misses of the grid, after it was told again all that earlier drivers' runs recorded.

    All of it and not only what was never acknowledged: the service may have lost its database meanwhile.
    """

    def ask() -> Work:
        return Work.model_validate(service.request("GET", f"/api/grids/{grid_id}/work"))

    work = patiently(ask, SERVICE_PATIENCE_SECONDS)
    recorded = [out / item.run_id for item in work.runs if (out / item.run_id / RECORDS).exists()]
    if not recorded:
        return work
    patiently(lambda: replay(recorded, service, grid_id, from_start=True), SERVICE_PATIENCE_SECONDS)
    return patiently(ask, SERVICE_PATIENCE_SECONDS)


class Progress:
    """One line for every run that ends, and one for all of them."""

    def __init__(self, job: Job, num_runs: int) -> None:
        self._job = job
        self._num_runs = num_runs
        self._states: list[RunState] = []
        self._began = time.monotonic()
        self._since = time.time()

    def ended(self, run_id: str, death: str | None) -> None:
        """Note a run's end. One whose process died for good could not say so itself."""
        folder = self._job.run_folder(run_id)
        if death is not None and not _is_over(folder, self._since):
            self._record_death(run_id, folder, death)
        state, text = _last_words(folder)
        deadline = time.monotonic() + LAST_WORDS_SECONDS
        while state not in FINAL_STATES and time.monotonic() < deadline:
            # A run that is stopped early hears of it when we do.
            time.sleep(0.02)
            state, text = _last_words(folder)
        self._states.append(state)
        _say(f"[{len(self._states)}/{self._num_runs}] {run_id} {state}: {text}")

    def _record_death(self, run_id: str, folder: Path, death: str) -> None:
        try:
            with RecordFile(folder, run_id, lock_seconds=5) as record:
                record.abandoned(f"its process died, again and again; the last time: {death.strip().splitlines()[-1]}", death[-4000:])
        except RuntimeError as error:
            # Somebody else trains it, and will say how it ends.
            _say(f"run {run_id}: {error}")

    def summary(self) -> int:
        """Say how many ended how; gives the exit code."""
        counts = ", ".join(f"{self._states.count(state)} {state}" for state in RunState if state in self._states)
        _say(f"grid {self._job.grid_id}: {counts} in {time.monotonic() - self._began:.0f} s")
        return ALL_DONE if set(self._states) <= {RunState.DONE, RunState.STOPPED} else SOME_NOT_DONE


def deliver(folders: Sequence[Path], service: Service, grid_id: str) -> None:
    """Send what the runs' outboxes still hold, until the service has all of it.

    Raises:
        ServiceUnavailableError: it was away for too long; the outboxes keep the rest, and the next driver sends it.
    """
    patiently(lambda: replay(folders, service, grid_id), REPLAY_PATIENCE_SECONDS)


def patiently(ask: Callable[[], Answer], seconds: float) -> Answer:
    """The answer, asked for again and again while the service is away, for so long."""
    deadline = time.monotonic() + seconds
    pause = Pause()
    while True:
        try:
            return ask()
        except ServiceUnavailableError as error:
            if time.monotonic() > deadline:
                raise
            if pause.tries == 0:
                _say(f"waiting for the service: {error}")
            time.sleep(pause.seconds())


def reap() -> int:
    """Remove the placement groups that dead drivers left behind; gives how many.

    ray-project/ray#62753: a driver that is killed while Ray Train starts its workers leaves their CPUs taken for ever.
    """
    address = ray.get_runtime_context().gcs_address
    alive = {job.job_id for job in list_jobs(address=address, limit=10_000) if job.status in ("RUNNING", "PENDING")}
    groups = list_placement_groups(address=address, limit=10_000, detail=True)
    leaked = [g for g in groups if g.state != "REMOVED" and not g.is_detached and g.creator_job_id not in alive]
    for group in leaked:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group.placement_group_id))))
    return len(leaked)


def reap_for_ever() -> None:
    """Reap now and again: another grid's driver may be killed at any time, and the CPUs that it took are missed here."""
    while True:
        try:
            reap()
        except Exception as error:
            # Ray's State API has its moods; the next time will do.
            log.debug("cannot look for leaked placement groups: %s", error)
        time.sleep(REAP_SECONDS)


def check_nodes(nodes: list[dict[str, Any]], folder: Path) -> None:
    """See that all nodes share the runs' folder and the version of PyTorch.

    Raises:
        LaunchError: they do not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if len(nodes) == 1:
        return
    marker = folder / f".probe-{uuid.uuid4().hex}"
    marker.touch()
    try:
        answers = ray.get([_probe_on(node["NodeID"]).remote(str(marker)) for node in nodes])
    finally:
        marker.unlink()
    addresses = [node["NodeManagerAddress"] for node in nodes]
    if blind := ", ".join(address for address, (sees_it, _) in zip(addresses, answers, strict=True) if not sees_it):
        raise LaunchError(f"{folder} is not shared, {blind} cannot see what the driver wrote there: give --out a folder on shared storage")
    versions = dict(zip(addresses, (torch_version for _, torch_version in answers), strict=True))
    if len(set(versions.values())) > 1:
        raise LaunchError(f"the nodes have different versions of torch, {versions}: install the same one everywhere")


def _probe_on(node_id: str) -> Any:
    return ray.remote(_probe).options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False))


def _probe(marker: str) -> tuple[bool, str]:
    return os.path.exists(marker), version("torch")


def connect(threads: int = 1, set_up: Callable[[], None] = set_up_process) -> None:
    """Join the cluster that RAY_ADDRESS names, or start one, with what Ray Tune and Ray Train need to be quick and quiet.

    `set_up` is called in every worker process before anything else.
    """
    # Our records have it all: no files of Tune's own.
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    # The newer one prints tables even where it is told to be silent.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # A job's own environment goes before, and may hold the same variables.
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"
    environment = {
        "OMP_NUM_THREADS": str(threads),
        # Ray Train looks for news only so often: at its default, every run ends up to 2 s late.
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        # Another grid may hold the CPUs for long: wait for them, and do not start again every minute.
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "86400",
    }
    ray.init(
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": environment, "worker_process_setup_hook": set_up},
    )


def _last_words(folder: Path) -> tuple[RunState, str]:
    """A run's state, and its last accuracies or its error, for people."""
    state, text, epoch = RunState.LOST, "", ""
    for message in messages_in(folder):
        if message["type"] == "epoch":
            metrics = message["metrics"]
            named = {name: metrics[name] for name in ("test_accuracy", "ema_test_accuracy") if metrics.get(name) is not None}
            epoch = f"epoch {message['epoch']}" + "".join(f", {name} {value:.4f}" for name, value in named.items())
        elif message["type"] == "finished":
            state, text = RunState(message["state"]), message["error"] or ""
        else:
            state, text = RunState.LOST, ""
    return state, text or epoch


def _is_over(folder: Path, since: float) -> bool:
    """Whether a run has ended since then: others of its group may have, when the group could not go on."""
    return any(message["type"] == "finished" and message["at"] >= since for message in messages_in(folder))


def _leave(signum: int, frame: Any) -> None:
    """Go at once and without a word from Ray, which cleans up behind a driver that is gone."""
    _say("stopped by a signal")
    os._exit(TERMINATED)


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    home = Path(os.environ.get("NOISEGRID_DATA_DIR", Path.home() / ".noisegrid"))
    datasets = os.environ.get("NOISEGRID_DATASET_ROOT", home / "datasets")
    parser = argparse.ArgumentParser(prog="python -m trainables.launch", description="Run a grid on Ray, and report to the service.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("grid", nargs="?", type=Path, help="YAML file of the grid; it is registered with the service first")
    what.add_argument("--grid-id", help="a grid that the service has; its token is in NOISEGRID_TOKEN")
    parser.add_argument("--server", default=os.environ.get("NOISEGRID_SERVER", "http://127.0.0.1:8642"), help="the service's URL")
    parser.add_argument("--out", type=Path, default=home / "runs", help="folder for the runs' files, shared by all nodes (%(default)s)")
    parser.add_argument("--data", type=Path, default=datasets, help="folder that data sets lie in (%(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
