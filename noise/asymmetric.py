"""Asymmetric noise: a class is mistaken for the one it resembles.

`rate` is of the classes that have a destination. Five of CIFAR-10's ten have one, so that a rate of 0.4 corrupts
0.2 of all its labels. Sources: Patrini et al., "Making deep neural networks robust to label noise", CVPR 2017, for
CIFAR-10's five flips and CIFAR-100's superclasses; Chen et al., "Noise against noise", ICLR 2021, whose CIFAR-100
files are cyclic over all classes.
"""

from collections.abc import Collection
from itertools import chain
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from noise._base import NOISES, CleanLabels
from noise._maps import CIFAR10, CIFAR10_FLIPS, CIFAR100_SUPERCLASSES, by_name, cyclic, cyclic_flips, cyclic_in_blocks, flip
from noise._select import SelectParams

ClassMap = Literal["auto", "cifar10", "cyclic", "superclass", "block5"]


class AsymmetricParams(SelectParams):
    """A share `rate` of each class that has a look-alike becomes that look-alike."""

    map: ClassMap = Field(
        "auto",
        description="which class becomes which. cifar10: its five flips; cyclic: the next class; superclass: the next of CIFAR-100's "
        "superclass; block5: the next of five consecutive classes; auto: cifar10 where the classes are CIFAR-10's, else cyclic",
    )


@NOISES.register("asymmetric", AsymmetricParams)
def asymmetric(clean: CleanLabels, params: AsymmetricParams, generator: torch.Generator) -> Tensor:
    """Labels where each selected one is its class's destination.

    Raises:
        ValueError: the map is for other classes than the data set's.
    """
    return flip(clean.labels_N, destinations(clean, params.map), params, generator)


def destinations(clean: CleanLabels, class_map: ClassMap) -> Tensor:
    """The class (K,) that each class becomes."""
    if class_map == "auto":
        class_map = "cifar10" if set(clean.class_names) == set(CIFAR10) else "cyclic"
    if class_map == "cyclic":
        return cyclic(clean.num_classes)
    if class_map == "block5":
        return cyclic_in_blocks(clean.num_classes, 5)
    if class_map == "cifar10":
        _require_classes(clean, CIFAR10, class_map)
        return by_name(clean.class_names, CIFAR10_FLIPS)
    _require_classes(clean, list(chain(*CIFAR100_SUPERCLASSES.values())), class_map)
    return by_name(clean.class_names, cyclic_flips(CIFAR100_SUPERCLASSES.values()))


def _require_classes(clean: CleanLabels, expected: Collection[str], class_map: str) -> None:
    if set(clean.class_names) != set(expected):
        raise ValueError(
            f"noise.map {class_map!r} needs the {len(expected)} classes {_some(expected)}; "
            f"the data set has {clean.num_classes}, {_some(clean.class_names)}: use map 'cyclic'"
        )


def _some(names: Collection[str]) -> str:
    shown = sorted(names)[:10]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")
