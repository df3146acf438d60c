"""Permuted noise: the labels of a share of the examples are shuffled among them, so that the class sizes stay.

Some get their own class back: with K equal classes about rate * (K - 1) / K of the labels differ. Source: the
shuffled labels of Zhang et al., "Understanding deep learning requires rethinking generalization", ICLR 2017.
"""

import torch
from torch import Tensor

from noise._base import NOISES, CleanLabels
from noise._select import SelectParams, draw, select


class PermuteParams(SelectParams):
    """The labels of a share `rate` of the examples are shuffled among these; class sizes stay as they are."""


@NOISES.register("permute", PermuteParams)
def permute(clean: CleanLabels, params: PermuteParams, generator: torch.Generator) -> Tensor:
    """Labels where those of the selected examples have changed places at random."""
    selected_N = select(clean.labels_N, params, generator)
    givers = selected_N.nonzero().squeeze(1)
    noisy_N = clean.labels_N.clone()
    noisy_N[selected_N] = clean.labels_N[givers[draw(len(givers), generator).argsort(stable=True)]]
    return noisy_N
