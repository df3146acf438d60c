"""Asymmetric noise: a class is mistaken for the one it resembles.

`rate` is of the classes that have a destination. Five of CIFAR-10's ten have one, so that a rate of 0.4 corrupts
0.2 of all its labels. Sources: Patrini et al., "Making deep neural networks robust to label noise", CVPR 2017;
Chen et al., "Noise against noise", ICLR 2021, for CIFAR-10's five flips and the cyclic map of CIFAR-100.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from noise._base import NOISES, CleanLabels
from noise._maps import CIFAR10, CIFAR10_FLIPS, by_name, cyclic, flip
from noise._select import SelectParams

ClassMap = Literal["auto", "cifar10", "cyclic"]


class AsymmetricParams(SelectParams):
    """A share `rate` of each class that has a look-alike becomes that look-alike."""

    map: ClassMap = Field("auto", description="which class becomes which; auto: cifar10 where the classes are CIFAR-10's, else cyclic")


@NOISES.register("asymmetric", AsymmetricParams)
def asymmetric(clean: CleanLabels, params: AsymmetricParams, generator: torch.Generator) -> Tensor:
    """Labels where each selected one is its class's destination.

    Raises:
        ValueError: the map is for other classes than the data set's.
    """
    return flip(clean.labels_N, destinations(clean, params.map), params, generator)


def destinations(clean: CleanLabels, class_map: ClassMap) -> Tensor:
    """The class (K,) that each class becomes."""
    is_cifar10 = set(clean.class_names) == set(CIFAR10)
    if class_map == "cyclic" or (class_map == "auto" and not is_cifar10):
        return cyclic(clean.num_classes)
    if not is_cifar10:
        raise ValueError(
            f"noise.map 'cifar10' needs classes {', '.join(CIFAR10)}; the data set has {', '.join(clean.class_names)}: use 'cyclic'"
        )
    return by_name(clean.class_names, CIFAR10_FLIPS)
