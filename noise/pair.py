"""Pair noise: each class is mistaken for the next one, on any data set.

Source: Han et al., "Co-teaching", NeurIPS 2018 (pair flip); above rate 0.5, most examples of a class bear the next label.
"""

import torch
from torch import Tensor

from noise._base import NOISES, CleanLabels
from noise._maps import cyclic, flip
from noise._select import SelectParams


class PairParams(SelectParams):
    """A share `rate` of the labels becomes the next class, the last class the first."""


@NOISES.register("pair", PairParams)
def pair(clean: CleanLabels, params: PairParams, generator: torch.Generator) -> Tensor:
    """Labels where each selected one is its class plus one, modulo K."""
    return flip(clean.labels_N, cyclic(clean.num_classes), params, generator)
