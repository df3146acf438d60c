"""Watching a grid from a terminal until it is done."""

import time
from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

from server.client import Client
from server.results import Best, best_treatments, finished_cells
from server.views import GridState, GridView
from spec.records import RunState

FINAL_STATES = frozenset({GridState.DONE, GridState.FAILED, GridState.CANCELLED})
POLL_SECONDS = 0.5
# Where nobody can redraw a line, one is written each time that so much more is done.
SHARE_PER_LINE = 0.1


def watch(client: Client, grid_id: str, console: Console, sleep: Callable[[float], None] = time.sleep) -> GridView:
    """Show a grid's progress until it has ended; gives the grid as it ended."""
    display = _LiveDisplay(console) if console.is_terminal else _LineDisplay(console)
    best: list[Best] = []
    runs_done = -1
    with display:
        while True:
            grid = client.grid(grid_id)
            if (done := grid.runs_by_state.get(RunState.DONE, 0)) != runs_done:
                runs_done, best = done, best_treatments(finished_cells(grid.factors, client.runs(grid_id)))
            display.show(grid, best)
            if grid.state in FINAL_STATES:
                return grid
            sleep(POLL_SECONDS)


class _LiveDisplay:
    """A progress bar and the best cells so far, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}"), console=console
        )
        self._task: TaskID = self._progress.add_task("", left="")
        self._live = Live(self._progress, console=console, refresh_per_second=4)

    def __enter__(self) -> "_LiveDisplay":
        self._live.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, grid: GridView, best: list[Best]) -> None:
        self._progress.update(
            self._task, description=runs_text(grid), total=grid.epochs_total, completed=grid.epochs_done, left=time_left(grid.seconds_left)
        )
        lines: list[RenderableType] = [Text(f"  best so far {line}", style="green") for line in best]
        if grid.message:
            lines.append(Text(f"  {grid.message}", style="yellow"))
        self._live.update(Group(self._progress, *lines))


class _LineDisplay:
    """A line now and then, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = (-1, "")

    def __enter__(self) -> "_LineDisplay":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, grid: GridView, best: list[Best]) -> None:
        share = grid.epochs_done / max(1, grid.epochs_total)
        current = (int(share / SHARE_PER_LINE), f"{grid.state} {grid.message}")
        if current == self._shown:
            return
        self._shown = current
        parts = (f"{share:4.0%}", runs_text(grid), time_left(grid.seconds_left), grid.message)
        self._console.print("  ".join(filter(None, parts)), markup=False, highlight=False, soft_wrap=True)


def runs_text(grid: GridView) -> str:
    """`12 of 27 runs done, 4 running, 1 failed`."""
    counts = grid.runs_by_state
    others = (RunState.RUNNING, RunState.LOST, RunState.STOPPED, RunState.FAILED, RunState.CANCELLED)
    also = "".join(f", {counts[state]} {state}" for state in others if counts.get(state))
    return f"{counts.get(RunState.DONE, 0)} of {grid.num_runs} runs done{also}"


def time_left(seconds: float | None) -> str:
    """`about 1:05 left`; nothing where no one knows."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"about {hours}:{minutes:02}:{rest:02} left" if hours else f"about {minutes}:{rest:02} left"


def follow_log(client: Client, grid_id: str, follow: bool, sleep: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """The driver's log so far and, when following, all that comes until the grid has ended."""
    position = 0
    while True:
        # Asked before the log is read: what a grid wrote at its very end is still shown.
        ended = client.grid(grid_id).state in FINAL_STATES
        log = client.log(grid_id, position)
        position = log.next
        if log.text:
            yield log.text
        elif ended or not follow:
            return
        else:
            sleep(POLL_SECONDS)
