"""A grid's runs as trials of Ray Tune: as many at once as the cluster has room for."""

import itertools
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ray import tune

from spec.grid import Resources
from spec.records import Work, WorkItem
from trainables.worker import MAX_DEATHS, Job, per_worker, run_distributed, run_one

# Called as ended(run_id, error): `error` is None for a trial that returned, else what killed its process for the last time.
Ended = Callable[[str, str | None], None]

# A distributed run's trial only waits for its workers, which Ray Train places by themselves. Its bundle must not be empty,
# and a share of a CPU would leave too little for the last group of workers: one byte of memory it is.
WAITING = {"memory": 1.0}


class NoRoomError(ValueError):
    """The cluster will never have room for a run."""


def run_all(work: Work, job: Job, nodes: list[Mapping[str, float]], ended: Ended) -> None:
    """Run everything, grouped by number of workers, one group after the other, so that no group waits for the other's CPUs.

    Raises:
        NoRoomError: a run needs more than the `nodes` (resources of each, as Ray counts them) have.
    """
    groups = list(by_workers(work.runs))
    room = {workers: runs_at_once(workers, work.resources, nodes) for workers, _ in groups}
    for workers, items in groups:
        _tuner(workers, items, job, room[workers], ended).fit()
    shutil.rmtree(job.ray_folder, ignore_errors=True)


def by_workers(items: Iterable[WorkItem]) -> Iterable[tuple[int, list[WorkItem]]]:
    """The runs by number of workers, fewest first."""
    ordered = sorted(items, key=_workers)
    return ((workers, list(group)) for workers, group in itertools.groupby(ordered, key=_workers))


def runs_at_once(workers: int, resources: Resources, nodes: list[Mapping[str, float]]) -> int:
    """How many runs of so many workers fit on the nodes, or the user's limit where that is lower.

    Raises:
        NoRoomError: not one fits.
    """
    slots = sum(_slots(node, resources) for node in nodes)
    if slots < workers:
        need = f"{workers} x {resources.cpus_per_worker} CPUs and {resources.gpus_per_worker:g} GPUs"
        have = ", ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise NoRoomError(f"a run needs {need}, the nodes have {have}: lower the run's workers or the grid's resources, or add nodes")
    return min(slots // workers, resources.max_concurrent or slots)


def _slots(node: Mapping[str, float], resources: Resources) -> int:
    """How many workers fit on a node."""
    # 3 x 0.3333 GPUs are one: floor() must not lose a worker to rounding.
    return min(math.floor(node.get(kind, 0) / amount + 1e-6) for kind, amount in per_worker(resources).items())


def _workers(item: WorkItem) -> int:
    return int(item.config["workers"])


def _tuner(workers: int, items: list[WorkItem], job: Job, at_once: int, ended: Ended) -> tune.Tuner:
    trainable = tune.with_parameters(run_one if workers == 1 else run_distributed, job=job)
    return tune.Tuner(
        tune.with_resources(trainable, per_worker(job.resources) if workers == 1 else WAITING),
        param_space={"run": tune.grid_search([item.model_dump_json() for item in items])},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=at_once,
            reuse_actors=True,
            trial_name_creator=_run_id,
            trial_dirname_creator=_run_id,
        ),
        run_config=tune.RunConfig(
            name=f"{workers}-workers",
            storage_path=str(job.ray_folder),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
            callbacks=[_Listener(ended)],
        ),
    )


def _run_id(trial: Any) -> str:
    return WorkItem.model_validate_json(trial.config["run"]).run_id


class _Listener(tune.Callback):
    """Hears of every trial's end, in the launcher's process."""

    def __init__(self, ended: Ended) -> None:
        self._ended = ended

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._ended(_run_id(trial), None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._ended(_run_id(trial), str(trial.get_pickled_error() or trial.get_error() or "no reason given"))
