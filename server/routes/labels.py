"""Labels: the ledger of label vectors that runs were given."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from server.state import StoreDep
from server.views import ErrorView, LabelPage, LabelView

router = APIRouter(prefix="/api/labels", tags=["labels"])

NoisyHash = Annotated[str, Path(description="`noisy_hash` of a run's labels")]


@router.get("")
def list_labels(store: StoreDep, offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> LabelPage:
    """Every label vector that a run was given, last used first."""
    return store.label_page(offset, limit)


@router.get("/{noisy_hash}", responses={404: {"model": ErrorView, "description": "no run was given such labels"}})
def read_labels(noisy_hash: NoisyHash, store: StoreDep) -> LabelView:
    """A label vector: its generator and seed, realised rate overall and per class, counts, and the grids that used it."""
    return store.labels(noisy_hash)
