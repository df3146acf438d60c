"""A grid's runs as trials of Ray Tune: as many at once as the cluster has room for."""

import itertools
import math
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from spec.grid import EarlyStopping, Resources
from spec.records import Work, WorkItem
from trainables.worker import MAX_DEATHS, Job, items_of, per_worker, run_distributed, run_one

# Called as ended(run_id, error): `error` is None for a trial that returned, else what killed its process for the last time.
Ended = Callable[[str, str | None], None]

# A distributed run's trial only waits for its workers, which Ray Train places by themselves. Its bundle must not be empty,
# and a share of a CPU would leave too little for the last group of workers: one byte of memory it is.
WAITING = {"memory": 1.0}
# A group starts in ten seconds. More runs would save little, and a group that is slower than others would end later.
RUNS_PER_GROUP = 8


class NoRoomError(ValueError):
    """The cluster will never have room for a run."""


def run_all(work: Work, job: Job, nodes: list[Mapping[str, float]], ended: Ended) -> None:
    """Run everything, group after group.

    Raises:
        NoRoomError: a run needs more than the `nodes` (resources of each, as Ray counts them) have.
    """
    rounds = list(in_rounds(work.runs))
    room = {workers: runs_at_once(workers, work.resources, nodes) for workers, _, _ in rounds}
    for workers, wave, items in rounds:
        scheduler = early_stopping(items, work.early_stopping) if work.early_stopping else None
        _tuner(f"{workers}-workers-{wave}", items, job, room[workers], scheduler, ended).fit()
    for folder in (job.ray_folder, job.prefixes):
        shutil.rmtree(folder, ignore_errors=True)


def in_rounds(items: Iterable[WorkItem]) -> Iterable[tuple[int, int, list[WorkItem]]]:
    """The runs by number of workers, so that no group waits for the other's CPUs, and by wave: runs go on from what others left."""
    ordered = sorted(items, key=_round)
    return ((*key, list(group)) for key, group in itertools.groupby(ordered, key=_round))


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


def _round(item: WorkItem) -> tuple[int, int]:
    return int(item.config["workers"]), item.fork.wave


class ByCondition(FIFOScheduler):
    """A scheduler for each condition: no run is stopped because another one's labels are less wrong."""

    def __init__(self, schedulers: Mapping[str, TrialScheduler]) -> None:
        super().__init__()
        self._schedulers = schedulers

    def on_trial_add(self, controller: Any, trial: Any) -> None:
        self._of(trial).on_trial_add(controller, trial)

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = self._of(trial).on_trial_result(controller, trial, result)
        return decision

    def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
        self._of(trial).on_trial_complete(controller, trial, result)

    def on_trial_remove(self, controller: Any, trial: Any) -> None:
        self._of(trial).on_trial_remove(controller, trial)

    def _of(self, trial: Any) -> Any:
        return self._schedulers[items_of(trial.config)[0].condition]


def early_stopping(items: Iterable[WorkItem], rule: EarlyStopping) -> ByCondition:
    """ASHA for each condition."""
    longest: dict[str, int] = {}
    for item in items:
        longest[item.condition] = max(item.config["epochs"], longest.get(item.condition, 0))
    return ByCondition({condition: _asha(rule, epochs) for condition, epochs in longest.items()})


def _asha(rule: EarlyStopping, epochs: int) -> AsyncHyperBandScheduler:
    return AsyncHyperBandScheduler(
        time_attr="epoch",
        metric=rule.metric,
        mode="max",
        # After its last epoch a run is done, and not stopped.
        max_t=epochs - 1,
        grace_period=rule.grace_epochs,
        reduction_factor=rule.reduction_factor,
        stop_last_trials=False,
    )


def trials(items: Sequence[WorkItem], at_once: int) -> list[list[WorkItem]]:
    """What is trained one after the other: single runs of one worker, in a process that Tune reuses; else the runs of a DDP group."""
    size = 1 if _round(items[0])[0] == 1 else min(RUNS_PER_GROUP, math.ceil(len(items) / at_once))
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def _tuner(name: str, items: list[WorkItem], job: Job, at_once: int, scheduler: TrialScheduler | None, ended: Ended) -> tune.Tuner:
    workers = _round(items[0])[0]
    trainable = tune.with_parameters(run_one if workers == 1 else run_distributed, job=job)
    return tune.Tuner(
        tune.with_resources(trainable, per_worker(job.resources) if workers == 1 else WAITING),
        param_space={"runs": tune.grid_search([[item.model_dump_json() for item in trial] for trial in trials(items, at_once)])},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=at_once,
            scheduler=scheduler,
            reuse_actors=True,
            trial_name_creator=_run_id,
            trial_dirname_creator=_run_id,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(job.ray_folder),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=MAX_DEATHS),
            callbacks=[_Listener(ended)],
        ),
    )


def _run_id(trial: Any) -> str:
    return items_of(trial.config)[0].run_id


class _Listener(tune.Callback):
    """Hears of every trial's end, in the launcher's process."""

    def __init__(self, ended: Ended) -> None:
        self._ended = ended

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        for item in items_of(trial.config):
            self._ended(item.run_id, None)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        for item in items_of(trial.config):
            self._ended(item.run_id, str(trial.get_pickled_error() or trial.get_error() or "no reason given"))
