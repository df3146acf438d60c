"""Grids: counted, expanded, identified, refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from spec.grid import Grid, GridSpec, Resources, Role, expand, value_at, with_overrides
from spec.problems import InvalidInputError, problems_of
from tests.spec.test_run import BASE
from trainables.parts import RunConfig


def grid(max_runs: int = 100, **parts: Any) -> Grid:
    return expand(GridSpec(name="g", base=BASE, **parts), RunConfig, max_runs)


def test_axes_are_crossed_zipped_groups_step_together_and_cells_come_after():
    spec = GridSpec(
        name="g",
        base=BASE,
        axes={"noise.rate": [0.2, 0.4], "seed": [0, 1, 2]},
        zip=[{"model.width": [8, 16], "optimizer.lr": [0.1, 0.2]}],
        cells=[{"method": "sln"}],
    )
    expanded = expand(spec, RunConfig, 100)
    assert spec.count() == len(expanded.cells) == 13
    assert [(c.run.model.width, c.run.optimizer.lr) for c in expanded.cells[:2]] == [(8, 0.1), (16, 0.2)]
    assert expanded.cells[-1].run.method.name == "sln"


def test_cells_alone_are_the_whole_grid():
    assert [cell.run.seed for cell in grid(cells=[{"seed": 3}, {"seed": 4}]).cells] == [3, 4]


def test_a_grid_without_axes_is_its_base():
    assert len(grid().cells) == 1


def test_a_base_may_leave_out_what_the_axes_set():
    base = {key: value for key, value in BASE.items() if key != "epochs"}
    cells = expand(GridSpec(name="g", base=base, axes={"epochs": [1, 2]}), RunConfig, 10).cells
    assert [cell.run.epochs for cell in cells] == [1, 2]


def test_factors_are_resolved_values_and_none_where_a_run_has_none():
    cells = grid(cells=[{"method": "ce"}, {"method": {"name": "sln"}, "method.sigma": 0.5}]).cells
    assert [cell.factors["method.sigma"] for cell in cells] == [None, 0.5]
    assert cells[1].factors["method"]["name"] == "sln"


def test_roles_are_inferred_and_can_be_overridden():
    axes = {"noise.rate": [0.2], "method": ["ce"], "seed": [0], "seeds.label": [1], "optimizer.lr": [0.1], "ema": [None]}
    roles = grid(axes=axes, roles={"optimizer.lr": "treatment"}).roles
    assert roles == {
        "noise.rate": Role.CONDITION,
        "method": Role.TREATMENT,
        "seed": Role.REPLICATE,
        "seeds.label": Role.REPLICATE,
        "optimizer.lr": Role.TREATMENT,
        "ema": Role.TREATMENT,
    }


def test_the_same_grid_has_the_same_identity_whatever_is_written_out():
    axes = {"seed": [0, 1]}
    assert grid(axes=axes).grid_id == expand(GridSpec(name="g", base=BASE | {"method": "ce"}, axes=axes), RunConfig, 9).grid_id
    assert grid(axes=axes).grid_id != grid(axes={"seed": [0, 2]}).grid_id


def test_a_grid_over_the_limit_is_refused_with_its_count_before_it_is_made():
    huge = {f"seeds.{name}": list(range(1000)) for name in ("label", "init", "order", "split")}
    with pytest.raises(InvalidInputError, match=r"the grid has 1,000,000,000,000 runs, the limit is 100"):
        grid(axes=huge)


def test_every_problem_is_told_once_with_its_path():
    with pytest.raises(InvalidInputError) as caught:
        grid(axes={"noise.rate": [0.2, 1.2, 1.4], "optimiser.lr": [0.1], "seed": [0, 1]})
    problems = {problem.path: problem for problem in caught.value.problems}
    assert "did you mean 'optimizer'?" in problems["optimiser"].message
    assert [problem.given for problem in caught.value.problems if problem.path == "noise.rate"] == [1.2, 1.4]


def test_a_problem_of_the_base_is_placed_there():
    with pytest.raises(InvalidInputError) as caught:
        expand(GridSpec(name="g", base=BASE | {"epochs": 0}, axes={"seed": [0, 1]}), RunConfig, 9)
    assert [problem.path for problem in caught.value.problems] == ["base.epochs"]


def test_the_same_run_twice_is_refused():
    with pytest.raises(InvalidInputError, match=r"runs 0 and 1 .* are the same run"):
        grid(axes={"method": ["ce", {"name": "ce"}]})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"axes": {"seed": []}}, "axis 'seed' has no values"),
        ({"axes": {"seed": [1, 1]}}, "lists 1 twice"),
        ({"axes": {"seed": [1]}, "zip": [{"seed": [2]}]}, "given twice"),
        ({"zip": [{"seed": [1, 2], "epochs": [1]}]}, "same number of values"),
        ({"zip": [{}]}, "an empty group"),
        ({"axes": {"seed": [1]}, "roles": {"sed": "replicate"}}, "did you mean 'seed'?"),
        ({"axis": {"seed": [1]}}, "Extra inputs"),
        ({"axes": {"seed": [1]}, "roles": {"seed": "replica"}}, "'condition', 'treatment', 'replicate' or 'nuisance'"),
    ],
)
def test_inconsistent_axes_are_refused(parts: dict[str, Any], message: str):
    with pytest.raises(ValidationError) as caught:
        GridSpec(name="g", base=BASE, **parts)
    assert message in str(caught.value)


@pytest.mark.parametrize("gpus", [2, 1.5, -1, 0.00001])
def test_a_worker_has_no_more_than_one_gpu(gpus: float):
    with pytest.raises(ValidationError) as caught:
        Resources(gpus_per_worker=gpus)
    [problem] = problems_of(caught.value, Resources)
    assert (problem.path, problem.given) == ("gpus_per_worker", gpus)
    assert problem.message.startswith(f"must be 0, 1 or a share of one such as 0.25, got {gpus:g}: a worker trains on one GPU")


@pytest.mark.parametrize("gpus", [0, 0.25, 1])
def test_a_worker_may_have_a_share_of_a_gpu(gpus: float):
    assert Resources(gpus_per_worker=gpus).gpus_per_worker == gpus


def test_a_misspelt_role_is_told_with_the_one_that_was_meant():
    with pytest.raises(ValidationError) as caught:
        GridSpec(name="g", base=BASE, axes={"seed": [1]}, roles={"seed": "replica"})
    assert "did you mean 'replicate'?" in problems_of(caught.value, GridSpec)[0].message


def test_overrides_leave_the_base_alone():
    base = {"method": "sln", "noise": {"name": "symmetric"}}
    assert with_overrides(base, {"method.sigma": 1, "noise.rate": 0.1, "ema.decay": 0.9}) == {
        "method": {"name": "sln", "sigma": 1},
        "noise": {"name": "symmetric", "rate": 0.1},
        "ema": {"decay": 0.9},
    }
    assert base == {"method": "sln", "noise": {"name": "symmetric"}}


def test_a_whole_part_is_set_before_its_parameters():
    assert with_overrides({}, {"method.sigma": 2, "method": "sln"}) == {"method": {"name": "sln", "sigma": 2}}


def test_a_path_that_leads_nowhere_is_none():
    assert value_at({"ema": None, "seed": 1}, "ema.decay") is None
    assert value_at({"seed": 1}, "seed.x") is None


STOPPING = {"grace_epochs": 2}


def stopped_grid(rule: dict[str, Any] | None = STOPPING, **base: Any) -> Grid:
    whole = BASE | {"epochs": 8, "split": {"validation": 0.1}} | base
    spec = {"name": "g", "base": whole, "axes": {"seed": [0, 1]}, "early_stopping": rule}
    return expand(GridSpec.model_validate(spec), RunConfig, 10)


def test_a_grid_that_stops_runs_early_is_another_one():
    stopped, plain = stopped_grid(), stopped_grid(None)
    assert stopped.grid_id != plain.grid_id
    assert [cell.run_id for cell in stopped.cells] == [cell.run_id for cell in plain.cells]


@pytest.mark.parametrize(
    ("rule", "base", "message"),
    [
        (STOPPING, {"workers": 2}, "got one with workers = 2: set workers to 1"),
        ({"grace_epochs": 8}, {}, "grace_epochs must be below every run's epochs, 8 for one, got 8"),
        (STOPPING | {"metric": "ema_validation_accuracy"}, {}, "set ema, or rank by validation_accuracy"),
        (STOPPING, {"split": {}}, "needs a validation split: set split.validation"),
    ],
)
def test_runs_that_cannot_be_ranked_are_refused(rule: dict[str, Any], base: dict[str, Any], message: str):
    with pytest.raises(InvalidInputError, match=message):
        stopped_grid(rule, **base)


def test_the_test_set_stops_nothing():
    with pytest.raises(ValidationError, match="validation_accuracy"):
        stopped_grid(STOPPING | {"metric": "test_accuracy"})
