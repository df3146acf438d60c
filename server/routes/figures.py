"""Figures and what they are made from: curves averaged on the server, Plotly figures as JSON, tables as text, warnings."""

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
from dashboard.figures.results import averaging_notes, result_csv, result_figure, result_markdown, result_table
from dashboard.figures.run_curves import RUN_METRICS, run_curve_figure, run_curve_table
from dashboard.figures.sigma import sigma_figure, sigma_table
from dashboard.figures.style import empty_figure
from server.routes._curve_cache import CurveCache
from server.routes._example_figures import grid_example_figure, run_example_figure
from server.routes._sample_figures import SampleCache, run_samples_figure
from server.run_table import RunQuery
from server.state import StateDep, StoreDep
from server.store import Store
from server.views import Curves, GridWarnings
from spec.grid import Role
from spec.problems import InvalidInputError, Problem
from spec.records import RunState
from spec.summary import Summary

MIN_COMPRESSED = 2_000
GZIP_LEVEL = 4
MODELS = {"test_accuracy": "raw", "ema_test_accuracy": "ema"}

GridFigure = Literal["curves", "heatmap", "accuracy", "sigma", "table", "probabilities", "dissection"]
RunFigure = Literal["curves", "noise", "probabilities", "dissection", "samples"]
TableFormat = Literal["csv", "markdown"]
TABLE_TYPES: dict[TableFormat, str] = {"csv": "text/csv; charset=utf-8", "markdown": "text/markdown; charset=utf-8"}
Selection = Literal["last", "last_ten", "validation_best", "oracle_best"]
Columns = Annotated[int, Query(ge=1, le=8, description="panels or images side by side, in figures that have several")]

router = APIRouter(prefix="/api", tags=["figures"])


@router.get("/grids/{grid_id}/curves", response_model=Curves)
def read_curves(grid_id: str, request: Request, state: StateDep, metric: str = "test_accuracy") -> Response:
    """Mean and one sample standard deviation over replicates, per condition and treatment."""
    return _json(request, state.only(CurveCache).curves(state.store, grid_id, metric).body)


@router.get("/grids/{grid_id}/warnings")
def read_warnings(grid_id: str, store: StoreDep) -> GridWarnings:
    """Whether the grid's runs had the labels that a comparison needs."""
    return GridWarnings(warnings=_warnings(store, grid_id))


@router.get("/grids/{grid_id}/figures/{kind}", response_class=Response)
def read_grid_figure(
    grid_id: str,
    kind: GridFigure,
    request: Request,
    state: StateDep,
    metric: str = "test_accuracy",
    selection: Selection = "last_ten",
    columns: Columns = 4,
) -> Response:
    """A Plotly figure as JSON. All but `curves` are of finished runs; `probabilities` and `dissection` of one run of each treatment."""
    store = state.store
    if kind == "curves":
        return _figure(request, curve_figure(state.only(CurveCache).curves(store, grid_id, metric).table, metric))
    if kind == "table":
        table = _result_table(store, grid_id)
        return _figure(request, result_figure(table, selection, _notes(table, selection, store, grid_id)))
    if kind == "sigma":
        return _figure(request, _sigma_figure(store, grid_id, selection))
    model = _model(metric)
    if kind in ("probabilities", "dissection"):
        return _figure(request, grid_example_figure(kind, model, grid_id, store, state.settings, columns))
    accuracies = accuracy_table(_finished(store, grid_id), _groups(store, grid_id), model)
    if kind == "accuracy":
        return _figure(request, accuracy_figure(accuracies, model, columns))
    return _figure(request, heatmap_figure(heatmap_table(accuracies, selection), selection, model))


@router.get("/grids/{grid_id}/table", response_class=Response)
def read_table(grid_id: str, store: StoreDep, format: TableFormat = "csv", selection: Selection = "last_ten") -> Response:
    """The table of results as text: CSV with a row per selection, or Markdown under one of them. Finished runs only."""
    table = _result_table(store, grid_id)
    notes = _notes(table, selection, store, grid_id)
    text = result_csv(table) if format == "csv" else result_markdown(table, selection, notes)
    return Response(text, media_type=TABLE_TYPES[format])


@router.get("/runs/{run_id}/figures/{kind}", response_class=Response)
def read_run_figure(run_id: str, kind: RunFigure, request: Request, state: StateDep, columns: Columns = 2) -> Response:
    """A Plotly figure as JSON: the run's curves, its realised label noise, its examples one by one, or some of its images."""
    store = state.store
    if kind == "curves":
        records = store.records(run_id, RUN_METRICS)
        return _figure(request, run_curve_figure(run_curve_table(records.epochs, records.metrics)))
    run = store.run(run_id)
    if kind == "samples":
        return _figure(request, run_samples_figure(run, state, state.only(SampleCache), columns))
    if kind != "noise":
        return _figure(request, run_example_figure(kind, run, state.settings, columns))
    if run.labels is None:
        return _figure(request, empty_figure("Label noise", "the run has not started: its labels are not drawn"))
    original = "clean" if run.labels.truth_is_known else "published"
    return _figure(request, noise_figure(noise_table(run.labels), noise_title(run.labels), original))


def _finished(store: Store, grid_id: str) -> dict[str, Summary | None]:
    return {run.run_id: run.summary for run in store.run_page(grid_id, RunQuery(states=(RunState.DONE,), limit=None)).runs}


def _result_table(store: Store, grid_id: str) -> pd.DataFrame:
    hashes = {run.run_id: run.noisy_hash for run in store.run_page(grid_id, RunQuery(limit=None)).runs}
    return result_table(_finished(store, grid_id), _groups(store, grid_id), hashes)


def _notes(table: pd.DataFrame, selection: Selection, store: Store, grid_id: str) -> list[str]:
    return [*averaging_notes(table, selection), *_warnings(store, grid_id)]


def _sigma_figure(store: Store, grid_id: str, selection: Selection) -> Figure:
    methods = {run.run_id: run.config["method"] for run in store.run_facts(grid_id)}
    factors = {cell.run_id: cell.factors for cell in store.cells(grid_id)}
    table = sigma_table(_finished(store, grid_id), methods, factors, _roles(store, grid_id), selection)
    return sigma_figure(table, selection)


def _model(metric: str) -> str:
    if metric not in MODELS:
        message = f"this figure is of test accuracy: expected one of {', '.join(MODELS)}, got {metric!r}"
        raise InvalidInputError([Problem(path="metric", given=metric, message=message)])
    return MODELS[metric]


def _warnings(store: Store, grid_id: str) -> list[str]:
    runs = store.run_page(grid_id, RunQuery(limit=None)).runs
    return warnings([LabelDraw(run.factors, run.realised_rate, run.noisy_hash) for run in runs], _roles(store, grid_id))


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
