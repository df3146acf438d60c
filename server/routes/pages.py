"""The dashboard's pages, and the files that they load. Everything is served from here; nothing comes from other hosts."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any

import jinja2
import plotly
from fastapi import APIRouter, Query, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse, RedirectResponse

import dashboard
from dashboard.assets import Assets
from dashboard.figures.groups import EVERYTHING, group_table, short_name
from dashboard.figures.run_curves import METRIC_COLORS, PANELS
from dashboard.figures.style import METRIC_TITLES
from server.state import StoreDep
from server.store import Store, UnknownIdError
from server.views import RunView

TEMPLATES = Path(dashboard.__file__).parent / "templates"
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
LABELS_ON_A_PAGE = 50

# Plotly writes style attributes and a style element; scripts come from files only.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
ASSET_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff", "Vary": "Accept-Encoding"}

router = APIRouter(include_in_schema=False)


@router.get("/")
def read_grids_page() -> HTMLResponse:
    return _page("grids.html")


@router.get("/grids/{grid_id}")
def read_grid_page(grid_id: str, store: StoreDep) -> HTMLResponse:
    try:
        grid = store.grid(grid_id)
    except UnknownIdError as error:
        return _missing(error)
    paths = [factor.path for factor in grid.factors]
    data = {"grid": grid, "names": {path: short_name(path, paths) for path in paths}, "metric_titles": METRIC_TITLES}
    return _page("grid.html", data=jsonable_encoder(data))


@router.get("/grids/{grid_id}/compare")
def read_compare_page(grid_id: str, store: StoreDep) -> HTMLResponse:
    try:
        grid = store.grid(grid_id)
    except UnknownIdError as error:
        return _missing(error)
    is_searched = any(run.is_validated for run in store.run_facts(grid_id))
    return _page("compare.html", data={"grid_id": grid_id, "name": grid.name, "is_searched": is_searched})


@router.get("/runs/{run_id}")
def read_run_page(run_id: str, store: StoreDep) -> HTMLResponse:
    try:
        run = store.run(run_id)
        grid = store.grid(run.grid_id)
    except UnknownIdError as error:
        return _missing(error)
    panels = [{"title": title, "metrics": metrics} for title, metrics in PANELS.items()]
    data = {"run": run, "panels": panels, "colors": METRIC_COLORS, "metric_titles": METRIC_TITLES}
    return _page("run.html", data=jsonable_encoder(data), grid_name=grid.name, title=_run_title(run, store))


@router.get("/labels")
def read_labels_page(store: StoreDep, offset: Annotated[int, Query(ge=0)] = 0) -> HTMLResponse:
    return _page("labels.html", page=store.label_page(offset, LABELS_ON_A_PAGE))


@router.get("/labels/{noisy_hash}")
def read_label_page(noisy_hash: str, store: StoreDep) -> HTMLResponse:
    try:
        return _page("label.html", labels=store.labels(noisy_hash))
    except UnknownIdError as error:
        return _missing(error)


@router.get("/static/{version}/{name:path}")
def read_asset(version: str, name: str, request: Request) -> Response:
    if name not in _assets():
        return Response(f"there is no file {name!r}", 404, media_type="text/plain")
    if version != _assets().version:
        # A page from before an update: its files are these now, under another address.
        return RedirectResponse(f"/static/{_assets().version}/{name}", 307, {"Cache-Control": "no-store"})
    asset = _assets()[name]
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, headers={**ASSET_HEADERS, "Content-Encoding": "gzip"}, media_type=asset.media_type)
    return Response(asset.content, headers=ASSET_HEADERS, media_type=asset.media_type)


@router.get("/favicon.ico")
def read_favicon() -> Response:
    """For those who ask without having read the page."""
    return Response(_assets()["icon.svg"].content, headers={"Cache-Control": "max-age=86400"}, media_type="image/svg+xml")


def _run_title(run: RunView, store: Store) -> str:
    """The run's place in its grid in words, with its seed; the grid's name where it is the only run."""
    roles = {factor.path: factor.role for factor in store.factors(run.grid_id)}
    labels = group_table({cell.run_id: cell.factors for cell in store.cells(run.grid_id)}, roles).loc[run.run_id]
    replicate = [f"{short_name(path, roles)} = {value}" for path, value in run.factors.items() if roles.get(path) == "replicate"]
    groups = [str(labels[role]) for role in ("condition", "treatment") if labels[role] != EVERYTHING]
    return ", ".join([*groups, *replicate]) or store.grid_summary(run.grid_id).name


def _missing(error: UnknownIdError) -> HTMLResponse:
    return _page("missing.html", status=404, message=str(error))


def _page(template: str, status: int = 200, **context: Any) -> HTMLResponse:
    html = _templates().get_template(template).render(static=f"/static/{_assets().version}", **context)
    return HTMLResponse(html, status, PAGE_HEADERS)


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)


@cache
def _assets() -> Assets:
    return Assets({"vendor/plotly.min.js": PLOTLY})
