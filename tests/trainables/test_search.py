"""How many runs fit on a cluster, and in what groups they go."""

import pytest

from spec.forks import Fork
from spec.grid import EarlyStopping, Resources
from spec.records import WorkItem
from trainables.search import NoRoomError, early_stopping, in_rounds, runs_at_once, trials
from trainables.worker import items_of


def items(*workers: int) -> list[WorkItem]:
    return [WorkItem(run_id=str(number), config={"workers": count}) for number, count in enumerate(workers)]


def test_runs_are_grouped_by_workers_and_keep_the_grid_s_order():
    rounds = [(workers, [item.run_id for item in group]) for workers, _, group in in_rounds(items(2, 1, 2, 1, 4))]
    assert rounds == [(1, ["1", "3"]), (2, ["0", "2"]), (4, ["4"])]


def test_runs_that_go_on_from_others_come_after_them():
    first, second, third = items(1, 2, 1)
    waiting = first.model_copy(update={"fork": Fork(wave=1, after=3, shared=[3])})
    assert [(workers, wave) for workers, wave, _ in in_rounds([waiting, second, third])] == [(1, 0), (1, 1), (2, 0)]


@pytest.mark.parametrize(
    ("workers", "resources", "nodes", "expected"),
    [
        (1, Resources(), [{"CPU": 4}], 4),
        (2, Resources(), [{"CPU": 4}], 2),
        (2, Resources(), [{"CPU": 5}], 2),
        (2, Resources(cpus_per_worker=2), [{"CPU": 4}], 1),
        # Three CPUs hold one worker of two: what is left over on each node helps nobody.
        (2, Resources(cpus_per_worker=2), [{"CPU": 3}, {"CPU": 3}], 1),
        (3, Resources(), [{"CPU": 2}, {"CPU": 2}], 1),
        (1, Resources(max_concurrent=2), [{"CPU": 16}], 2),
        (1, Resources(gpus_per_worker=0.25), [{"CPU": 16, "GPU": 2}], 8),
        (1, Resources(gpus_per_worker=1 / 3), [{"CPU": 16, "GPU": 1}], 3),
        (1, Resources(gpus_per_worker=1), [{"CPU": 16}, {"CPU": 2, "GPU": 4}], 2),
    ],
)
def test_runs_at_once(workers: int, resources: Resources, nodes: list[dict[str, float]], expected: int):
    assert runs_at_once(workers, resources, nodes) == expected


@pytest.mark.parametrize(
    ("workers", "resources", "nodes"),
    [
        (3, Resources(), [{"CPU": 2}]),
        (1, Resources(cpus_per_worker=4), [{"CPU": 2}, {"CPU": 2}]),
        (1, Resources(gpus_per_worker=1), [{"CPU": 8}]),
    ],
)
def test_a_run_that_never_fits_is_refused_with_need_and_supply(workers: int, resources: Resources, nodes: list[dict[str, float]]):
    with pytest.raises(NoRoomError, match=f"needs {workers} x {resources.cpus_per_worker} CPUs"):
        runs_at_once(workers, resources, nodes)


class Trial:
    """What a scheduler sees of a trial."""

    def __init__(self, number: int, condition: str) -> None:
        self.trial_id = str(number)
        item = WorkItem(run_id=self.trial_id, config={"workers": 1, "epochs": 9}, condition=condition)
        self.config = {"runs": [item.model_dump_json()]}


def test_runs_are_stopped_for_being_worse_under_their_own_condition_alone():
    trials = [Trial(number, condition) for number, condition in enumerate(["low", "low", "high", "high"])]
    found = [items_of(trial.config)[0] for trial in trials]
    scheduler = early_stopping(found, EarlyStopping(grace_epochs=4))
    for trial in trials:
        scheduler.on_trial_add(None, trial)
    accuracies = [0.9, 0.8, 0.3, 0.4]

    def decide(epoch: int) -> list[str]:
        results = zip(trials, accuracies, strict=True)
        return [scheduler.on_trial_result(None, trial, {"epoch": epoch, "validation_accuracy": value}) for trial, value in results]

    assert decide(3) == ["CONTINUE"] * 4
    assert decide(4) == ["CONTINUE", "STOP", "CONTINUE", "CONTINUE"]
    assert decide(9)[0] == "CONTINUE"


@pytest.mark.parametrize(
    ("workers", "runs", "at_once", "sizes"),
    [(1, 3, 2, [1, 1, 1]), (2, 3, 2, [2, 1]), (2, 2, 4, [1, 1]), (2, 20, 1, [8, 8, 4])],
)
def test_runs_share_a_group_as_far_as_all_groups_have_work(workers: int, runs: int, at_once: int, sizes: list[int]):
    found = trials(items(*[workers] * runs), at_once)
    assert [len(trial) for trial in found] == sizes
    assert [item.run_id for trial in found for item in trial] == [str(number) for number in range(runs)]
