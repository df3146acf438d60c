"""Registry: parts by name. A new part is one new file in the package that the registry names."""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

Part = TypeVar("Part", bound=Callable[..., Any])

# An epoch that no run has.
NEVER = 2**53


class Params(BaseModel):
    """Parameters of a part, as a user writes them. The registry adds `name`, the part's own name."""

    # A default is brought to its field's type as a given value is: a run that is read back is the same run.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    # Whether what the part does in an epoch depends on how many epochs there will be.
    looks_ahead: ClassVar[bool] = False
    # Of a data set: whether it has images of its own to validate on.
    brings_validation: ClassVar[bool] = False

    def check_run(self, run: Any) -> None:
        """Raise ValueError if these parameters do not go with the rest of the run (a `RunConfig`)."""

    def acts_from(self) -> dict[str, int]:
        """The first epoch (from 1) that a parameter acts in, for those that wait; NEVER for one that is switched off.

        Runs that differ only in what still waits are the same run so far, and train those epochs once.
        """
        return {}


class NamedParams(Params):
    """What a `RunConfig` holds of a part: its parameters and its name."""

    name: str


def did_you_mean(given: str, allowed: list[str]) -> str:
    """`; did you mean 'sln'?`, or nothing where no allowed word is near."""
    near = difflib.get_close_matches(given, allowed, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


class UnknownPartError(KeyError):
    """No part of that name; the message says which there are."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Generic[Part]):
    """Parts of one kind by name, found in one package.

    The package's public modules (those without a leading underscore) are imported at the first look-up, so
    a file that registers a part is all there is to add. One that fails to import raises its own error.

    Example:
        METHODS = Registry("method", package="trainables.methods")

        @METHODS.register("sln", SLNParams)
        class SLN(Method): ...
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._parts: dict[str, Part] = {}
        self._params: dict[str, type[NamedParams]] = {}
        self._complete = False

    def register(self, name: str, params: type[Params] = Params) -> Callable[[Part], Part]:
        """Decorator that makes a class or function the part called `name`.

        Raises:
            ValueError: the name is taken.
        """

        def add(part: Part) -> Part:
            if name in self._parts:
                raise ValueError(f"{self.kind} {name!r} is registered twice: {self._parts[name]} and {part}")
            fields: dict[str, Any] = {"name": (Literal[name], name)}
            self._params[name] = create_model(params.__name__, __base__=_named(params), __doc__=params.__doc__, **fields)
            self._parts[name] = part
            return part

        return add

    def __getitem__(self, name: str) -> Part:
        self._import_package()
        if name not in self._parts:
            raise UnknownPartError(f"unknown {self.kind} {name!r}: expected one of {', '.join(self)}{did_you_mean(name, list(self))}")
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        self._import_package()
        return iter(sorted(self._parts))

    def params(self, name: str) -> type[NamedParams]:
        """The parameters' model of one part, `name` included."""
        self[name]
        return self._params[name]

    def union(self) -> Any:
        """The type "parameters of any part of this kind", told apart by `name`; a bare string is a name."""
        members = tuple(self.params(name) for name in self)
        if len(members) == 1:
            return Annotated[members[0], BeforeValidator(name_only)]
        return Annotated[Union[members], Field(discriminator="name"), BeforeValidator(name_only)]  # noqa: UP007

    def _import_package(self) -> None:
        if self._complete:
            return
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            if not module.name.startswith("_"):
                importlib.import_module(f"{self.package}.{module.name}")
        self._complete = True


def _named(params: type[Params]) -> tuple[type[NamedParams], ...]:
    if params is Params:
        return (NamedParams,)
    return (params, NamedParams)  # type: ignore[return-value]  # the pair makes a subclass of both


def name_only(value: Any) -> Any:
    """`"sln"` is short for `{"name": "sln"}`."""
    return {"name": value} if isinstance(value, str) else value
