"""Problems: what is wrong with an input, where, what is allowed, and what was probably meant."""

from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from spec.registry import did_you_mean

# Fields that tell a union's members apart: a part has a name, a message a type.
TAGS = ("name", "type")


class Problem(BaseModel):
    """One thing that is wrong with an input."""

    path: str
    given: Any = None
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class InvalidInputError(ValueError):
    """An input that cannot be used, with every problem found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def problems_of(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[Problem]:
    """The problems behind pydantic's error, in the user's own paths and with the nearest allowed word."""
    return [_problem(details, model, prefix) for details in error.errors(include_url=False)]


def _problem(details: ErrorDetails, model: type[BaseModel], prefix: str) -> Problem:
    path, owner = _follow(details["loc"], model)
    given = details["input"]
    match details["type"]:
        case "extra_forbidden":
            allowed = sorted(owner.model_fields) if owner else []
            key = str(details["loc"][-1])
            message = f"unknown key {key!r}: allowed are {', '.join(allowed)}{did_you_mean(key, allowed)}"
        case "union_tag_invalid":
            allowed = [tag.strip(" '") for tag in str(details["ctx"]["expected_tags"]).split(",")]
            given = details["ctx"]["tag"]
            kind = path.rpartition(".")[2]
            message = f"unknown {kind} {given!r}: expected one of {', '.join(allowed)}{did_you_mean(str(given), allowed)}"
        case "union_tag_not_found":
            message = "its name is missing: write a name, or a mapping with a name and parameters"
        case "literal_error" | "enum":
            allowed = str(details["ctx"]["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
            message = f"expected one of {', '.join(allowed)}, got {given!r}{did_you_mean(str(given), allowed)}"
        case "missing":
            message, given = "is required", None
        case "value_error":
            # Of a whole part or run, what was given would say nothing.
            message, given = str(details["ctx"]["error"]), given if isinstance(given, str | int | float) else None
        case _:
            text = details["msg"]
            message = f"{text[0].lower()}{text[1:]}, got {given!r}"
    return Problem(path=".".join(filter(None, [prefix, path])), given=given if _is_plain(given) else repr(given), message=message)


def _follow(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, type[BaseModel] | None]:
    """The user's dotted path of an error, and the model that owns its last key.

    Pydantic puts the tag of a union's member into the location ("method", "sln", "sigma"); users did not write it.
    """
    path: list[str] = []
    owner: type[BaseModel] | None = model
    members: dict[str, type[BaseModel]] = {}
    for depth, key in enumerate(loc):
        if isinstance(key, str) and key in members:
            owner, members = members[key], {}
            continue
        path.append(str(key))
        if depth == len(loc) - 1 or owner is None:
            continue
        field = owner.model_fields.get(str(key))
        models = _models_in(field.annotation) if field else []
        owner = models[0] if len(models) == 1 else None
        members = {str(m.model_fields[tag].default): m for m in models for tag in TAGS if tag in m.model_fields}
    return ".".join(path), owner


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for arg in get_args(annotation) for model in _models_in(arg)]


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | list | dict | None)
