"""Clothing1M: a million photographs of clothes from shops on the web, labelled with words found around them, in 14 classes.

Nobody knows which training labels are wrong. Validation and test labels were checked by people.

Source: Xiao et al., "Learning from massive noisy labeled data for image classification", CVPR 2015. Each epoch's balanced draw, the
sizes and the normalisation are those of Chen et al., "Noise against noise: stochastic label noise helps combat inherent label noise",
ICLR 2021, from the authors' program.

Shapes: N examples.
"""

from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from models._base import DataShape
from spec.identity import content_hash
from spec.registry import Params
from trainables.image_data._base import DATASETS, Dataset
from trainables.image_data._files import FileSource, Framing
from trainables.image_data._pixels import Normalisation

CLASSES = (
    *("T-shirt", "shirt", "knitwear", "chiffon", "sweater", "hoodie", "windbreaker"),
    *("jacket", "down coat", "suit", "shawl", "dress", "vest", "underwear"),
)
FOLDER = "clothing1m"
TRAIN, VALIDATION, TEST = "noisy_train.txt", "clean_val.txt", "clean_test.txt"
SIZES = {TRAIN: 1_000_000, VALIDATION: 14_313, TEST: 10_526}
NORMALISATION = Normalisation(mean_C=(0.6959, 0.6537, 0.6371), std_C=(0.3113, 0.3192, 0.3214))
FRAMING = Framing(image_size=224, resized=256)

# A path, and the number of its class.
Entry = tuple[str, int]


class Clothing1MParams(Params):
    """Clothes, with labels found around them on the web; validated on clean labels of its own."""

    brings_validation: ClassVar[bool] = True

    per_class: int | None = Field(
        18_976, ge=1, description="each epoch trains on so many examples of each class, drawn anew (all of a smaller class); null: on all"
    )
    verify: bool = Field(True, description="the lists must be as long as the published ones; false for a part of them")

    def check_run(self, run: Any) -> None:
        if run.split.validation:
            raise ValueError(
                f"split.validation must be 0 with clothing1m, which brings clean images to validate on, got {run.split.validation}: "
                f"leave it out"
            )


@DATASETS.register("clothing1m", Clothing1MParams)
@lru_cache(maxsize=1)
def load_clothing1m(params: Clothing1MParams, root: Path) -> Dataset:
    """The data set under `root`, decoded as it is asked for. Training examples are in the order of their list.

    Raises:
        FileNotFoundError: a list is missing, or the first image that it names.
        ValueError: a list is not one of paths and classes, or (with `verify`) not as long as published.
    """
    folder = root / FOLDER
    train, validation, test = (read_list(folder, name, params.verify) for name in SIZES)
    # The first n test examples should be of all classes. By a hash: the same order everywhere.
    test.sort(key=lambda entry: content_hash(entry[0]))
    return Dataset(
        train=_source(folder, train),
        train_labels_N=_labels(train),
        test=_source(folder, test),
        test_labels_N=_labels(test),
        class_names=CLASSES,
        shape=DataShape(channels=3, image_size=FRAMING.image_size, num_classes=len(CLASSES)),
        train_paths=[path for path, _ in train],
        train_labels_are_true=False,
        validation=_source(folder, validation),
        validation_labels_N=_labels(validation),
        per_class=params.per_class,
    )


def read_list(folder: Path, name: str, verify: bool) -> list[Entry]:
    """The examples that annotations/`name` lists, a line `path label` each; paths are relative to `folder`.

    Raises:
        FileNotFoundError: the list is missing, or the first image that it names.
        ValueError: it is empty, has another kind of line, or (with `verify`) is not as long as published.
    """
    file = folder / "annotations" / name
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} is missing: ask Clothing1M's authors for it (https://github.com/Cysu/noisy_label) and write {TRAIN}, {VALIDATION} "
            f"and {TEST} into {file.parent}, a line 'images/....jpg 3' for each image, and the images into {folder / 'images'} "
            f"(docs/datasets.md)"
        )
    lines = file.read_text(encoding="utf-8").splitlines()
    entries = [_entry(line, number, file) for number, line in enumerate(lines, start=1) if line.strip()]
    if verify and len(entries) != SIZES[name]:
        raise ValueError(
            f"{file} lists {len(entries):,} images, the published list {SIZES[name]:,}: get it again, "
            f"or set dataset.verify to false if it is a part on purpose"
        )
    if not entries:
        raise ValueError(f"{file} is empty: it should have a line 'images/....jpg 3' for each image")
    # Of a million files, asking for one is enough to find a wrong folder; another that is missing is named when it is to be decoded.
    if not (first := folder / entries[0][0]).is_file():
        raise FileNotFoundError(f"{first}, the first image in {file}, is missing: put Clothing1M's images into {folder / 'images'}")
    return entries


def _entry(line: str, number: int, file: Path) -> Entry:
    path, _, label = line.strip().rpartition(" ")
    is_inside = path and not PurePosixPath(path).is_absolute() and ".." not in PurePosixPath(path).parts
    if not is_inside or not (label.isascii() and label.isdecimal() and int(label) < len(CLASSES)):
        raise ValueError(
            f"{file}, line {number}: expected a path below {file.parents[1]} and a class from 0 to {len(CLASSES) - 1}, "
            f"as in 'images/....jpg 3', got {line.strip()!r}"
        )
    return path, int(label)


def _source(folder: Path, entries: list[Entry]) -> FileSource:
    return FileSource([folder / path for path, _ in entries], FRAMING, NORMALISATION)


def _labels(entries: list[Entry]) -> Tensor:
    return torch.tensor([label for _, label in entries], dtype=torch.int64)
