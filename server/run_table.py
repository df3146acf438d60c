"""Run table: which runs of a grid are asked for, in which order, and as CSV."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from server.views import RunSummary
from spec.problems import InvalidInputError, Problem
from spec.records import RunState
from spec.registry import did_you_mean
from spec.summary import MODELS

RUN_COLUMNS = ("state", "epoch", "realised_rate")
SUMMARY_COLUMNS = tuple(
    f"{model.rstrip('_') or 'raw'}.{name}" for model in MODELS for name in ("last", "last_ten", "validation_best", "oracle_best")
)
STATE_ORDER = {state: place for place, state in enumerate(RunState)}


@dataclass(frozen=True)
class RunQuery:
    """Which runs of a grid, and in which order: `where` by factor path and JSON value, `sort` by column, in the grid's order if None."""

    states: tuple[RunState, ...] = ()
    where: tuple[tuple[str, Any], ...] = ()
    sort: str | None = None
    descending: bool = False
    offset: int = 0
    limit: int | None = 100


def run_query(
    paths: Sequence[str], states: Sequence[RunState], where: Sequence[str], sort: str | None, offset: int, limit: int | None
) -> RunQuery:
    """The query that a request means, for a grid with these factor paths.

    Raises:
        InvalidInputError: a filter that is not PATH=VALUE, or a column that the table has not.
    """
    problems: list[Problem] = []
    conditions = [_condition(text, paths, problems) for text in where]
    column = sort.removeprefix("-") if sort else None
    if column:
        _check_known("sort", column, [*RUN_COLUMNS, *SUMMARY_COLUMNS, *paths], problems)
    if problems:
        raise InvalidInputError(problems)
    return RunQuery(tuple(states), tuple(conditions), column, bool(sort and sort.startswith("-")), offset, limit)


def _condition(text: str, paths: Sequence[str], problems: list[Problem]) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    if not equals:
        problems.append(Problem(path="where", given=text, message=f"expected PATH=VALUE, got {text!r}"))
    else:
        _check_known("where", path, paths, problems)
    return path, json_or_text(value)


def _check_known(parameter: str, name: str, allowed: Sequence[str], problems: list[Problem]) -> None:
    if name not in allowed:
        message = f"the table has no column {name!r}: expected one of {', '.join(allowed)}{did_you_mean(name, list(allowed))}"
        problems.append(Problem(path=parameter, given=name, message=message))


def json_or_text(text: str) -> Any:
    """The JSON value that the text is, else the text itself: `0.2`, `null` and `"a b"`, but also `sln`."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def matches(factors: dict[str, Any], where: Iterable[tuple[str, Any]]) -> bool:
    """Whether each path has its value. JSON's equality: 1 is 1.0, but not true."""
    return all(_same(factors[path], value) for path, value in where)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def sort_value(column: str) -> Callable[[Any], Any]:
    """Takes a row's value in the column; a row has `state`, `epoch`, `realised_rate`, `factors` and `summary`."""
    if column == "state":
        return lambda row: STATE_ORDER[row.state]
    if column in RUN_COLUMNS:
        return lambda row: getattr(row, column)
    if column in SUMMARY_COLUMNS:
        model, _, name = column.partition(".")
        return lambda row: ((row.summary or {}).get(model) or {}).get(name)
    return lambda row: row.factors[column]


def in_order(rows: Iterable[Any], column: str, descending: bool) -> list[Any]:
    """The rows by a column; equals keep their order, rows without a value come last either way."""
    value_of = sort_value(column)
    valued = [(value_of(row), row) for row in rows]
    known = sorted((pair for pair in valued if pair[0] is not None), key=lambda pair: _sort_key(pair[0]), reverse=descending)
    return [row for _, row in known] + [row for value, row in valued if value is None]


def _sort_key(value: Any) -> tuple[int, Any]:
    """Numbers before words before anything else; values of one axis need not have one type."""
    if isinstance(value, int | float):
        return 0, value
    if isinstance(value, str):
        return 1, value
    return 2, json.dumps(value, sort_keys=True)


def runs_csv(runs: Iterable[RunSummary], paths: Sequence[str]) -> str:
    """The table as CSV (RFC 4180), one line per run; accuracies and rates in [0, 1]."""
    text = io.StringIO()
    writer = csv.writer(text)
    facts = ("run_id", "state", "attempt", "epoch", "epochs")
    labels = ("noise_rate", "realised_rate", "noisy_hash")
    writer.writerow([*facts, *paths, *labels, *SUMMARY_COLUMNS, "error"])
    for run in runs:
        summary = run.summary.model_dump() if run.summary else {}
        row = _SummaryRow(summary)
        writer.writerow(
            [
                *(getattr(run, name) for name in facts),
                *(_csv_value(run.factors.get(path)) for path in paths),
                *(getattr(run, name) for name in labels),
                *(sort_value(column)(row) for column in SUMMARY_COLUMNS),
                run.error,
            ]
        )
    return text.getvalue()


@dataclass(frozen=True)
class _SummaryRow:
    summary: dict[str, Any]


def _csv_value(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list | bool) else value
