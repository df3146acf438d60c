"""`noisegrid compare` and `noisegrid search-report`: a grid's results beside published ones, and what noisy validation chooses."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from server.terminal import DEFAULT_SERVER, GridId, Server, command, connected, console

if TYPE_CHECKING:
    from server.views import GridComparison, GridSearch

compare_app = typer.Typer()

Csv = Annotated[bool, typer.Option("--csv", help="print CSV, every column; accuracies in [0, 1]")]
Json = Annotated[bool, typer.Option("--json", help="print JSON, as the service answers it")]


@command(compare_app, example="compare 3f2a\ncompare 3f2a --csv > compared.csv")
def compare(grid: GridId, server: Server = DEFAULT_SERVER, csv: Csv = False, json: Json = False) -> None:
    """Put a grid's results beside published ones: within tolerance, outside, or why the two must not be compared."""
    from server.report_tables import comparison_csv, comparison_table, unpublished_text

    view = _fetch_comparison(grid, server)
    if json:
        print(view.model_dump_json())
    elif csv:
        sys.stdout.write(comparison_csv(view.comparisons))
    else:
        console.print(comparison_table(view.comparisons))
        console.print(unpublished_text(view.comparisons), markup=False)


@command(compare_app, "search-report", example="search-report 3f2a\nsearch-report 3f2a --json")
def search_report(grid: GridId, server: Server = DEFAULT_SERVER, csv: Csv = False, json: Json = False) -> None:
    """Show which treatment a grid's noisy validation split chooses, and what that costs on the test set."""
    from server.report_tables import search_csv, search_table, search_text

    view = _fetch_search(grid, server)
    if json:
        print(view.model_dump_json())
    elif csv:
        sys.stdout.write(search_csv(view.outcomes))
    else:
        for outcome in view.outcomes:
            console.print(f"\n[bold]{outcome.condition}[/bold], {outcome.model} model")
            console.print(search_table(outcome))
            console.print(search_text(outcome), markup=False, highlight=False)


def _fetch_comparison(grid: str, server: str) -> "GridComparison":
    with connected(server) as client:
        return client.comparison(client.find_grid(grid))


def _fetch_search(grid: str, server: str) -> "GridSearch":
    with connected(server) as client:
        return client.search_report(client.find_grid(grid))
