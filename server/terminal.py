"""What all commands share: what is printed where, how help looks, how a command fails."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from spec.problems import InvalidInputError

if TYPE_CHECKING:
    from server.client import Client

EXIT_FAILED = 1
EXIT_INVALID = 2

# A pipe has no width: nothing is cut or wrapped there.
console = Console(width=None if sys.stdout.isatty() else 200)
errors = Console(stderr=True)

DEFAULT_SERVER = "http://127.0.0.1:8642"
GridId = Annotated[str, typer.Argument(metavar="GRID", help="a grid's id, or enough of its first digits")]
Server = Annotated[str, typer.Option(envvar="NOISEGRID_SERVER", help="address of the service")]

DatasetRoot = Annotated[Path, typer.Option("--data", envvar="NOISEGRID_DATASET_ROOT", help="where data sets lie")]
DEFAULT_DATASET_ROOT = Path("~/.noisegrid/datasets")


def command(app: typer.Typer, name: str | None = None, *, example: str, group: str = "") -> Any:
    """A Typer command of `app` whose help ends in examples, one a line; `group` is what is typed before the command."""
    lines = "".join(f"\n\n    noisegrid {group}{line}" for line in example.splitlines())
    return lambda function: app.command(name, help=f"{function.__doc__}\n\n**Examples**{lines}")(function)


def failure(message: str, details: list[str] | None = None, code: int = EXIT_FAILED) -> typer.Exit:
    """Print what is wrong to stderr; gives the exit to raise."""
    for line in (f"error: {message}", *(f"  {detail}" for detail in details or [])):
        errors.print(line, markup=False, highlight=False, soft_wrap=True)
    return typer.Exit(code)


@contextmanager
def inputs_from(source: Path | str) -> Iterator[None]:
    """Says every problem of an input (a file, an option), and exits with 2."""
    try:
        yield
    except InvalidInputError as error:
        count = f"{len(error.problems)} problem{'s' if len(error.problems) > 1 else ''}"
        raise failure(f"{source}: {count}", [str(problem) for problem in error.problems], EXIT_INVALID) from None
    except OSError as error:
        raise failure(f"{source}: {error.strerror or error}") from None


@contextmanager
def connected(server: str) -> "Iterator[Client]":
    """A client of the service; what it would not or could not do is said in a line."""
    from server.client import Client

    with service_errors(), Client(server) as client:
        yield client


@contextmanager
def service_errors() -> Iterator[None]:
    """Says in a line what the service would not or could not do; 2 where it found problems in the input."""
    from server.client import ServiceError

    try:
        yield
    except ServiceError as error:
        if not error.problems:
            raise failure(str(error)) from None
        raise failure(str(error), [_problem_line(problem) for problem in error.problems], EXIT_INVALID) from None


def _problem_line(problem: dict[str, Any]) -> str:
    path, message = problem.get("path", ""), problem.get("message", "")
    return f"{path}: {message}" if path else message


def epochs_text(total: int, shared: int) -> str:
    """What a grid costs: its epochs, and those that its runs train once for several of them."""
    if not shared:
        return f"{total:,} epochs to train"
    own = total - shared
    return f"{own:,} epochs to train instead of {total:,}: runs that are the same up to an epoch train it once ({total / own:.3g}x fewer)"


def new_table(*titles: str, wrapped: str = "") -> Table:
    """A table where one column, if any, gives way to the others."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, no_wrap=title != wrapped)
    return table
