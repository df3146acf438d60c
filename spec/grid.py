"""GridSpec: a base configuration and axes; expanding it gives the runs."""

import itertools
import math
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from spec.forks import Fork, plan_forks
from spec.identity import content_hash
from spec.problems import InvalidInputError, Problem, problems_of
from spec.registry import did_you_mean
from spec.run import RunConfig

MAX_PROBLEMS = 20


class Role(StrEnum):
    """What an axis is for. The best treatment is sought within a condition, over replicates."""

    CONDITION = "condition"
    TREATMENT = "treatment"
    REPLICATE = "replicate"
    NUISANCE = "nuisance"


INFERRED_ROLES = {
    "dataset": Role.CONDITION,
    "split": Role.CONDITION,
    "noise": Role.CONDITION,
    "method": Role.TREATMENT,
    "ema": Role.TREATMENT,
    "seed": Role.REPLICATE,
    "seeds": Role.REPLICATE,
}


def inferred_role(path: str) -> Role:
    """The role of an axis that the user gave none."""
    return INFERRED_ROLES.get(path.split(".")[0], Role.NUISANCE)


class Resources(BaseModel):
    """What each run may use. Not part of a run's identity."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus_per_worker: int = Field(1, ge=1, description="CPU cores, and threads, of each worker")
    gpus_per_worker: float = Field(0, description="0, 1, or the share of a GPU that each worker has, so that runs share one")
    max_concurrent: int | None = Field(None, ge=1, description="runs at once; as many as fit if not given")

    @field_validator("gpus_per_worker")
    @classmethod
    def _a_worker_trains_on_one_gpu(cls, gpus: float) -> float:
        # Ray counts ten-thousandths of a GPU.
        if gpus and not 0.0001 <= gpus <= 1:
            raise ValueError(f"must be 0, 1 or a share of one such as 0.25, got {gpus:g}: a worker trains on one GPU, workers on several")
        return gpus


class EarlyStopping(BaseModel):
    """Asynchronous successive halving (ASHA): only the best of the runs of a condition go on, at first after `grace_epochs`.

    Ranks on validation labels: the test set chooses nothing. Source: Li et al., "A system for massively parallel hyperparameter
    tuning", MLSys 2020.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    grace_epochs: int = Field(ge=1, description="epochs that every run has; ranked then, and whenever they have grown by the factor")
    metric: Literal["validation_accuracy", "ema_validation_accuracy"] = "validation_accuracy"
    reduction_factor: float = Field(2, gt=1, le=1000, description="one in so many goes on")


class GridSpec(BaseModel):
    """Runs to make: `base` crossed with `axes` and with each zipped group, and the explicit `cells` on top of `base`.

    Axes are dotted paths into the run's configuration. The same model reads a YAML file and a POST.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(min_length=1, max_length=200)
    description: str = Field("", max_length=10_000)
    base: dict[str, Any] = Field(description="a run's configuration, without what the axes set")
    axes: dict[str, list[Any]] = Field(default_factory=dict, description="dotted path: values, crossed")
    zip: list[dict[str, list[Any]]] = Field(default_factory=list, description="groups of axes that step together")
    cells: list[dict[str, Any]] = Field(default_factory=list, description="extra runs: dotted path: value, on top of base")
    roles: dict[str, Role] = Field(default_factory=dict, description="dotted path: role, where the inferred one is wrong")
    resources: Resources = Resources()
    early_stopping: EarlyStopping | None = Field(None, description="end runs early that do worse than others; none if not given")

    @model_validator(mode="after")
    def _axes_are_consistent(self) -> Self:
        for path, values in itertools.chain(self.axes.items(), *(group.items() for group in self.zip)):
            if not values:
                raise ValueError(f"axis {path!r} has no values: give at least one, or remove it")
        for path, values in self.axes.items():
            if repeated := [value for i, value in enumerate(values) if value in values[:i]]:
                raise ValueError(f"axis {path!r} lists {repeated[0]!r} twice")
        return self

    @model_validator(mode="after")
    def _zipped_groups_fit(self) -> Self:
        paths = [*self.axes, *itertools.chain.from_iterable(self.zip)]
        if repeated := [path for i, path in enumerate(paths) if path in paths[:i]]:
            raise ValueError(f"axis {repeated[0]!r} is given twice: put it in axes or in one zipped group")
        for group in self.zip:
            lengths = {path: len(values) for path, values in group.items()}
            if len(set(lengths.values())) != 1:
                raise ValueError(f"zipped axes step together and need the same number of values, got {lengths or 'an empty group'}")
        return self

    @model_validator(mode="after")
    def _roles_are_of_varying_paths(self) -> Self:
        for path in self.roles:
            if path not in (varying := self.varying_paths):
                raise ValueError(f"role of {path!r}, which does not vary: varying are {', '.join(varying)}{did_you_mean(path, varying)}")
        return self

    @property
    def varying_paths(self) -> list[str]:
        """Every path that an axis, a zipped group or a cell sets, in the order given."""
        groups = [self.axes, *self.zip, *self.cells]
        return list(dict.fromkeys(itertools.chain.from_iterable(groups)))

    def role(self, path: str) -> Role:
        """The role of a varying path: the user's, else the inferred one."""
        return self.roles.get(path, inferred_role(path))

    def count(self) -> int:
        """How many runs the grid has, without expanding it."""
        crossed = math.prod(map(len, self.axes.values())) * math.prod(len(next(iter(g.values()))) for g in self.zip)
        only_cells = bool(self.cells) and not self.axes and not self.zip
        return len(self.cells) + (0 if only_cells else crossed)

    def overrides(self) -> Iterator[dict[str, Any]]:
        """For each run, in order: what it sets on top of `base`, by dotted path."""
        axes = [[{path: value} for value in values] for path, values in self.axes.items()]
        groups = [[dict(zip(g, row, strict=True)) for row in zip(*g.values(), strict=True)] for g in self.zip]
        if self.axes or self.zip or not self.cells:
            for parts in itertools.product(*axes, *groups):
                yield {path: value for part in parts for path, value in part.items()}
        yield from self.cells


class Cell(BaseModel):
    """One run of a grid, and where it stands on the varying paths."""

    run: RunConfig
    run_id: str
    factors: dict[str, Any] = Field(description="dotted path: this run's resolved value, for every varying path")
    fork: Fork = Fork()


class Grid(BaseModel):
    """An expanded grid. The same specification always has the same `grid_id`, and so have its runs."""

    grid_id: str
    spec: GridSpec
    cells: list[Cell]
    roles: dict[str, Role]

    @property
    def epochs_total(self) -> int:
        """Epochs of all runs."""
        return sum(cell.run.epochs for cell in self.cells)

    @property
    def epochs_shared(self) -> int:
        """Those of them that need not be trained, because another run of the grid has the same."""
        return sum(cell.fork.after for cell in self.cells)


def expand(spec: GridSpec, run_type: type[RunConfig], max_runs: int) -> Grid:
    """The grid's runs, each validated.

    Raises:
        InvalidInputError: more than `max_runs` runs (counted before they are made), a run that is not
            valid, or the same run twice.
    """
    if (count := spec.count()) > max_runs:
        message = f"the grid has {count:,} runs, the limit is {max_runs:,}: shorten an axis"
        raise InvalidInputError([Problem(path="axes", given=count, message=message)])
    cells: list[Cell] = []
    problems: dict[tuple[str, str], Problem] = {}
    for overrides in spec.overrides():
        try:
            cells.append(_cell(spec, overrides, run_type))
        except ValidationError as error:
            for problem in problems_of(error, run_type):
                placed = _placed(problem, spec)
                problems.setdefault((placed.path, placed.message), placed)
            if len(problems) >= MAX_PROBLEMS:
                break
    if problems:
        raise InvalidInputError(problems.values())
    _refuse_repeats(cells)
    if spec.early_stopping is not None:
        _check_can_be_stopped(cells, spec.early_stopping)
    for cell, fork in zip(cells, plan_forks([cell.run for cell in cells]), strict=True):
        cell.fork = fork
    roles = {path: spec.role(path) for path in spec.varying_paths}
    content: dict[str, Any] = {"name": spec.name, "roles": roles, "runs": [cell.run_id for cell in cells]}
    if spec.early_stopping is not None:
        content["early_stopping"] = spec.early_stopping.model_dump()
    return Grid(grid_id=content_hash(content), spec=spec, cells=cells, roles=roles)


def _cell(spec: GridSpec, overrides: dict[str, Any], run_type: type[RunConfig]) -> Cell:
    run = run_type.model_validate(with_overrides(spec.base, overrides))
    resolved = run.resolved()
    factors = {path: value_at(resolved, path) for path in spec.varying_paths}
    return Cell.model_construct(run=run, run_id=run.run_id, factors=factors)


def _placed(problem: Problem, spec: GridSpec) -> Problem:
    """The problem with its path under `base`, unless a varying path sets what is wrong."""
    from_axis = any(f"{problem.path}.".startswith(f"{path}.") for path in spec.varying_paths)
    key = problem.path.split(".")[0]
    by_axis_alone = key not in spec.base and any(path.split(".")[0] == key for path in spec.varying_paths)
    if from_axis or by_axis_alone or not problem.path:
        return problem
    return problem.model_copy(update={"path": f"base.{problem.path}"})


def _refuse_repeats(cells: list[Cell]) -> None:
    first: dict[str, int] = {}
    for position, cell in enumerate(cells):
        if (earlier := first.setdefault(cell.run_id, position)) != position:
            message = f"runs {earlier} and {position} (counted from 0) are the same run, {cell.factors}: remove one"
            raise InvalidInputError([Problem(path="cells", given=cell.factors, message=message)])


def _check_can_be_stopped(cells: list[Cell], rule: EarlyStopping) -> None:
    """Raise InvalidInputError where the rule could not rank a run."""
    for cell in cells:
        run = cell.run
        if run.workers > 1:
            message = f"ranks runs of one worker, got one with workers = {run.workers}: set workers to 1, or leave early_stopping out"
        elif rule.grace_epochs >= run.epochs:
            message = f"grace_epochs must be below every run's epochs, {run.epochs} for one, got {rule.grace_epochs}"
        elif rule.metric.startswith("ema_") and run.ema is None:
            message = f"{rule.metric} is measured on the averaged model: set ema, or rank by validation_accuracy"
        elif not run.validates:
            message = f"{rule.metric} needs a validation split: set split.validation, e.g. to 0.1"
        else:
            continue
        raise InvalidInputError([Problem(path="early_stopping", given=rule.model_dump(), message=message)])


def with_overrides(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """A copy of `base` with each dotted path set; shorter paths first, so that `method` goes before `method.sigma`."""
    config = dict(base)
    for path in sorted(overrides, key=lambda path: path.count(".")):
        *parents, last = path.split(".")
        node = config
        for key in parents:
            child = node.get(key)
            # A bare string is a part's name, and no value yet is an empty mapping.
            node[key] = {"name": child} if isinstance(child, str) else dict(child) if isinstance(child, dict) else {}
            node = node[key]
        node[last] = overrides[path]
    return config


def value_at(config: dict[str, Any], path: str) -> Any:
    """The value at a dotted path, or None where the path leads nowhere (CE has no `method.sigma`)."""
    node: Any = config
    for key in path.split("."):
        if not isinstance(node, dict):
            return None
        node = node.get(key)
    return node
