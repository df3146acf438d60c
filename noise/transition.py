"""Transition noise: any class-conditional noise, given as a matrix T with T[i][j] = P(given label j | true class i).

Every kind here that depends on the class alone is one: symmetric noise has 1 - rate on the diagonal and
rate / (K - 1) elsewhere. Source: Patrini et al., "Making deep neural networks robust to label noise", CVPR 2017.

Shapes: N examples, K classes.
"""

import math

import torch
from pydantic import Field, field_validator
from torch import Tensor

from noise._base import NOISES, CleanLabels
from noise._select import draw
from spec.registry import Params

# Rows written with six decimals may miss 1 by this much; they are then scaled to it.
TOLERANCE = 1e-5

Matrix = tuple[tuple[float, ...], ...]


class TransitionParams(Params):
    """Each label is drawn from its class's row of a matrix."""

    matrix: Matrix = Field(min_length=1, description="K rows of K probabilities; row: true class, column: given class; each row sums to 1")

    @field_validator("matrix")
    @classmethod
    def _row_stochastic(cls, matrix: Matrix) -> Matrix:
        for place, row in enumerate(matrix):
            if len(row) != len(matrix):
                raise ValueError(f"must be square: row {place} has {len(row)} of {len(matrix)} columns")
            if min(row) < 0:
                raise ValueError(f"must hold probabilities: row {place} has {min(row)}")
            if not math.isclose(sum(row), 1, abs_tol=TOLERANCE):
                raise ValueError(f"rows must sum to 1: row {place} sums to {sum(row):.6g}")
        return matrix


@NOISES.register("transition", TransitionParams)
def transition(clean: CleanLabels, params: TransitionParams, generator: torch.Generator) -> Tensor:
    """Labels where each is drawn from the matrix's row of its class.

    Raises:
        ValueError: the matrix is for another number of classes.
    """
    if len(params.matrix) != clean.num_classes:
        raise ValueError(f"noise.matrix is for {len(params.matrix)} classes, but the data set has {clean.num_classes}")
    scores_N = draw(len(clean.labels_N), generator)
    noisy_N = torch.empty_like(clean.labels_N)
    for label, row in enumerate(params.matrix):
        of_class_N = clean.labels_N == label
        noisy_N[of_class_N] = invert(row, scores_N[of_class_N])
    return noisy_N


def invert(probabilities: tuple[float, ...], scores_N: Tensor) -> Tensor:
    """The classes (N,) whose parts of the unit interval the scores, in [0, 1), fall into; never one of probability 0."""
    cumulative_K = torch.tensor(probabilities, dtype=torch.float64).cumsum(0)
    # The last step that is not empty ends at exactly x / x = 1, so that no score lies beyond it.
    return torch.searchsorted(cumulative_K / cumulative_K[-1], scores_N, right=True)
