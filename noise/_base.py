"""What every kind of noise is: a function from a training set's clean labels to what its examples are given instead.

Shapes: N examples, K classes, M replaced images, B images of a batch, F features of an image. Labels are int64 tensors on the CPU.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spec.registry import Registry


@dataclass(frozen=True)
class CleanLabels:
    """A training set's labels before corruption, as published, in the data set's own order."""

    labels_N: Tensor
    class_names: Sequence[str]
    # Relative path of each image, for label files keyed by path; None where the data set has no files.
    paths: Sequence[str] | None = None
    # Folder that relative file names in parameters start from.
    root: Path = Path()
    # What only some kinds look at, and what is read only for them; None where there are labels alone.
    read_features: Callable[[], Iterator[Tensor]] | None = None
    count_images: Callable[[str], int] | None = None
    # False: they are wrong in places as published, and nobody knows where.
    are_true: bool = True

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def features(self) -> Iterator[Tensor]:
        """The images as rows of numbers, in index order: batches of shape (B, F), float32 on the CPU.

        Raises:
            ValueError: there are labels alone.
        """
        if self.read_features is None:
            raise ValueError("this noise looks at the images, and these labels come without them")
        return self.read_features()

    def num_images_of(self, source: str) -> int:
        """How many training images the data set `source` has.

        Raises:
            ValueError: there are labels alone.
            FileNotFoundError: that data set's files are missing.
        """
        if self.count_images is None:
            raise ValueError(f"this noise shows images of {source}, and these labels come without access to other data sets")
        return self.count_images(source)


@dataclass(frozen=True)
class Replacement:
    """Training images that are shown in place of others, as two arrays of indices: pixels are never stored.

    The image at `index_in_train_M` (ascending, none twice) is the training image `index_in_source_M` of another data set.
    """

    source: str
    index_in_train_M: Tensor
    index_in_source_M: Tensor

    def __len__(self) -> int:
        return len(self.index_in_train_M)

    @classmethod
    def paired(cls, source: str, index_in_train_M: Tensor, index_in_source_M: Tensor) -> "Replacement":
        """From pairs in any order."""
        order_M = index_in_train_M.argsort()
        return cls(source, index_in_train_M[order_M], index_in_source_M[order_M])


@dataclass(frozen=True)
class Corruption:
    """What a kind gives that does more than change labels."""

    labels_N: Tensor
    replaced: Replacement | None = None


# Called as kind(clean, params, generator); gives the noisy labels, int64 of shape (N,), alone or in a Corruption, and
# leaves the clean ones as they are.
NoiseKind = Callable[[CleanLabels, Any, torch.Generator], Tensor | Corruption]

NOISES: Registry[NoiseKind] = Registry("noise", package="noise")
