"""TensorBoard event files of a grid, a run, or a folder that `noisegrid train` left."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.terminal import DEFAULT_SERVER, Server, command, connected, console, failure

if TYPE_CHECKING:
    from server.client import Client
    from server.tensorboard_files import EventFiles
    from server.views import RunSummary

tensorboard_app = typer.Typer()

POLL_SECONDS = 2.0
NOT_FOUND = 404


@command(
    tensorboard_app,
    example="tensorboard 3f2a --out events\ntensorboard 3f2a --out events --follow\ntensorboard results/run1 --out events",
)
def tensorboard(
    source: Annotated[str, typer.Argument(metavar="GRID|RUN|FOLDER", help="a grid's id (or its first digits), a run's, or a run's folder")],
    out: Annotated[Path, typer.Option("--out", help="folder for the event files; those of the same runs are replaced")],
    follow: Annotated[bool, typer.Option("--follow", help="go on writing until the grid has ended")] = False,
    server: Server = DEFAULT_SERVER,
) -> None:
    """Write event files: `tensorboard --logdir` shows the curves under re-sln's tags, each run's moving average as a run of its own."""
    if Path(source).is_dir():
        number = _write_folder(Path(source), out)
    else:
        with connected(server) as client:
            number = _write_grid(client, source, out, follow)
    console.print(f"{number:,} run{'s' if number != 1 else ''} in {out}: tensorboard --logdir {out}", soft_wrap=True)


def _write_folder(folder: Path, out: Path) -> int:
    from server.local import epochs_in
    from server.tensorboard_files import EventFiles, Told

    try:
        told = {record["epoch"]: Told(record["epoch"], record["metrics"], record["at"]) for record in epochs_in(folder)}
    except ValueError as error:
        raise failure(str(error)) from None
    with EventFiles(out / folder.resolve().name) as files:
        files.write(told.values())
    return 1


def _write_grid(client: "Client", source: str, out: Path, follow: bool) -> int:
    from server.watch import FINAL_STATES

    grid_id, run_id = _found(client, source)
    with ExitStack() as stack:
        files: dict[str, EventFiles] = {}
        while True:
            # Asked before the records: what comes in between is still read.
            is_over = client.grid(grid_id).state in FINAL_STATES
            runs = [run for run in client.runs(grid_id) if run_id in (None, run.run_id)]
            for run in runs:
                _write_run(client, run, files, out, stack)
            if is_over or not follow:
                return len(runs)
            time.sleep(POLL_SECONDS)


def _write_run(client: "Client", run: "RunSummary", files: "dict[str, EventFiles]", out: Path, stack: ExitStack) -> None:
    from server.tensorboard_files import EventFiles, folder_name, told_from_columns

    if run.run_id not in files:
        view = client.run(run.run_id)
        files[run.run_id] = stack.enter_context(EventFiles(out / folder_name(run.run_id, run.factors), view.config))
    if run.epoch > files[run.run_id].last_epoch:
        records = client.records(run.run_id)
        files[run.run_id].write(told_from_columns(records.epochs, records.metrics, run.started_at or 0.0))


def _found(client: "Client", source: str) -> tuple[str, str | None]:
    """The grid, and the one run of it that is meant, if it is one."""
    from server.client import ServiceError

    try:
        return client.find_grid(source), None
    except ServiceError as error:
        if error.status != NOT_FOUND:
            raise
        try:
            return client.run(source).grid_id, source
        except ServiceError as no_run:
            raise (error if no_run.status == NOT_FOUND else no_run) from None
