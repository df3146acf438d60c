"""Health, and what a run's configuration may be."""

from typing import Any

from fastapi import APIRouter, Response

from server.state import StateDep
from server.views import Health

router = APIRouter(tags=["service"])


@router.get("/health", response_model=Health, responses={503: {"model": Health, "description": "records cannot be taken"}})
def read_health(state: StateDep, response: Response) -> Health:
    """Whether the service can take records."""
    alive = state.writer.alive
    response.status_code = 200 if alive else 503
    return Health(
        status="ok" if alive else "the writer is dead: restart the service",
        version=state.version,
        writer_alive=alive,
        queued_writes=state.writer.queued,
        ray=state.launcher.status(),
    )


@router.get("/api/schema")
def read_schema(state: StateDep) -> dict[str, Any]:
    """JSON schema of a run's configuration: what a grid's `base` and axes may set."""
    return state.run_type.model_json_schema()
