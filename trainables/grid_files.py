"""Grids and runs from YAML files, read as people mean them: 1e-3 is a number, and a key given twice is an error."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError, create_model

from spec.grid import GridSpec
from spec.problems import InvalidInputError, Problem, problems_of
from spec.registry import NamedParams, Registry
from spec.run import RunConfig


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, with the two corrections."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(problem=f"key {key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# YAML 1.1 wants a dot in a float, so that PyYAML reads 1e-3 as text.
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789"))


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        OSError: the file cannot be read.
        InvalidInputError: it is not YAML, gives a key twice, or holds something else than a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        raise InvalidInputError([Problem(path=_place(error.problem_mark), message=str(error.problem))]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError([Problem(path="", message=f"not YAML text: {error}")]) from None
    if not isinstance(content, dict):
        kind = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise InvalidInputError([Problem(path="", message=f"the file {kind}: expected a mapping, such as the grids in recipes/")])
    return content


def _place(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def read_part(text: str, registry: Registry[Any]) -> NamedParams:
    """A part as it is written on a command line: its name, or a YAML mapping such as `{name: symmetric, rate: 0.4}`.

    Raises:
        InvalidInputError: it is no such part; every problem is named.
    """
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise InvalidInputError([Problem(path=registry.kind, given=text, message=f"not YAML: {error}")]) from None
    fields: dict[str, Any] = {registry.kind: (registry.union(), ...)}
    model = create_model("Part", **fields)
    try:
        part: NamedParams = getattr(model.model_validate({registry.kind: value}), registry.kind)
    except ValidationError as error:
        raise InvalidInputError(problems_of(error, model)) from None
    return part


def read_spec(path: Path) -> GridSpec:
    """The grid that a YAML file describes; its runs are not made yet.

    Raises:
        OSError: the file cannot be read.
        InvalidInputError: it is not a grid; every problem is named.
    """
    try:
        return GridSpec.model_validate(read_mapping(path))
    except ValidationError as error:
        raise InvalidInputError(problems_of(error, GridSpec)) from None


def read_run(path: Path, run_type: type[RunConfig]) -> RunConfig:
    """The one run that a YAML file describes.

    Raises:
        OSError: the file cannot be read.
        InvalidInputError: it is not a run; every problem is named.
    """
    try:
        return run_type.model_validate(read_mapping(path))
    except ValidationError as error:
        raise InvalidInputError(problems_of(error, run_type)) from None
