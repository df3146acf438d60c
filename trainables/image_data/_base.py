"""What a data set is, before labels are corrupted and splits are drawn.

Shapes: N examples, B batch, C channels, H and W pixels. An example's index is its place in its image source.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from models._base import DataShape
from spec.registry import Registry


class ImageSource(Protocol):
    """Images that can be fed to a network, batch after batch."""

    def __len__(self) -> int: ...

    def feed(self, index_batches: Iterable[Tensor], device: torch.device, augment_seed: int | None = None) -> Iterator[Tensor]:
        """Normalised float images (B, C, H, W) on the device for each batch of indices, in the order given.

        With an `augment_seed`, each image is augmented; what is done to it is a function of (augment_seed, its
        index) alone, whatever the batches, their order or the number of workers. None: no augmentation.
        """
        ...

    def pictures(self, index_B: Tensor) -> Tensor:
        """Images (B, C, S, S) in [0, 1] on the CPU, as a network sees them but neither augmented nor normalised: for people to look at."""
        ...

    def showing(self, other: Self, index_M: Tensor, index_in_other_M: Tensor) -> Self:
        """The same source with other images at the places `index_M`: those of `other` at `index_in_other_M`.

        They are augmented and normalised like this source's own, so that nothing but their content tells them apart.

        Raises:
            ValueError: the other images are of another kind.
        """
        ...


@dataclass(frozen=True)
class Dataset:
    """A data set as published: images and labels, without noise or splits."""

    train: ImageSource
    train_labels_N: Tensor
    test: ImageSource
    test_labels_N: Tensor
    class_names: Sequence[str]
    shape: DataShape
    # Relative paths of the training images, where the data set is a tree of files.
    train_paths: Sequence[str] | None = None
    # False: the published training labels are wrong in places, and nobody knows where. Test labels are always true.
    train_labels_are_true: bool = True
    # Examples to validate on, with true labels, where the data set brings some.
    validation: ImageSource | None = None
    validation_labels_N: Tensor | None = None
    # Each epoch trains on so many examples of each class at most, drawn anew; None: on all.
    per_class: int | None = None


# Called as load(params, root), where `root` is the folder that data sets lie in.
DatasetLoader = Callable[[Any, Path], Dataset]

DATASETS: Registry[DatasetLoader] = Registry("dataset", package="trainables.image_data")
