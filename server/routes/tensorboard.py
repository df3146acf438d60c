"""TensorBoard event files of a grid, as one zip."""

import io
import tempfile
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from fastapi import APIRouter, Response

from server.run_table import RunQuery
from server.state import StoreDep
from server.store import Store
from server.views import ErrorView
from spec.problems import InvalidInputError, Problem

# A minute's work; the command line has no limit.
MAX_EPOCHS = 100_000

router = APIRouter(prefix="/api/grids/{grid_id}", tags=["reports"], responses={404: {"model": ErrorView, "description": "no such grid"}})


@router.get("/tensorboard", responses={200: {"content": {"application/zip": {}}}, 422: {"model": ErrorView}})
def read_event_files(grid_id: str, store: StoreDep) -> Response:
    """The grid's curves so far as TensorBoard event files, a folder for each run and one for its moving average."""
    summary = store.grid_summary(grid_id)
    if summary.epochs_done > MAX_EPOCHS:
        way_out = f"use `noisegrid tensorboard {grid_id} --out DIR`"
        message = f"the grid has {summary.epochs_done:,} epochs, a zip holds {MAX_EPOCHS:,}: {way_out}"
        raise InvalidInputError([Problem(path="grid_id", given=grid_id, message=message)])
    with tempfile.TemporaryDirectory() as folder:
        _write(grid_id, store, Path(folder))
        content = _zipped(Path(folder))
    headers = {"Content-Disposition": f'attachment; filename="tensorboard-{grid_id}.zip"'}
    return Response(content, media_type="application/zip", headers=headers)


def _write(grid_id: str, store: Store, folder: Path) -> None:
    # It imports PyTorch, if only to look for it.
    from server.tensorboard_files import EventFiles, folder_name, told_from_columns

    configs = {facts.run_id: facts.config for facts in store.run_facts(grid_id)}
    for run in store.run_page(grid_id, RunQuery(limit=None)).runs:
        records = store.records(run.run_id)
        with EventFiles(folder / folder_name(run.run_id, run.factors), configs[run.run_id]) as files:
            files.write(told_from_columns(records.epochs, records.metrics, run.started_at or 0.0))


def _zipped(folder: Path) -> bytes:
    content = io.BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("events.*")):
            file.write(path, path.relative_to(folder))
    return content.getvalue()
