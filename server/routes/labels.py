"""Labels: the ledger of label vectors that runs were given, and the labels themselves."""

from threading import Lock
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Response

from server.routes._reading import read_lightly
from server.state import State, StateDep, StoreDep
from server.views import ErrorView, LabelPage, LabelView
from spec.problems import InvalidInputError, Problem
from spec.registry import NamedParams

if TYPE_CHECKING:
    from noise.files import LabelFile

router = APIRouter(prefix="/api/labels", tags=["labels"])

NoisyHash = Annotated[str, Path(description="`noisy_hash` of a run's labels")]
MEDIA_TYPES = {"json": "application/json", "csv": "text/csv", "npy": "application/octet-stream"}
# One request at a time reads a data set: it may be large.
READING = Lock()
NO_SUCH_LABELS = {"model": ErrorView, "description": "no run was given such labels"}


@router.get("")
def list_labels(store: StoreDep, offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> LabelPage:
    """Every label vector that a run was given, last used first."""
    return store.label_page(offset, limit)


@router.get("/{noisy_hash}", responses={404: NO_SUCH_LABELS})
def read_labels(noisy_hash: NoisyHash, store: StoreDep) -> LabelView:
    """A label vector: its generator and seed, realised rate overall and per class, counts, and the grids that used it."""
    return store.labels(noisy_hash)


@router.get(
    "/{noisy_hash}/file",
    response_class=Response,
    responses={
        200: {"content": {media_type: {} for media_type in MEDIA_TYPES.values()}},
        404: NO_SUCH_LABELS,
        422: {"model": ErrorView, "description": "the format has no place for replaced images"},
        409: {"model": ErrorView, "description": "the service cannot draw these labels again, and why"},
    },
)
def read_label_file(noisy_hash: NoisyHash, state: StateDep, format: Literal["json", "csv", "npy"] = "json") -> Response:
    """The labels, drawn again from what made them and checked by their hash: a label file that carries its own checks, or as CSV
    (columns `label,label_noisy`) or a NumPy array (N x 2) for other programs."""
    labels = state.store.labels(noisy_hash)
    try:
        with READING:
            file = _drawn_again(labels, state)
    except (OSError, ValueError) as error:
        raise HTTPException(409, f"the service cannot draw these labels again: {error}") from None
    content = written(file, format)
    headers = {"Content-Disposition": f'attachment; filename="labels-{noisy_hash[:12]}.{format}"'}
    return Response(content, media_type=MEDIA_TYPES[format], headers=headers)


def _drawn_again(labels: LabelView, state: State) -> "LabelFile":
    # These import torch, which takes seconds: not before somebody asks.
    from noise._base import NOISES
    from trainables.image_data._base import DATASETS
    from trainables.image_data.label_files import draw_labels

    origin, root = labels.origins[0], state.settings.dataset_root
    assert root is not None
    dataset: NamedParams = DATASETS.params(origin.dataset["name"]).model_validate(origin.dataset)
    noise: NamedParams = NOISES.params(origin.noise["name"]).model_validate(origin.noise)
    file = draw_labels(read_lightly(dataset), noise, origin.label_seed, root)
    if file.card.noisy_hash != labels.noisy_hash:
        raise ValueError("the data that it can read gives others")
    return file


def written(file: "LabelFile", format: str) -> bytes:
    """The file in one of the formats.

    Raises:
        InvalidInputError: the format has no place for replaced images.
    """
    from noise.files import WRITERS

    try:
        return WRITERS[f".{format}"](file)
    except ValueError as error:
        raise InvalidInputError([Problem(path="format", given=format, message=str(error))]) from None
