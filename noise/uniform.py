"""Uniform noise: a share of the labels is drawn anew from all classes, the true one included.

Only about rate * (K - 1) / K of the labels then differ: 0.36 for a nominal 0.4 on ten classes. Zhang et al.,
"Understanding deep learning requires rethinking generalization", ICLR 2017; the symmetric noise of DivideMix and ELR.
"""

import torch
from torch import Tensor

from noise._base import NOISES, CleanLabels
from noise._select import SelectParams, draw_classes, select


class UniformParams(SelectParams):
    """A share `rate` of the labels is redrawn from all classes; about rate * (K - 1) / K of them change."""


@NOISES.register("uniform", UniformParams)
def uniform(clean: CleanLabels, params: UniformParams, generator: torch.Generator) -> Tensor:
    """Labels where each selected one is drawn from all classes."""
    selected_N = select(clean.labels_N, params, generator)
    redrawn_N = draw_classes(len(clean.labels_N), clean.num_classes, generator)
    return torch.where(selected_N, redrawn_N, clean.labels_N)
