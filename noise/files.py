"""Our own label files: labels before and after, where they come from, what was measured of them, and their hashes.

JSON, because a label file outlives the program that wrote it. One key a line, facts first, so that `head` shows what a file is;
the same labels and facts always make the same bytes.

Shapes: N examples.
"""

import io
import json
import os
from collections.abc import Callable
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError, model_validator

from noise._base import CleanLabels, Corruption, Replacement
from noise._file_labels import FileLabels, Wanted, as_labels, check_length, read_content
from noise.labels import GENERATOR_VERSION, NoisyLabels, describe
from spec.problems import problems_of
from spec.records import LabelCard


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Provenance(_Part):
    """Where labels come from: enough to make them again."""

    dataset: dict[str, Any] = Field(description="the data set, as in a run's configuration")
    noise: dict[str, Any] = Field(description="the noise, as in a run's configuration; of imported labels, the file with its SHA-256")
    label_seed: int | None = Field(description="None where no seed decides")
    generator_version: int = Field(GENERATOR_VERSION, description="version of the code that drew the labels")
    remarks: list[str] = Field([], description="what a reader must know besides, a sentence each")


class ReplacedImages(_Part):
    """Which training images are shown in place of which."""

    source: str
    index_in_train: list[NonNegativeInt]
    index_in_source: list[NonNegativeInt]

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        ascending = all(one < next_one for one, next_one in pairwise(self.index_in_train))
        if not ascending or len(self.index_in_train) != len(self.index_in_source):
            raise ValueError("it must name one image of the source for each place, and the places in ascending order")
        return self


class LabelFile(_Part):
    """A label file's content. Making one checks that its facts and hashes are those of its labels."""

    format: Literal["noisegrid-labels"] = "noisegrid-labels"
    version: Literal[1] = 1
    provenance: Provenance
    card: LabelCard
    replaced: ReplacedImages | None = None
    clean: list[int] = Field(description="clean labels, in the data set's own order")
    noisy: list[int] = Field(description="the labels that examples are given")

    @model_validator(mode="after")
    def _facts_are_the_labels_own(self) -> Self:
        num_examples, num_classes = len(self.clean), len(self.card.class_names)
        if len(self.noisy) != num_examples:
            raise ValueError(f"it has {num_examples} clean and {len(self.noisy)} noisy labels: expected as many")
        if not self.clean or not all(0 <= label < num_classes for label in chain(self.clean, self.noisy)):
            raise ValueError(f"its labels must be class numbers from 0 to {num_classes - 1}, at least one")
        if self.replaced is not None and not all(place < num_examples for place in self.replaced.index_in_train):
            raise ValueError(f"it replaces images that are not among its {num_examples}")
        found = self._describe().card
        differing = [name for name in sorted(self.card.model_fields_set) if getattr(found, name) != getattr(self.card, name)]
        if differing:
            name = min(differing, key=lambda name: not name.endswith("_hash"))
            raise ValueError(
                f"its {name} says {_short(getattr(self.card, name))}, but its labels make that {_short(getattr(found, name))}: "
                "the file was changed after it was written, get it again"
            )
        return self

    @classmethod
    def of(cls, labels: NoisyLabels, provenance: Provenance) -> "LabelFile":
        """The file of these labels."""
        replaced = labels.replaced and ReplacedImages(
            source=labels.replaced.source,
            index_in_train=labels.replaced.index_in_train_M.tolist(),
            index_in_source=labels.replaced.index_in_source_M.tolist(),
        )
        return cls(provenance=provenance, card=labels.card, replaced=replaced, clean=labels.clean_N.tolist(), noisy=labels.noisy_N.tolist())

    @property
    def replacement(self) -> Replacement | None:
        if self.replaced is None:
            return None
        return Replacement(self.replaced.source, as_labels(self.replaced.index_in_train), as_labels(self.replaced.index_in_source))

    def _describe(self) -> NoisyLabels:
        clean = CleanLabels(as_labels(self.clean), self.card.class_names, are_true=self.card.truth_is_known)
        return describe(clean, Corruption(as_labels(self.noisy), self.replacement), self.card.noise, self.card.noise_rate)


def parse(content: bytes, file: Path) -> LabelFile:
    """The content of one of our own files, checked against its own hashes.

    Raises:
        ValueError: it is no such file, or was changed.
    """
    try:
        return LabelFile.model_validate_json(content)
    except ValidationError as error:
        problems = "; ".join(map(str, problems_of(error, LabelFile)[:3]))
        raise ValueError(f"{file} is not a label file that `noisegrid noise` wrote: {problems}") from None


def read_label_file(file: Path) -> LabelFile:
    """One of our own files.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no such file, or was changed.
    """
    return parse(read_content(file), file)


def read_own(file: Path, content: bytes, wanted: Wanted, clean: CleanLabels) -> FileLabels:
    """The labels of one of our own files; it has one kind of noisy labels, so that no column is to be named.

    Raises:
        ValueError: it is no such file, was changed, or is about other classes.
    """
    labels = parse(content, file)
    check_length(len(labels.clean), clean, file)
    if list(clean.class_names) != labels.card.class_names:
        raise ValueError(
            f"{file} is about the classes {_short(labels.card.class_names)}, the data set's are {_short(list(clean.class_names))}"
        )
    return FileLabels(as_labels(labels.noisy), as_labels(labels.clean), replaced=labels.replacement)


def file_bytes(content: LabelFile) -> bytes:
    """One of our own files."""
    values = content.model_dump(mode="json")
    lines = ",\n".join(
        f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'), ensure_ascii=False)}" for key, value in values.items()
    )
    return f"{{\n{lines}\n}}\n".encode()


def csv_bytes(content: LabelFile) -> bytes:
    """The columns `label,label_noisy` of Chen et al. 2021, row i for training image i.

    Raises:
        ValueError: the file replaces images, which these columns have no place for.
    """
    _check_only_labels(content, "CSV")
    rows = "".join(f"{label},{noisy}\n" for label, noisy in zip(content.clean, content.noisy, strict=True))
    return f"label,label_noisy\n{rows}".encode()


def npy_bytes(content: LabelFile) -> bytes:
    """An `.npy` file of an int64 array (N, 2) of clean and noisy labels.

    Raises:
        ValueError: the file replaces images, which the array has no place for.
    """
    _check_only_labels(content, "an array")
    buffer = io.BytesIO()
    np.save(buffer, np.array([content.clean, content.noisy], dtype=np.int64).T, allow_pickle=False)
    return buffer.getvalue()


# By the end of a file's name, what writes it.
WRITERS: dict[str, Callable[[LabelFile], bytes]] = {".json": file_bytes, ".csv": csv_bytes, ".npy": npy_bytes}


def _check_only_labels(content: LabelFile, form: str) -> None:
    if content.replaced is not None:
        raise ValueError(f"{content.card.num_replaced} images are replaced, which {form} has no place for: take the .json")


def write_whole(file: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old content or the new, and never a part of it."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
