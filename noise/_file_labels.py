"""What a label file gives, whatever its format, and the check that it is about the data set.

Shapes: N examples.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from noise._base import CleanLabels, Replacement
from spec.registry import did_you_mean

# What published files call their clean labels: Chen et al.'s, Noisy Imagenette's, CIFAR-10N's.
CLEAN_COLUMNS = ("label", "noisy_labels_0", "clean_label")


@dataclass(frozen=True)
class Wanted:
    """Which of a file's labels are asked for. `clean_column` None: the first of `CLEAN_COLUMNS` that there is."""

    column: str
    clean_column: str | None = None

    def columns_among(self, present: Sequence[str], file: Path) -> tuple[str, str | None]:
        """The column of the noisy labels, and that of the clean ones, if any.

        Raises:
            ValueError: a column that was named is missing.
        """
        for name in filter(None, (self.column, self.clean_column)):
            if name not in present:
                raise ValueError(f"{file} has no column {name!r}: expected one of {', '.join(present)}{did_you_mean(name, list(present))}")
        return self.column, self.clean_column or next((name for name in CLEAN_COLUMNS if name in present), None)


@dataclass(frozen=True)
class FileLabels:
    """A file's labels, in the data set's order as far as the file says which image a label is of."""

    noisy_N: Tensor
    # None where the file has none.
    clean_N: Tensor | None
    # Whether each label was found by its image's path.
    by_path: bool = False
    replaced: Replacement | None = None


def read_content(file: Path, sha256: str | None = None) -> bytes:
    """The file's bytes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: its SHA-256 is not the one given.
    """
    if not file.is_file():
        raise FileNotFoundError(f"label file {file} is missing: put it there, or give its path in full")
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(f"{file} has SHA-256 {found}, but noise.sha256 asks for {sha256}: it is another file, or another version")
    return content


def check_length(num_labels: int, clean: CleanLabels, file: Path) -> None:
    """Raise ValueError where a file is about another number of images than the data set has."""
    if num_labels != len(clean.labels_N):
        raise ValueError(f"{file} is about {num_labels} training images, but the data set has {len(clean.labels_N)}")


def check_clean(labels: FileLabels, clean: CleanLabels, file: Path) -> None:
    """Raise ValueError where the file's clean labels are not the data set's: it is in another order, or about other images."""
    if labels.clean_N is None:
        return
    differs_N = labels.clean_N != clean.labels_N
    if differs_N.any():
        first = int(differs_N.nonzero()[0])
        in_file, in_data_set = (clean.class_names[int(labels_N[first])] for labels_N in (labels.clean_N, clean.labels_N))
        raise ValueError(
            f"{file} is in another order, or about another data set: its clean labels differ for {int(differs_N.sum())} of "
            f"{len(differs_N)} training images, first for image {first} ({in_file} in the file, {in_data_set} in the data set)"
        )


def as_labels(values: Sequence[int]) -> Tensor:
    """Labels (N,) from whole numbers."""
    return torch.tensor(values, dtype=torch.int64)
