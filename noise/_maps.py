"""Class maps: the one class that examples of each class are mistaken for.

A map is an int64 tensor of shape (K,); a class that is its own destination is never corrupted.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from noise._select import SelectParams, require_two_classes, select

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# Patrini et al. 2017, and the files of Chen et al. 2021. deer -> horse is the one that reimplementations lose.
CIFAR10_FLIPS = {"truck": "automobile", "bird": "airplane", "cat": "dog", "dog": "cat", "deer": "horse"}


def flip(labels_N: Tensor, destination_K: Tensor, params: SelectParams, generator: torch.Generator) -> Tensor:
    """Labels where a share of each mapped class has become its destination.

    All flips read the clean labels, so that none is flipped twice (cat -> dog -> cat).
    """
    mapped_N = destination_K[labels_N]
    flipped_N = select(labels_N, params, generator, eligible_N=mapped_N != labels_N)
    return torch.where(flipped_N, mapped_N, labels_N)


def cyclic(num_classes: int) -> Tensor:
    """Each class to the next, the last to the first."""
    require_two_classes(num_classes)
    return torch.arange(num_classes).roll(-1)


def by_name(class_names: Sequence[str], flips: dict[str, str]) -> Tensor:
    """The map of these flips; classes without one keep their labels."""
    place = {name: label for label, name in enumerate(class_names)}
    return torch.tensor([place[flips.get(name, name)] for name in class_names])
