"""Runs: read one, its epoch records, cancel it."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from server.state import StoreDep
from server.views import ErrorView, Records, RunView

router = APIRouter(prefix="/api/runs", tags=["runs"], responses={404: {"model": ErrorView, "description": "no such run"}})

RunId = Annotated[str, Path(description="a run's id, 16 hex digits")]
Metrics = Annotated[str | None, Query(description="names with commas between; all if not given", examples=["test_accuracy,train_loss"])]


@router.get("/{run_id}", response_model=RunView)
def read_run(run_id: RunId, store: StoreDep) -> RunView:
    """A run: its state, its configuration, its labels, its results."""
    return store.run(run_id)


@router.get("/{run_id}/records", response_model=Records)
def read_records(run_id: RunId, store: StoreDep, metrics: Metrics = None) -> Response:
    """A run's epoch records by column; of an epoch recorded by several attempts, the last attempt's."""
    names = None if metrics is None else [name for name in metrics.split(",") if name]
    # The view is valid already; FastAPI would check and copy every number once more.
    return Response(store.records(run_id, names).model_dump_json(), media_type="application/json")


@router.post("/{run_id}/cancel", response_model=RunView)
def cancel_run(run_id: RunId, store: StoreDep) -> RunView:
    """Cancel an unfinished run, for every grid that holds it. Its worker learns of it with its next message."""
    store.cancel_run(run_id)
    return store.run(run_id)
