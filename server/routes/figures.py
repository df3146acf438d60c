"""Figures and what they are made from: curves averaged on the server, Plotly figures as JSON, warnings."""

import gzip
from typing import Annotated, Literal

import pandas as pd
from fastapi import APIRouter, Query, Request, Response
from plotly.graph_objects import Figure

from dashboard.comparability import LabelDraw, warnings
from dashboard.figures.accuracy import accuracy_figure, accuracy_table
from dashboard.figures.curves import curve_figure
from dashboard.figures.groups import group_table
from dashboard.figures.heatmap import heatmap_figure, heatmap_table
from dashboard.figures.label_noise import noise_figure, noise_table, noise_title
from dashboard.figures.run_curves import RUN_METRICS, run_curve_figure, run_curve_table
from dashboard.figures.style import empty_figure
from server.routes._curve_cache import CurveCache
from server.run_table import RunQuery
from server.state import StoreDep
from server.store import Store
from server.views import Curves, GridWarnings
from spec.grid import Role
from spec.problems import InvalidInputError, Problem
from spec.records import RunState

MIN_COMPRESSED = 2_000
GZIP_LEVEL = 4
MODELS = {"test_accuracy": "raw", "ema_test_accuracy": "ema"}

GridFigure = Literal["curves", "heatmap", "accuracy"]
RunFigure = Literal["curves", "noise"]
Selection = Literal["last", "last_ten", "validation_best", "oracle_best"]

router = APIRouter(prefix="/api", tags=["figures"])


@router.get("/grids/{grid_id}/curves", response_model=Curves)
def read_curves(grid_id: str, request: Request, store: StoreDep, metric: str = "test_accuracy") -> Response:
    """Mean and one sample standard deviation over replicates, per condition and treatment."""
    return _json(request, _cache(request).curves(store, grid_id, metric).body)


@router.get("/grids/{grid_id}/warnings")
def read_warnings(grid_id: str, store: StoreDep) -> GridWarnings:
    """Whether the grid's runs had the labels that a comparison needs."""
    runs = store.run_page(grid_id, RunQuery(limit=None)).runs
    draws = [LabelDraw(run.factors, run.realised_rate, run.noisy_hash) for run in runs]
    return GridWarnings(warnings=warnings(draws, _roles(store, grid_id)))


@router.get("/grids/{grid_id}/figures/{kind}", response_class=Response)
def read_grid_figure(
    grid_id: str,
    kind: GridFigure,
    request: Request,
    store: StoreDep,
    metric: str = "test_accuracy",
    selection: Selection = "last_ten",
    columns: Annotated[int, Query(ge=1, le=6, description="panels side by side in `accuracy`")] = 4,
) -> Response:
    """A Plotly figure as JSON. `heatmap` and `accuracy` are of finished runs."""
    if kind == "curves":
        return _figure(request, curve_figure(_cache(request).curves(store, grid_id, metric).table, metric))
    model = _model(metric)
    summaries = {run.run_id: run.summary for run in store.run_page(grid_id, RunQuery(states=(RunState.DONE,), limit=None)).runs}
    accuracies = accuracy_table(summaries, _groups(store, grid_id), model)
    if kind == "accuracy":
        return _figure(request, accuracy_figure(accuracies, model, columns))
    return _figure(request, heatmap_figure(heatmap_table(accuracies, selection), selection, model))


@router.get("/runs/{run_id}/figures/{kind}", response_class=Response)
def read_run_figure(run_id: str, kind: RunFigure, request: Request, store: StoreDep) -> Response:
    """A Plotly figure as JSON: the run's curves, or its realised label noise."""
    if kind == "curves":
        records = store.records(run_id, RUN_METRICS)
        return _figure(request, run_curve_figure(run_curve_table(records.epochs, records.metrics)))
    labels = store.run(run_id).labels
    if labels is None:
        return _figure(request, empty_figure("Label noise", "the run has not started: its labels are not drawn"))
    return _figure(request, noise_figure(noise_table(labels), noise_title(labels)))


def _cache(request: Request) -> CurveCache:
    state = request.app.state
    if not hasattr(state, "curve_cache"):
        state.curve_cache = CurveCache()
    cache: CurveCache = state.curve_cache
    return cache


def _model(metric: str) -> str:
    if metric not in MODELS:
        message = f"this figure is of test accuracy: expected one of {', '.join(MODELS)}, got {metric!r}"
        raise InvalidInputError([Problem(path="metric", given=metric, message=message)])
    return MODELS[metric]


def _roles(store: Store, grid_id: str) -> dict[str, Role]:
    return {factor.path: factor.role for factor in store.factors(grid_id)}


def _groups(store: Store, grid_id: str) -> pd.DataFrame:
    return group_table({cell.run_id: cell.factors for cell in store.cells(grid_id)}, _roles(store, grid_id))


def _figure(request: Request, figure: Figure) -> Response:
    return _json(request, figure.to_json())


def _json(request: Request, text: str) -> Response:
    """An answer from JSON text, compressed where the client takes that: curves of 1,000 runs are 170 kB, or 47."""
    headers = {"Vary": "Accept-Encoding"}
    body = text.encode()
    if len(body) >= MIN_COMPRESSED and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = gzip.compress(body, GZIP_LEVEL), "gzip"
    return Response(body, headers=headers, media_type="application/json")
