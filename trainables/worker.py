"""What Ray starts for a run: one process, or a DDP group. Puts `trainables.train` there and tells the service how it ended.

A run's own error ends the run, and is never tried again; a process that dies is replaced, and the run goes on from its checkpoint.
"""

# PyTorch (3 s and 375 MB in every process) is imported where it is needed: Ray's helper processes import this module too.
import fcntl
import json
import os
import socket
import struct
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from spec.grid import Resources
from spec.records import RunFacts, RunState, WorkItem
from trainables.outbox import Service
from trainables.record_file import EpochMetrics
from trainables.reporting import HttpReporter, NullReporter, Reporter

if TYPE_CHECKING:
    import torch

    from spec.run import RunConfig
    from trainables.train import Folders

# How often a run's dead process is replaced before the run counts as failed.
MAX_DEATHS = 3
LOG_TAIL_LINES = 40
FAILURE = "failure.json"
SIOCGIFADDR = 0x8915


@dataclass(frozen=True)
class Job:
    """What all runs of a grid share: where the service is, where data sets lie, where runs leave their files."""

    grid_id: str
    server: str
    token: str
    data: Path
    out: Path
    resources: Resources

    @property
    def ray_folder(self) -> Path:
        """Where Tune and Train may write what they must; nothing of it is read again."""
        return self.out / ".ray" / self.grid_id

    @property
    def prefixes(self) -> Path:
        """Where the grid's runs leave states for each other."""
        return self.out / ".prefixes" / self.grid_id

    def run_folder(self, run_id: str) -> Path:
        """The run's own folder: a run is one thing, whatever number of grids hold it."""
        return self.out / run_id

    def folders(self, run_id: str) -> "Folders":
        from trainables.train import Folders

        return Folders(self.data, self.run_folder(run_id), self.prefixes)

    def reporter(self, item: WorkItem) -> HttpReporter:
        service = Service(self.server, self.token)
        return HttpReporter(self.run_folder(item.run_id), item.run_id, service, self.grid_id, attempts=item.attempts)


class TuneReporter:
    """A reporter that tells Ray Tune, too, so that Tune's schedulers and stoppers see every epoch."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    @property
    def stop_requested(self) -> bool:
        return self._reporter.stop_requested

    def started(self, facts: RunFacts) -> None:
        self._reporter.started(facts)

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        self._reporter.epoch(epoch, metrics)
        tune.report({"epoch": epoch, **metrics})

    def inherited(self, epochs: EpochMetrics) -> None:
        self._reporter.inherited(epochs)

    def finished(self, state: RunState, error: str | None = None, log_tail: str = "") -> None:
        self._reporter.finished(state, error, log_tail)


def items_of(config: dict[str, Any]) -> list[WorkItem]:
    """The runs of a trial."""
    return [WorkItem.model_validate_json(run) for run in config["runs"]]


def run_one(config: dict[str, Any], job: Job) -> dict[str, str]:
    """A Tune trial that trains a one-worker run in its own process, which Tune reuses for the next run."""
    import torch

    from trainables.train import execute
    from trainables.world import World

    [item] = items_of(config)
    torch.set_num_threads(job.resources.cpus_per_worker)
    with job.reporter(item) as reporter:
        try:
            world = World.alone(_device(job.resources))
            state = execute(_bound(item), job.folders(item.run_id), TuneReporter(reporter), world, item.fork.shared)
        except Exception as error:
            reporter.finished(RunState.FAILED, describe(error), log_tail())
            return {"state": RunState.FAILED}
        except SystemExit:
            # So Ray Tune ends a trial that its scheduler stops.
            reporter.finished(RunState.STOPPED)
            raise
        reporter.finished(state)
    return {"state": state}


def run_distributed(config: dict[str, Any], job: Job) -> None:
    """A Tune trial that trains runs one after the other in a DDP group, and replaces the group when one of its processes dies.

    The first worker reports each epoch to the service itself. Ray Train is told nothing: its reports would cost
    a queue actor, and its checkpoints would double ours.
    """
    from ray.train import TrainingFailedError

    items = items_of(config)
    deaths: Counter[str] = Counter()
    while items:
        _forget(items, job)
        try:
            _trainer(items, job).fit()
            return
        except TrainingFailedError as error:
            items = items[_count_over(items, job) :]
            if items and _is_lost(items[0], job, deaths, str(error)):
                items = items[1:]


def _is_lost(item: WorkItem, job: Job, deaths: Counter[str], error: str) -> bool:
    """Whether the run that its group broke at has failed, which is then said; else another group shall go on with it."""
    deaths[item.run_id] += 1
    if failure := _read_failure(job.run_folder(item.run_id)):
        _fail(job, item, failure["error"], failure["log_tail"])
    elif deaths[item.run_id] > MAX_DEATHS:
        _fail(job, item, f"its workers died {deaths[item.run_id]} times; the last time: {_last_line(error)}", error)
    else:
        return False
    return True


def _trainer(items: list[WorkItem], job: Job) -> Any:
    # Type checkers see the first version's classes in ray.train, which are not what it exports when it runs.
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    resources = job.resources
    return TorchTrainer(
        run_worker,
        train_loop_config={"runs": [item.model_dump_json() for item in items], "job": job},
        torch_config=TorchConfig(backend=backend(resources)),
        scaling_config=ScalingConfig(
            num_workers=items[0].config["workers"],
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=per_worker(resources),
        ),
        run_config=RunConfig(
            name=items[0].run_id,
            storage_path=str(job.ray_folder / "train"),
            failure_config=FailureConfig(max_failures=0),
            logging_config=LoggingConfig(log_level="ERROR"),  # type: ignore[call-arg]
        ),
    )


def run_worker(config: dict[str, Any]) -> None:
    """One process of a DDP group: trains the runs one after the other, for a group takes longer to start than many a run."""
    import torch
    from torch import distributed

    items, job = items_of(config), config["job"]
    torch.set_num_threads(job.resources.cpus_per_worker)
    for over, item in enumerate(items, 1):
        _train_in_group(item, job)
        if distributed.get_rank() == 0:
            _over_file(items, job).write_text(str(over))


def _train_in_group(item: WorkItem, job: Job) -> None:
    """The run's own error is left in its folder, for the trial to find: the group breaks of it."""
    from torch import distributed

    from trainables.train import execute
    from trainables.world import World

    with _first_worker_reporter(distributed.get_rank(), job, item) as reporter:
        try:
            world = World.distributed(_device(job.resources))
            state = execute(_bound(item), job.folders(item.run_id), reporter, world, item.fork.shared)
        except Exception as error:
            if not is_lost_peer(error):
                _write_failure(job.run_folder(item.run_id), describe(error), log_tail())
            raise
        reporter.finished(state)


def _over_file(items: list[WorkItem], job: Job) -> Path:
    """Where a group that was started for these runs counts those that are over."""
    return job.ray_folder / f"{items[0].run_id}.over"


def _count_over(items: list[WorkItem], job: Job) -> int:
    path = _over_file(items, job)
    return int(path.read_text()) if path.exists() else 0


def _forget(items: list[WorkItem], job: Job) -> None:
    """Remove what earlier groups left about these runs."""
    job.ray_folder.mkdir(parents=True, exist_ok=True)
    for path in (_over_file(items, job), *(job.run_folder(item.run_id) / FAILURE for item in items)):
        path.unlink(missing_ok=True)


def per_worker(resources: Resources) -> dict[str, float]:
    """The resources of one worker, as Ray counts them."""
    return {"CPU": resources.cpus_per_worker} | ({"GPU": resources.gpus_per_worker} if resources.gpus_per_worker else {})


def backend(resources: Resources) -> str:
    """What a DDP group talks through. NCCL refuses two workers on one GPU, which workers with a share of one may be; gloo takes them."""
    return "nccl" if resources.gpus_per_worker == 1 else "gloo"


def describe(error: BaseException) -> str:
    """The error as one line for people: its type, and what it says."""
    return f"{type(error).__name__}: {error}"


def log_tail() -> str:
    """The last lines of the traceback of the error that is being handled."""
    return "\n".join(traceback.format_exc().splitlines()[-LOG_TAIL_LINES:])


def is_lost_peer(error: BaseException) -> bool:
    """Whether the error says only that another process of the group is gone."""
    from torch import distributed

    # Gloo raises a bare RuntimeError with its C++ source file in the text.
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def set_up_process() -> None:
    """Ray calls this in every worker process: gloo shall use the network interface that Ray uses.

    It would choose by host name, which Debian maps to 127.0.1.1, where no other node can reach it.
    """
    address = ray.util.get_node_ip_address()
    for _, name in socket.if_nameindex():
        if _address_of(name) == address:
            os.environ["GLOO_SOCKET_IFNAME"] = name


def _address_of(interface: str) -> str | None:
    """The interface's IPv4 address (Linux)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        answer = fcntl.ioctl(probe.fileno(), SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        return socket.inet_ntoa(answer[20:24])
    return None


def _bound(item: WorkItem) -> "RunConfig":
    from trainables import parts

    run = parts.RunConfig.model_validate(item.config)
    if run.run_id != item.run_id:
        versions = "the service and the workers have different versions of the code"
        raise RuntimeError(f"the configuration of run {item.run_id} makes run {run.run_id} here: {versions}")
    return run


def _device(resources: Resources) -> "torch.device":
    """The worker's device: the GPU that Ray gave it, where it has one."""
    import torch

    if not resources.gpus_per_worker:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        remedy = "install PyTorch for CUDA, or set resources.gpus_per_worker to 0"
        raise RuntimeError(f"Ray gave this worker a GPU, and PyTorch sees none: {remedy}")
    try:
        # An error on the device leaves the whole process without it: a reused one must not fail the next run.
        torch.zeros(1, device="cuda").add_(1).item()
    except RuntimeError:
        os._exit(1)
    return torch.device("cuda", torch.cuda.current_device())


@contextmanager
def _first_worker_reporter(rank: int, job: Job, item: WorkItem) -> Iterator[Reporter]:
    if rank > 0:
        yield NullReporter()
        return
    with job.reporter(item) as reporter:
        yield reporter


def _fail(job: Job, item: WorkItem, error: str, tail: str) -> None:
    with job.reporter(item) as reporter:
        reporter.abandoned(error, tail)


def _write_failure(folder: Path, error: str, tail: str) -> None:
    partial = folder / f"{FAILURE}.{os.getpid()}.partial"
    partial.write_text(json.dumps({"error": error, "log_tail": tail}))
    partial.replace(folder / FAILURE)


def _read_failure(folder: Path) -> dict[str, str] | None:
    with suppress(FileNotFoundError):
        failure: dict[str, str] = json.loads((folder / FAILURE).read_text())
        return failure
    return None


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), text)
