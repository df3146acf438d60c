"""No noise: the condition that the others are compared with."""

import torch
from torch import Tensor

from noise._base import NOISES, CleanLabels
from spec.registry import Params


class CleanParams(Params):
    """Labels as published."""


@NOISES.register("clean", CleanParams)
def no_noise(clean: CleanLabels, params: CleanParams, generator: torch.Generator) -> Tensor:
    """The data set's own labels."""
    return clean.labels_N.clone()
