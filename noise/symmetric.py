"""Symmetric noise: a wrong label is any other class, all equally likely.

The true class is never drawn, so the realised rate is the nominal one, as in Han et al., "Co-teaching", NeurIPS
2018, and Chen et al., "Noise against noise", ICLR 2021. Where a paper draws from all classes, use `uniform`.
"""

import torch
from torch import Tensor

from noise._base import NOISES, CleanLabels
from noise._select import SelectParams, draw_other_classes, select


class SymmetricParams(SelectParams):
    """A share `rate` of the labels becomes any other class."""


@NOISES.register("symmetric", SymmetricParams)
def symmetric(clean: CleanLabels, params: SymmetricParams, generator: torch.Generator) -> Tensor:
    """Labels where each selected one differs from its own, uniformly over the other classes."""
    selected_N = select(clean.labels_N, params, generator)
    others_N = draw_other_classes(clean.labels_N, clean.num_classes, generator)
    return torch.where(selected_N, others_N, clean.labels_N)
