"""A grid's results beside published ones, what noisy validation chooses, and runs that another program made."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.terminal import DEFAULT_SERVER, EXIT_INVALID, GridId, Server, command, connected, console, errors, failure

if TYPE_CHECKING:
    from server.views import GridComparison, GridSearch

compare_app = typer.Typer()

Csv = Annotated[bool, typer.Option("--csv", help="print CSV, every column; accuracies in [0, 1]")]
Claims = Annotated[bool, typer.Option("--claims", help="only what must hold between methods; with --csv, as CSV")]
Json = Annotated[bool, typer.Option("--json", help="print JSON, as the service answers it")]


@command(compare_app, example="compare 3f2a\ncompare 3f2a --csv > compared.csv\ncompare 3f2a --claims --csv > claims.csv")
def compare(grid: GridId, server: Server = DEFAULT_SERVER, csv: Csv = False, json: Json = False, claims: Claims = False) -> None:
    """Put a grid's results beside published ones (within tolerance, outside, or why not to compare), and say what holds between methods."""
    from server.report_tables import claims_csv, comparison_csv, comparison_table, unpublished_text

    view = _fetch_comparison(grid, server)
    if json:
        print(view.model_dump_json())
    elif csv:
        sys.stdout.write(claims_csv(view.claims) if claims else comparison_csv(view.comparisons))
    elif claims:
        _print_claims(view)
    else:
        console.print(comparison_table(view.comparisons))
        console.print(unpublished_text(view.comparisons), markup=False)
        console.print("\n[bold]Between methods[/bold]")
        _print_claims(view)


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


@command(
    compare_app,
    "import-re-sln",
    example="import-re-sln ~/re-sln\nimport-re-sln ~/re-sln --search hp_2021-12-05_10-55-09=cifar10-sym0.4_custom",
)
def import_re_sln(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="a copy of re-sln with its results")],
    search: Annotated[
        list[str] | None, typer.Option("--search", metavar="NAME=LABELS", help="the labels of a search in hp/, which its files do not say")
    ] = None,
    server: Server = DEFAULT_SERVER,
) -> None:
    """Read re-sln's finished runs (configs, TensorBoard events, Ray Tune's trials) and keep them as foreign grids."""
    from server.re_sln_files import read_folder
    from server.re_sln_import import send_runs

    searches = dict(_name_and_labels(given) for given in search or [])
    found = read_folder(folder, searches)
    for reason in found.left_out:
        errors.print(f"left out {reason}", markup=False, highlight=False, soft_wrap=True)
    if not found.runs:
        expected = "configs/EXP/config.yml with events in runs/EXP/, or hp/NAME/TRIAL/progress.csv"
        raise failure(f"{folder} has no finished run of re-sln: expected {expected}")
    with connected(server) as client:
        for grid in send_runs(client, found.runs):
            console.print(
                f"grid {grid.grid_id} with {grid.num_runs:,} foreign runs, {grid.name}: {client.page(grid.grid_id)}", soft_wrap=True
            )


def _name_and_labels(given: str) -> tuple[str, str]:
    name, equals, labels = given.partition("=")
    if not equals:
        raise failure(f"--search takes NAME=LABELS, such as hp_2021-12-05_10-55-09=cifar10-sym0.4, got {given!r}", code=EXIT_INVALID)
    return name, labels


def _print_claims(view: "GridComparison") -> None:
    from server.report_tables import claims_table

    if view.claims:
        console.print(claims_table(view.claims))
        console.print("ours: difference of the means of the last ten epochs ± standard error over seeds (n; n of either, if not paired)")
    else:
        console.print("nobody published two of these methods on these labels")


def _fetch_comparison(grid: str, server: str) -> "GridComparison":
    with connected(server) as client:
        return client.comparison(client.find_grid(grid))


def _fetch_search(grid: str, server: str) -> "GridSearch":
    with connected(server) as client:
        return client.search_report(client.find_grid(grid))
