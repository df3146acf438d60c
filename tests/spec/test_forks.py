"""Forks: every epoch that runs share is trained once, and in time."""

from typing import Any

import pytest

from spec.forks import Fork, plan_forks
from spec.run import RunConfig
from tests.spec.test_run import BASE
from trainables.parts import RunConfig as BoundRunConfig


def runs(*overrides: dict[str, Any]) -> list[RunConfig]:
    return [BoundRunConfig.model_validate(BASE | {"epochs": 300} | override) for override in overrides]


def sln(**params: Any) -> dict[str, Any]:
    return {"method": {"name": "sln", **params}, "ema": {}}


def test_label_correction_goes_on_from_the_run_without_it():
    plain, corrected = plan_forks(runs(sln(), sln(correct_from=250)))
    assert plain == Fork(wave=0, after=0, shared=[249])
    assert corrected == Fork(wave=1, after=249, shared=[249])


def test_runs_that_differ_from_the_first_epoch_on_share_nothing():
    different = [sln(), sln(sigma=0.5), sln() | {"seed": 1}, {"method": "ce"}, sln() | {"noise": {"name": "symmetric", "rate": 0.2}}]
    assert plan_forks(runs(*different)) == [Fork()] * 5


def test_a_shorter_run_is_the_beginning_of_a_longer_one():
    short, long = plan_forks(runs({"epochs": 100}, {"epochs": 300}))
    assert (short.after, short.wave) == (100, 1)
    assert (long.after, long.shared) == (0, [100])


@pytest.mark.parametrize("schedule", ["cosine", {"name": "cosine", "final_factor": 0.1}])
def test_a_schedule_that_looks_ahead_makes_runs_of_different_length_different(schedule: Any):
    assert plan_forks(runs({"epochs": 100, "schedule": schedule}, {"schedule": schedule})) == [Fork(), Fork()]


def test_a_learning_rate_that_is_cut_later_is_a_fork():
    first, second = plan_forks(runs(*({"schedule": {"name": "step", "milestones": [cut]}} for cut in (100, 200))))
    assert (first.after, second.after) == (0, 100)


def test_an_estimate_that_is_made_later_is_a_fork():
    first, second = plan_forks(runs(*({"method": {"name": "forward", "estimate_from": epoch}} for epoch in (50, 80))))
    assert (first.after, second.after) == (0, 49)


def test_every_epoch_is_trained_once_and_by_a_run_of_an_earlier_wave():
    grid = runs(
        *(
            sln(correct_from=start, correction=kind) | {"epochs": epochs, "seed": seed}
            for seed in (0, 1)
            for epochs in (6, 9)
            for start, kind in ((None, "hard"), (3, "hard"), (3, "soft"), (5, "soft"))
        )
    )
    forks = plan_forks(grid)
    states = [{run.prefix_id(epoch): epoch for epoch in range(1, run.epochs + 1)} for run in grid]
    own = [[name for name, epoch in known.items() if epoch > fork.after] for known, fork in zip(states, forks, strict=True)]
    # No state twice, and none left out.
    assert sorted(name for names in own for name in names) == sorted(set().union(*states))
    for run, fork in zip(grid, forks, strict=True):
        if fork.after:
            left = [other for other, there in zip(grid, forks, strict=True) if there.wave < fork.wave and fork.after in there.shared]
            assert run.prefix_id(fork.after) in {other.prefix_id(fork.after) for other in left}
            assert fork.after in fork.shared
