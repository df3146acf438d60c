"""How many runs fit on a cluster, and in what groups they go."""

import pytest

from spec.grid import Resources
from spec.records import WorkItem
from trainables.search import NoRoomError, by_workers, runs_at_once


def items(*workers: int) -> list[WorkItem]:
    return [WorkItem(run_id=str(number), config={"workers": count}) for number, count in enumerate(workers)]


def test_runs_are_grouped_by_workers_and_keep_the_grid_s_order():
    groups = {workers: [item.run_id for item in group] for workers, group in by_workers(items(2, 1, 2, 1, 4))}
    assert groups == {1: ["1", "3"], 2: ["0", "2"], 4: ["4"]}
    assert list(groups) == [1, 2, 4]


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
