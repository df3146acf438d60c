"""Groups: which runs are repeats of each other, what they are called and which colour they have.

Runs of one *condition* (noise, data) may be compared; a *treatment* is what is compared (method, sigma, and
nuisances such as the learning rate, which change numbers too); replicates (seeds) are averaged.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from spec.grid import Role

SYMBOLS = {"noise.rate": "noise rate", "method.sigma": "σ", "ema.decay": "EMA decay"}
EVERYTHING = "all runs"

# Blue to amber through violet: ordered for colour-blind readers too, and at least 3:1 against both pages' backgrounds.
ANCHORS = ((0x2F, 0x6F, 0xE0), (0x8B, 0x5C, 0xD6), (0xC9, 0x4F, 0x97), (0xDB, 0x5F, 0x3C), (0xB8, 0x86, 0x0B))


def group_table(factors: Mapping[str, Mapping[str, Any]], roles: Mapping[str, Role]) -> pd.DataFrame:
    """For each run (the index): `condition` and `treatment`, as categories in reading order.

    `factors` is run_id -> dotted path -> value. Numbers are ordered as numbers, so colours follow sigma.
    """
    condition_paths = [path for path, role in roles.items() if role == Role.CONDITION]
    treatment_paths = [path for path, role in roles.items() if role in (Role.TREATMENT, Role.NUISANCE)]
    columns = {
        "condition": _categories(factors.values(), condition_paths),
        "treatment": _categories(factors.values(), treatment_paths),
    }
    return pd.DataFrame(columns, index=pd.Index(list(factors), name="run_id", dtype=object))


def group_values(factors: Mapping[str, Any], roles: Mapping[str, Role]) -> dict[str, Any]:
    """The factors that a run shares with its replicates."""
    return {path: value for path, value in factors.items() if roles.get(path) != Role.REPLICATE}


def parts(table: pd.DataFrame, *columns: str) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """The table's rows by the texts in some columns, in the order in which they come first."""
    for key, rows in table.groupby(list(columns), observed=True, sort=False):
        yield [str(text) for text in key], rows


def treatment_colors(treatments: pd.Series) -> dict[str, str]:
    """A colour for each treatment of the grid, shown or not: a treatment keeps its colour in every figure."""
    names = list(treatments.cat.categories)
    return dict(zip(names, sequential_colors(len(names)), strict=True))


def sequential_colors(count: int) -> list[str]:
    """`count` colours from the first anchor to the last, as `#rrggbb`."""
    return [_color_at(position / max(1, count - 1)) for position in range(count)]


def factor_text(value: Any) -> str:
    """A factor's value for people: `0.4`, `sln`, `none`."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.12g}"
    return str(value)


def short_name(path: str, paths: Iterable[str]) -> str:
    """The last word of a dotted path, or all of it where two paths end alike."""
    if path in SYMBOLS:
        return SYMBOLS[path]
    last = path.rpartition(".")[2]
    unique = sum(other.rpartition(".")[2] == last for other in paths) <= 1
    return (last if unique else path).replace("_", " ")


def _leaves(path: str, value: Any) -> list[tuple[str, Any]]:
    """A value's parts by path: an axis may give a whole method, whose parameters are what readers know it by."""
    if not isinstance(value, dict) or not value:
        return [(path, value)]
    return [leaf for key, child in value.items() for leaf in _leaves(f"{path}.{key}", child)]


def _categories(factors: Iterable[Mapping[str, Any]], axes: Sequence[str]) -> Any:
    """Each run's label, ordered by the values behind it; what all runs share is left out of the labels."""
    by_axis = [[dict(_leaves(axis, run.get(axis))) for axis in axes] for run in factors]
    runs = [{path: value for leaves in run for path, value in leaves.items()} for run in by_axis]
    # All leaves of an axis stand together, also those that its first value has not.
    paths = list(dict.fromkeys(path for leaves_of_runs in zip(*by_axis, strict=True) for leaves in leaves_of_runs for path in leaves))
    named = _telling(paths, runs)
    labels = [_label(run, named) for run in runs]
    order = {label: tuple(_sort_key(run.get(path)) for path in named) for label, run in zip(labels, runs, strict=True)}
    return pd.Categorical(labels, categories=sorted(order, key=order.__getitem__), ordered=True)


def _telling(paths: Sequence[str], runs: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """The paths that tell the runs apart; all of them where nothing varies (a grid of one cell)."""
    varying = [path for path in paths if len({factor_text(run.get(path)) for run in runs}) > 1]
    # A parameter that only some methods have, always with one value, adds nothing to the method's name.
    few = [path for path in varying if len({factor_text(run[path]) for run in runs if path in run}) > 1]
    are_enough = _combinations(few, runs) == _combinations(varying, runs)
    return (few if are_enough else varying) or paths


def _combinations(paths: Sequence[str], runs: Sequence[Mapping[str, Any]]) -> int:
    return len({tuple(factor_text(run.get(path)) for path in paths) for run in runs})


def _label(run: Mapping[str, Any], paths: Sequence[str]) -> str:
    given = [path for path in paths if run.get(path) is not None] or paths[:1]
    return ", ".join(_assignment(path, run.get(path), paths) for path in given) or EVERYTHING


def _assignment(path: str, value: Any, paths: Sequence[str]) -> str:
    is_name = path.endswith(".name") and value is not None
    return factor_text(value) if is_name else f"{short_name(path, paths)} = {factor_text(value)}"


def _sort_key(value: Any) -> tuple[int, float, str]:
    if value is None:
        return (0, 0.0, "")
    return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value))


def _color_at(position: float) -> str:
    scaled = position * (len(ANCHORS) - 1)
    low = min(int(scaled), len(ANCHORS) - 2)
    share = scaled - low
    mixed = (round(a + share * (b - a)) for a, b in zip(ANCHORS[low], ANCHORS[low + 1], strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
