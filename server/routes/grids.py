"""Grids: post, list, read, follow, cancel, resume."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Response, status
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from server.access import BearerDep, require_token
from server.run_table import RunQuery, run_query, runs_csv
from server.state import State, StateDep, StoreDep
from server.store import Changes
from server.views import CreatedGrid, ErrorView, GridChange, GridPage, GridSummary, GridView, LogText, RunPage
from spec.grid import GridSpec, expand
from spec.records import FINAL_STATES, RunState, Work

# SQLite counts to 2^63; nobody needs a page that far out.
MAX_OFFSET = 2**53
# A burst of commits becomes one event; people cannot follow more.
SECONDS_BETWEEN_EVENTS = 0.25

EXAMPLE_GRID = {
    "name": "SLN on digits",
    "base": {
        "dataset": "digits",
        "noise": {"name": "symmetric"},
        "model": "small_cnn",
        "method": {"name": "sln"},
        "optimizer": {"name": "sgd", "lr": 0.02},
        "ema": {"decay": 0.99},
        "epochs": 40,
        "batch_size": 64,
    },
    "axes": {"noise.rate": [0.2, 0.4, 0.6], "method.sigma": [0, 0.2, 0.5], "seed": [0, 1, 2]},
}

router = APIRouter(prefix="/api/grids", tags=["grids"], responses={422: {"model": ErrorView}})
UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ErrorView, "description": "no such grid"}}

THERE_ALREADY: dict[int | str, dict[str, Any]] = {200: {"model": CreatedGrid, "description": "the same grid was posted before"}}

GridId = Annotated[str, Path(description="a grid's id, 16 hex digits")]
Where = Annotated[list[str] | None, Query(description="PATH=VALUE, a factor and its JSON value; may repeat", examples=["noise.rate=0.4"])]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET)]


class Launch(StrEnum):
    """Who launches a grid's runs."""

    SERVICE = "service"
    EXTERNAL = "external"


class Format(StrEnum):
    """How a run table travels."""

    JSON = "json"
    CSV = "csv"


@router.post("", response_model=CreatedGrid, status_code=status.HTTP_201_CREATED, responses=THERE_ALREADY)
def create_grid(
    spec: Annotated[GridSpec, Body(openapi_examples={"digits": {"summary": "27 runs on scikit-learn's digits", "value": EXAMPLE_GRID}})],
    state: StateDep,
    response: Response,
    launch: Launch = Launch.SERVICE,
) -> CreatedGrid:
    """Make a grid, and its runs: `base` crossed with the axes. The same grid again is the same grid (200)."""
    grid = expand(spec, state.run_type, state.settings.max_runs)
    external = launch is Launch.EXTERNAL
    if not state.store.create_grid(grid, external):
        response.status_code = status.HTTP_200_OK
    elif not external:
        _launch(state, grid.grid_id)
    # A grid that the service launches has a driver already: a second one would only wait for it.
    token = state.tokens.of(grid.grid_id) if external and state.store.is_external(grid.grid_id) else None
    return CreatedGrid(**dict(state.store.grid(grid.grid_id)), token=token)


@router.get("", response_model=GridPage)
def list_grids(store: StoreDep, offset: Offset = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> GridPage:
    """All grids, newest first."""
    return store.grids(offset, limit)


@router.get("/{grid_id}", response_model=GridView, responses=UNKNOWN)
def read_grid(grid_id: GridId, store: StoreDep) -> GridView:
    """A grid: how far it is, its factors, its specification."""
    return store.grid(grid_id)


@router.get("/{grid_id}/runs", response_model=RunPage, responses={**UNKNOWN, 200: {"content": {"text/csv": {}}}})
def list_runs(
    grid_id: GridId,
    store: StoreDep,
    run_state: Annotated[list[RunState] | None, Query(alias="state", description="may repeat")] = None,
    where: Where = None,
    sort: Annotated[str | None, Query(description="column, -column for descending", examples=["-raw.last_ten"])] = None,
    offset: Offset = 0,
    limit: Annotated[int | None, Query(ge=1, le=10_000, description="100 if not given; for CSV, all")] = None,
    table_format: Annotated[Format, Query(alias="format")] = Format.JSON,
) -> Response:
    """A grid's run table: filtered, sorted, paged; `total` counts all runs that match."""
    paths = [factor.path for factor in store.factors(grid_id)]
    if table_format is Format.CSV:
        page = store.run_page(grid_id, run_query(paths, run_state or (), where or (), sort, offset, limit))
        headers = {"Content-Disposition": f'attachment; filename="runs-{grid_id}.csv"'}
        return PlainTextResponse(runs_csv(page.runs, paths), media_type="text/csv", headers=headers)
    query: RunQuery = run_query(paths, run_state or (), where or (), sort, offset, limit or 100)
    # The view is valid already; FastAPI would check and copy every row once more.
    return Response(store.run_page(grid_id, query).model_dump_json(), media_type="application/json")


@router.get("/{grid_id}/logs", response_model=LogText, responses=UNKNOWN)
def read_log(grid_id: GridId, state: StateDep, after: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0) -> LogText:
    """What the grid's driver wrote, from position `after` on."""
    state.store.grid_summary(grid_id)
    text, position = state.launcher.log(grid_id, after)
    return LogText(text=text, next=position)


@router.get("/{grid_id}/work", response_model=Work, responses={**UNKNOWN, 401: {"model": ErrorView}})
def read_work(grid_id: GridId, state: StateDep, bearer: BearerDep) -> Work:
    """The runs that are left, for the grid's driver; needs the grid's token."""
    require_token(state.tokens, grid_id, bearer)
    return state.store.pending_runs(grid_id)


@router.post("/{grid_id}/cancel", response_model=GridView, responses=UNKNOWN)
def cancel_grid(grid_id: GridId, state: StateDep) -> GridView:
    """Cancel the grid's unfinished runs. Those that another grid holds too are made by that one."""
    heirs = state.store.cancel_grid(grid_id)
    state.launcher.stop(grid_id)
    for heir in heirs:
        _launch(state, heir)
    return state.store.grid(grid_id)


@router.post("/{grid_id}/resume", response_model=GridView, responses=UNKNOWN)
def resume_grid(grid_id: GridId, state: StateDep) -> GridView:
    """Queue the grid's failed and cancelled runs again."""
    state.store.resume_grid(grid_id)
    _launch(state, grid_id)
    return state.store.grid(grid_id)


@router.get("/{grid_id}/events", response_class=StreamingResponse, responses={**UNKNOWN, 200: {"content": {"text/event-stream": {}}}})
async def follow_grid(
    grid_id: GridId,
    state: StateDep,
    last_event_id: Annotated[int | None, Header(ge=0, le=MAX_OFFSET)] = None,
    after: Annotated[int | None, Query(ge=0, le=MAX_OFFSET, description="as Last-Event-ID, which goes before it")] = None,
) -> StreamingResponse:
    """Server-sent events: what changes in the grid from now on, or since the change that Last-Event-ID names.

    Without one, the first event is the grid as it is now, without runs: read the runs after it, and miss nothing.
    """
    seen = last_event_id if last_event_id is not None else after
    start, change = await run_in_threadpool(_where_to_begin, state, grid_id, seen)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(state, grid_id, start, change), media_type="text/event-stream", headers=headers)


def _where_to_begin(state: State, grid_id: str, seen: int | None) -> tuple[int, Changes | None]:
    """The change after which events are to come, and what is to be said first."""
    # The number before the grid: what changes in between is told twice, rather than never.
    now = state.store.sequence()
    summary = state.store.grid_summary(grid_id)
    if seen is None:
        return now, Changes(now, GridChange(grid=summary, runs=[]))
    # A number from the future is of another database, before somebody put a copy back.
    return min(seen, now), None


async def events(state: State, grid_id: str, seen: int, changes: Changes | None) -> AsyncIterator[str]:
    """The stream's text: `changes`, then an event for each burst of those after `seen`, and a comment where nothing happens for long."""
    clock = asyncio.get_running_loop().time
    ping_seconds = state.settings.ping_seconds
    spoke_at = clock()
    yield "retry: 2000\n\n"
    while not state.notifier.closed:
        news = state.notifier.ticket()
        if changes := changes or await run_in_threadpool(state.store.changes, grid_id, seen):
            yield f"id: {changes.seq}\nevent: change\ndata: {changes.change.model_dump_json()}\n\n"
            seen, changes, spoke_at = changes.seq, None, clock()
        elif not await _happens(news, spoke_at + ping_seconds - clock()):
            yield ": nothing new\n\n"
            spoke_at = clock()
        # Also after news of other grids, which are most of a busy service's.
        await asyncio.sleep(SECONDS_BETWEEN_EVENTS)


async def _happens(news: asyncio.Event, seconds: float) -> bool:
    """Whether the event is set within the time."""
    with contextlib.suppress(TimeoutError):
        return await asyncio.wait_for(news.wait(), max(0.0, seconds))
    return False


def _launch(state: State, grid_id: str) -> None:
    """Have the grid's runs made, if there are any and the service is to make them."""
    summary: GridSummary = state.store.grid_summary(grid_id)
    is_finished = all(run_state in FINAL_STATES for run_state in summary.runs_by_state)
    if not is_finished and not state.store.is_external(grid_id):
        state.launcher.launch(grid_id)
