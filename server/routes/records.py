"""Records: what workers send while they train."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Body

from server.access import BearerDep, require_token
from server.db import WriterBusyError
from server.state import StateDep
from server.views import ErrorView
from spec.records import BatchReply, RecordBatch

EXAMPLE_BATCH = {
    "grid_id": "9f2c1a7be05d4c33",
    "messages": [
        {"type": "epoch", "run_id": "5b0c7d1e2f3a4b5c", "attempt": 1, "epoch": 1, "metrics": {"train_loss": 1.93, "test_accuracy": 0.61}}
    ],
}

router = APIRouter(prefix="/api", tags=["records"])


@router.post(
    "/records",
    response_model=BatchReply,
    responses={status: {"model": ErrorView} for status in (401, 404, 422, 503)},
)
async def add_records(
    batch: Annotated[RecordBatch, Body(openapi_examples={"epoch": {"value": EXAMPLE_BATCH}})], state: StateDep, bearer: BearerDep
) -> BatchReply:
    """Keep a batch of one grid's messages: all of them are on the disk when this answers, or none. Needs the grid's token."""
    require_token(state.tokens, batch.grid_id, bearer)
    # Waits for the commit without holding a thread: this is the busiest route.
    commit = asyncio.wrap_future(state.store.submit_records(batch))
    try:
        return await asyncio.wait_for(commit, state.settings.write_timeout_seconds)
    except TimeoutError:
        raise WriterBusyError(f"no commit within {state.settings.write_timeout_seconds:g} s") from None
