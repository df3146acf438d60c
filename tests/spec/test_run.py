"""RunConfig: identity, seeds, and errors that help."""

from typing import Any

import pytest
from pydantic import ValidationError

from spec.problems import problems_of
from spec.seeds import stream_seed
from trainables.parts import RunConfig

BASE = {
    "dataset": "digits",
    "noise": {"name": "symmetric", "rate": 0.4},
    "model": "small_cnn",
    "optimizer": {"name": "sgd", "lr": 0.02},
    "epochs": 3,
}


def run(**changes: Any) -> RunConfig:
    return RunConfig.model_validate(BASE | changes)


def test_writing_out_a_default_is_the_same_run():
    assert run().run_id == run(method={"name": "ce"}, batch_size=128, ema=None).run_id
    assert run().run_id == RunConfig.model_validate(run().resolved()).run_id


def test_numbers_that_are_equal_are_the_same_run():
    assert run(noise={"name": "symmetric", "rate": 1}).run_id == run(noise={"name": "symmetric", "rate": 1.0}).run_id


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 4}, {"workers": 2}, {"seeds": {"label": 9}}, {"method": "sln"}, {"ema": {}}])
def test_whatever_changes_the_numbers_changes_the_identity(change: dict[str, Any]):
    assert run(**change).run_id != run().run_id


def test_unnamed_seeds_follow_the_seed():
    seeds = run(seed=5, seeds={"label": 2}).seeds
    assert (seeds.label, seeds.init, seeds.split) == (2, 5, 5)


def test_streams_of_one_seed_are_different():
    streams = [("order", 0, 1), ("order", 0, 2), ("order", 1, 1), ("augment", 0, 1), ("order", 0)]
    assert len({stream_seed(*stream) for stream in streams}) == len(streams)
    assert stream_seed("label", 0) == 983312260514309483


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"epoch": 3}, "epoch", "did you mean 'epochs'?"),
        ({"noise": {"name": "symetric"}}, "noise", "did you mean 'symmetric'?"),
        ({"noise": {"name": "symmetric", "rat": 0.4}}, "noise.rat", "did you mean 'rate'?"),
        ({"noise": {"name": "symmetric", "rate": 1.4}}, "noise.rate", "less than or equal to 1, got 1.4"),
        ({"noise": {"name": "symmetric", "rate": float("nan")}}, "noise.rate", "finite"),
        ({"noise": {"rate": 0.4}}, "noise", "its name is missing"),
        ({"method": "slnn"}, "method", "did you mean 'sln'?"),
        ({"method": {"name": "sln", "sigma": -1}}, "method.sigma", "greater than or equal to 0, got -1"),
        ({"seeds": {"lable": 1}}, "seeds.lable", "did you mean 'label'?"),
        ({"seed": -1}, "seed", "got -1"),
        ({"ema": {"decay": 2}}, "ema.decay", "less than 1, got 2"),
        ({"epochs": 0}, "epochs", "got 0"),
        ({"epochs": "many"}, "epochs", "got 'many'"),
        ({"method": {"name": "sln", "correct_from": 2}}, "", "set ema"),
        ({"method": {"name": "sln", "correct_from": 9}, "ema": {}}, "", "at most epochs = 3, got 9"),
        ({"batch_size": 1, "workers": 2}, "", "batch_size 1 is shared by 2 workers"),
    ],
)
def test_a_mistake_is_told_with_its_path_and_what_is_allowed(change: dict[str, Any], path: str, message: str):
    with pytest.raises(ValidationError) as caught:
        run(**change)
    problems = problems_of(caught.value, RunConfig)
    assert path in [problem.path for problem in problems]
    assert any(message in problem.message for problem in problems), problems


@pytest.mark.parametrize("seed", [1, 1.0, "1"])
def test_a_seed_is_followed_however_it_is_written(seed: Any):
    assert run(seed=seed).run_id == run(seed=1).run_id


def test_a_bad_seed_is_told_once():
    with pytest.raises(ValidationError) as caught:
        run(seed=-1)
    assert [problem.path for problem in problems_of(caught.value, RunConfig)] == ["seed"]
