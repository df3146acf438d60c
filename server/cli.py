"""The command line. Each command imports what it needs when it runs, so that `train` needs neither Ray nor the service."""

import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from server.cli_compare import compare_app
from server.cli_figures import figure_app
from server.cli_noise import noise_app
from server.cli_tensorboard import tensorboard_app
from server.terminal import (
    DEFAULT_DATASET_ROOT,
    DEFAULT_SERVER,
    DatasetRoot,
    GridId,
    Server,
    command,
    connected,
    console,
    epochs_text,
    errors,
    failure,
    inputs_from,
    new_table,
    service_errors,
)

if TYPE_CHECKING:
    from server.views import GridSummary, RunSummary
    from spec.grid import Grid

DEFAULT_PORT = 8642
MAX_RUNS = 10_000

app = typer.Typer(
    name="noisegrid",
    help="Label-noise experiments as a service: POST a grid, watch its curves, trust its numbers.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(noise_app, name="noise")
app.registered_commands += compare_app.registered_commands
app.registered_commands += figure_app.registered_commands
app.registered_commands += tensorboard_app.registered_commands

GridFile = Annotated[Path, typer.Argument(metavar="GRID.yaml", exists=True, dir_okay=False, help="a grid, as in recipes/")]
DataDir = Annotated[Path | None, typer.Option(envvar="NOISEGRID_DATA_DIR", help="where the service keeps all that it has")]


@app.callback(invoke_without_command=True)
def main(show_version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False) -> None:
    if show_version:
        print(version("noisegrid"))
        raise typer.Exit


@command(app, example="serve\nserve --port 9000 --data-dir /srv/noisegrid\nserve --ray-address http://head:8265")
def serve(
    host: Annotated[str, typer.Option(help="address to listen on; anything but loopback lets others in")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one")] = DEFAULT_PORT,
    data_dir: DataDir = None,
    ray_address: Annotated[
        str | None,
        typer.Option(envvar="NOISEGRID_RAY_ADDRESS", help="a running cluster's job server, instead of a Ray of the service's own"),
    ] = None,
) -> None:
    """Start the service and its dashboard."""
    from server.hosting import HostingError, serve_until_stopped

    try:
        serve_until_stopped(host, port, data_dir, ray_address)
    except HostingError as error:
        raise failure(str(error)) from None


@command(app, example="submit recipes/demo.yaml --wait\nsubmit grid.yaml --server http://lab:8642")
def submit(
    grid_file: GridFile,
    server: Server = DEFAULT_SERVER,
    wait: Annotated[bool, typer.Option("--wait", help="show the progress; exit with 1 unless every run gets done")] = False,
) -> None:
    """Send a grid to the service, which runs it. The same grid sent again is the same grid."""
    from server.watch import watch
    from trainables.grid_files import read_mapping

    with inputs_from(grid_file), connected(server) as client:
        grid, is_new = client.create_grid(read_mapping(grid_file))
        console.print(
            f"grid {grid.grid_id} {'with' if is_new else 'was there already, with'} {grid.num_runs:,} runs: {client.page(grid.grid_id)}"
        )
        console.print(epochs_text(grid.epochs_total, grid.epochs_shared))
        if wait and (ended := watch(client, grid.grid_id, console)).state != "done":
            raise failure(f"grid {grid.grid_id} is {ended.state}: `noisegrid runs {grid.grid_id}` says why")


@command(app, example="validate recipes/demo.yaml\nvalidate huge.yaml --max-runs 50000")
def validate(grid_file: GridFile, max_runs: Annotated[int, typer.Option(min=1, help="refuse more runs than these")] = MAX_RUNS) -> None:
    """Count a grid's runs, or say everything that is wrong with it. Needs no service."""
    from spec.grid import expand
    from trainables.grid_files import read_spec
    from trainables.parts import RunConfig

    with inputs_from(grid_file):
        grid = expand(read_spec(grid_file), RunConfig, max_runs)
    console.print(f"{grid_file}: {len(grid.cells):,} runs, grid {grid.grid_id}", soft_wrap=True)
    console.print(epochs_text(grid.epochs_total, grid.epochs_shared))
    if averaged := sum(cell.run.ema is not None for cell in grid.cells):
        console.print(f"{averaged:,} runs answer for their moving average, too: {len(grid.cells) + averaged:,} models are measured")
    console.print(_factor_table(grid))


@command(app, "list", example="list")
def list_grids(server: Server = DEFAULT_SERVER) -> None:
    """Show every grid, newest first."""
    with connected(server) as client:
        grids = list(client.grids())
    if not grids:
        console.print("no grids yet: `noisegrid submit recipes/demo.yaml` makes one")
        return
    table = new_table("grid", "name", "state", "runs", "epochs", "failed", "created", wrapped="name")
    for grid in grids:
        table.add_row(*_grid_row(grid))
    console.print(table)


@command(app, example="show 3f2a\nshow 3f2a91c04d5e6b78 --server http://lab:8642")
def show(grid: GridId, server: Server = DEFAULT_SERVER) -> None:
    """Show how far a grid is, its axes and its results so far."""
    from server.results import best_treatments, finished_cells, result_table, shown
    from server.watch import runs_text, time_left

    with connected(server) as client:
        view = client.grid(client.find_grid(grid))
        cells = finished_cells(view.factors, client.runs(view.grid_id))
        console.print(f"[bold]{view.name}[/bold]  {view.grid_id}  {view.state}  {client.page(view.grid_id)}", soft_wrap=True)
    for line in (view.description.strip(), view.message, f"{runs_text(view)}  {time_left(view.seconds_left)}"):
        if line:
            console.print(line, markup=False, highlight=False)
    for factor in view.factors:
        console.print(f"  {factor.path} ({factor.role}): {', '.join(map(shown, factor.values))}", markup=False)
    console.print(result_table(cells))
    for best in best_treatments(cells):
        console.print(f"best {best}", markup=False)


@command(app, example="runs 3f2a\nruns 3f2a --csv > runs.csv")
def runs(
    grid: GridId, server: Server = DEFAULT_SERVER, csv: Annotated[bool, typer.Option("--csv", help="print CSV, every column")] = False
) -> None:
    """Show a grid's runs: state, epoch, and test accuracy of the last epoch."""
    from dashboard.figures.groups import short_name

    with connected(server) as client:
        grid_id = client.find_grid(grid)
        if csv:
            sys.stdout.write(client.runs_csv(grid_id))
            return
        factors = [factor.path for factor in client.grid(grid_id).factors]
        names = [short_name(path, factors) for path in factors]
        table = new_table("run", *names, "state", "epoch", "realised", "raw, %", "EMA, %")
        found = list(client.runs(grid_id))
    for run in found:
        table.add_row(*_run_row(run, factors))
    console.print(table)
    for (state, error), run_ids in _by_error(found).items():
        others = f" and {len(run_ids) - 1} more" if len(run_ids) > 1 else ""
        console.print(f"{run_ids[0]}{others} {state}: {error}", markup=False, highlight=False, soft_wrap=True)


def _by_error(found: Iterable["RunSummary"]) -> dict[tuple[str, str], list[str]]:
    """Runs by how they ended, where they ended with an error: often all of a grid have the same."""
    runs_by_error: dict[tuple[str, str], list[str]] = {}
    for run in found:
        if run.error:
            runs_by_error.setdefault((run.state, run.error), []).append(run.run_id)
    return runs_by_error


@command(app, example="cancel 3f2a\ncancel 0c9d8e7f6a5b4c3d")
def cancel(
    grid_or_run: Annotated[str, typer.Argument(metavar="GRID|RUN", help="a grid's id (or its first digits), or a run's whole id")],
    server: Server = DEFAULT_SERVER,
) -> None:
    """Cancel a grid's unfinished runs, or one run. `resume` takes them up again."""
    from server.client import ServiceError

    with connected(server) as client:
        try:
            grid = client.cancel_grid(client.find_grid(grid_or_run))
            console.print(f"grid {grid.grid_id} is {grid.state}")
        except ServiceError as error:
            if error.status != 404:
                raise
            run = client.cancel_run(grid_or_run)
            console.print(f"run {run.run_id} is {run.state}")


@command(app, example="resume 3f2a")
def resume(grid: GridId, server: Server = DEFAULT_SERVER) -> None:
    """Queue a grid's failed and cancelled runs again; each goes on from its last checkpoint."""
    with connected(server) as client:
        view = client.resume_grid(client.find_grid(grid))
        console.print(f"grid {view.grid_id} is {view.state}: {client.page(view.grid_id)}")


@command(app, example="logs 3f2a\nlogs 3f2a --follow")
def logs(
    grid: GridId,
    server: Server = DEFAULT_SERVER,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on until the grid has ended")] = False,
) -> None:
    """Print the log of a grid's driver."""
    from server.watch import follow_log

    with connected(server) as client:
        for text in follow_log(client, client.find_grid(grid), follow):
            sys.stdout.write(text)
            sys.stdout.flush()


@command(app, example="train run.yaml --out results/run1\ntrain run.yaml --out results/run1 --data ~/datasets --threads 4")
def train(
    run_file: Annotated[Path, typer.Argument(metavar="RUN.yaml", exists=True, dir_okay=False, help="a run: a grid's base, without axes")],
    out: Annotated[Path, typer.Option("--out", help="the run's folder; a run that was broken off there goes on")],
    data: DatasetRoot = DEFAULT_DATASET_ROOT,
    threads: Annotated[
        int, typer.Option(min=1, help="the service gives a worker 1 unless the grid says more; other counts may round differently")
    ] = 1,
) -> None:
    """Train one run here: no service, no Ray, the same numbers. Leaves records.jsonl and checkpoint.pt."""
    from server.local import summary_of, summary_table, train_here
    from trainables.grid_files import read_run
    from trainables.parts import RunConfig

    with inputs_from(run_file):
        run = read_run(run_file, RunConfig)
    if run.workers > 1:
        errors.print(f"note: trained here by one worker instead of {run.workers}: sums are rounded in another order")
    try:
        train_here(run, data.expanduser(), out, threads, console)
    except (OSError, ValueError, RuntimeError) as error:
        raise failure(f"{run_file}: {error}") from None
    if summary := summary_of(out):
        console.print(summary_table(summary))
    console.print(f"run {run.run_id} is in {out}", soft_wrap=True)


@command(app, example="stop\nstop --data-dir /srv/noisegrid")
def stop(data_dir: DataDir = None) -> None:
    """Stop the Ray that a service started for its data directory, with every run in it.

    A service that still runs takes them up at once, another when it starts.
    """
    from server.ray_head import stop_embedded
    from server.settings import Settings

    folder = (data_dir or Settings().data_dir).expanduser().resolve()
    console.print(f"stopped the Ray of {folder}" if stop_embedded(folder) else f"no Ray of {folder} was running", soft_wrap=True)


@command(app, example="demo\ndemo --exit\ndemo --fresh --port 9000")
def demo(
    exit_when_done: Annotated[
        bool, typer.Option("--exit", help="stop everything when the grid is done; exit with 1 unless every run is")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="another free one is taken where it is not free")] = DEFAULT_PORT,
    data_dir: Annotated[Path | None, typer.Option(help="where the demo keeps all that it has")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="forget an earlier demo first")] = False,
) -> None:
    """Run a small grid from beginning to end, in two or three minutes, with the dashboard open to be watched."""
    from server.demo import run_demo
    from server.hosting import HostingError

    try:
        with service_errors():
            code = run_demo(port, data_dir, fresh=fresh, exit_when_done=exit_when_done, console=console)
    except HostingError as error:
        raise failure(str(error)) from None
    raise typer.Exit(code)


def _factor_table(grid: "Grid") -> Table:
    from server.results import shown

    table = new_table("varies", "role", "values", wrapped="values")
    for path, role in grid.roles.items():
        values = list(dict.fromkeys(shown(cell.factors[path]) for cell in grid.cells))
        table.add_row(path, role.value, ", ".join(values[:12]) + (f", … ({len(values)})" if len(values) > 12 else ""))
    return table


def _grid_row(grid: "GridSummary") -> list[str]:
    from datetime import datetime

    failed = grid.runs_by_state.get("failed", 0)  # type: ignore[call-overload]  # a StrEnum's members are their strings
    share = f"{grid.epochs_done / max(1, grid.epochs_total):.0%}"
    created = datetime.fromtimestamp(grid.created_at).strftime("%Y-%m-%d %H:%M")
    return [grid.grid_id, grid.name, grid.state, f"{grid.num_runs:,}", share, str(failed or ""), created]


def _run_row(run: "RunSummary", factors: list[str]) -> list[str]:
    from server.results import shown
    from server.watch import time_left

    def percent(model: str) -> str:
        accuracy = getattr(run.summary, model, None)
        return "-" if accuracy is None or accuracy.last is None else f"{100 * accuracy.last:.2f}"

    rate = "-" if run.realised_rate is None else f"{run.realised_rate:.4f}"
    values = [shown(run.factors.get(path)) for path in factors]
    epochs = f"{run.epoch}/{run.epochs} {time_left(run.seconds_left)}".rstrip()
    return [run.run_id, *values, run.state, epochs, rate, percent("raw"), percent("ema")]


if __name__ == "__main__":
    app()
