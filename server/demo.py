"""The demo: a service, a small grid, its progress and its results, in one terminal."""

import shutil
import signal
import socket
import threading
from pathlib import Path

from rich.console import Console

from server.client import Client
from server.hosting import HostingError, PortTakenError, address, hosted, listen, make_settings
from server.ray_head import stop_embedded
from server.results import best_treatments, finished_cells, result_table
from server.views import GridState, GridView
from server.watch import runs_text, watch
from trainables.grid_files import read_mapping

HOST = "127.0.0.1"
GRID = Path(__file__).parents[1] / "recipes" / "demo.yaml"
DATA_DIR = Path("~/.noisegrid/demo")
# Only a folder that a demo made is ever removed.
MARKER = ".noisegrid-demo"


def run_demo(port: int, data_dir: Path | None, *, fresh: bool, exit_when_done: bool, console: Console) -> int:
    """Run the demo grid, or show the one that an earlier demo finished; gives the exit code.

    Raises:
        HostingError: the service cannot start, or `fresh` would remove what is not a demo's.
    """
    folder = (data_dir or DATA_DIR).expanduser().resolve()
    if fresh:
        forget(folder)
    # An interrupted demo must not leave Ray behind, whoever interrupts it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _listen_nearby(port) as listener:
        settings = make_settings(address(HOST, listener), folder)
        try:
            with hosted(settings, listener), Client(settings.url) as client:
                (folder / MARKER).touch()
                ended = play(client, console)
                if not exit_when_done:
                    serve_on(client, ended.grid_id, console)
        except KeyboardInterrupt:
            console.print("\nstopping; the next `noisegrid demo` goes on from here")
            return 128 + signal.SIGINT
        finally:
            stop_embedded(folder)
    return 0 if ended.state is GridState.DONE else 1


def play(client: Client, console: Console) -> GridView:
    """Post the demo grid, watch it and print its results."""
    created, _ = client.create_grid(read_mapping(GRID))
    console.print(f"Dashboard: {client.page(created.grid_id)}", soft_wrap=True)
    if created.state in (GridState.FAILED, GridState.CANCELLED):
        client.resume_grid(created.grid_id)
    if created.state is not GridState.DONE:
        console.print("Starting Ray on this machine: the first epochs come in about twenty seconds.")
    ended = watch(client, created.grid_id, console)
    cells = finished_cells(ended.factors, client.runs(ended.grid_id))
    console.print()
    console.print(result_table(cells))
    for best in best_treatments(cells):
        console.print(f"best {best}", markup=False)
    console.print(f"\nThe grid is {ended.state}: {runs_text(ended)}. {ended.message}".rstrip(), markup=False)
    return ended


def serve_on(client: Client, grid_id: str, console: Console) -> None:
    """Keep the service up until Ctrl-C."""
    console.print(f"Dashboard: {client.page(grid_id)}   (Ctrl-C stops it)", soft_wrap=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("\nstopping")


def forget(folder: Path) -> None:
    """Remove an earlier demo.

    Raises:
        HostingError: the folder is not a demo's.
    """
    if not folder.exists():
        return
    if any(folder.iterdir()) and not (folder / MARKER).exists():
        raise HostingError(f"{folder} holds something else than a demo: remove it by hand, or choose another --data-dir")
    stop_embedded(folder)
    shutil.rmtree(folder)


def _listen_nearby(port: int) -> socket.socket:
    """A socket on the port, or on any free one."""
    try:
        return listen(HOST, port)
    except PortTakenError:
        return listen(HOST, 0)
