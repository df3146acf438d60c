"""Examples: what a run's last models make of each training example, from its worker and to whoever asks."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from server.access import BearerDep, require_token
from server.example_files import MAX_BYTES, example_file, keep_examples
from server.state import StateDep
from server.store import UnknownIdError
from server.views import ErrorView, ExamplesKept

router = APIRouter(prefix="/api/runs", tags=["runs"], responses={404: {"model": ErrorView, "description": "no such run"}})

RunId = Annotated[str, Path(description="a run's id, 16 hex digits")]
FILE = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}


@router.put(
    "/{run_id}/examples",
    responses={status: {"model": ErrorView} for status in (401, 413, 422)},
    openapi_extra={"requestBody": {**FILE, "required": True}},
)
async def put_examples(
    run_id: RunId,
    grid_id: Annotated[str, Query(description="a grid that holds the run")],
    request: Request,
    state: StateDep,
    bearer: BearerDep,
) -> ExamplesKept:
    """Keep what the run's models make of each example (.npz), in place of what there was. Needs the grid's token."""
    require_token(state.tokens, grid_id, bearer)
    if not await run_in_threadpool(state.store.holds, grid_id, run_id):
        raise UnknownIdError("run", run_id)
    content = await _body(request)
    fits = await run_in_threadpool(keep_examples, state.settings, run_id, content)
    return ExamplesKept(run_id=run_id, num_examples=len(fits.shared["index"]), models=["ema" if name else "raw" for name in fits.models])


@router.get("/{run_id}/examples", response_class=FileResponse, responses={200: FILE})
def read_examples(run_id: RunId, state: StateDep) -> FileResponse:
    """Loss and prediction of each training example after the last epoch, without augmentation, as an .npz file."""
    state.store.run(run_id)
    path = example_file(state.settings, run_id)
    if not path.exists():
        raise HTTPException(404, f"run {run_id!r} has left no examples: it does after its last epoch, unless measure.examples is false")
    return FileResponse(path, media_type="application/octet-stream", filename=f"{run_id}-examples.npz")


async def _body(request: Request) -> bytes:
    """The body, as far as the limit; a longer one is not read to its end.

    Raises:
        HTTPException: 413.
    """
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BYTES:
            raise HTTPException(413, f"the file is larger than {MAX_BYTES:,} bytes: set measure.examples to false")
    return bytes(content)
