"""Forward and backward loss correction: cross-entropy that knows how labels went wrong, as a transition matrix T.

T[i][j] is the probability of given label j for true class i. It is given, or estimated from the network's own predictions.

Source: Patrini et al., "Making deep neural networks robust to label noise: a loss correction approach", CVPR 2017.
Shapes: B batch, M training examples, K classes.
"""

import math
from collections.abc import Callable
from typing import Any, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn
from torch.nn import functional

from spec.registry import NEVER, Params
from spec.run import RunConfig
from spec.seeds import Seeds
from trainables.methods._base import ALONE, METHODS, Batch, Labels, Method, Predictions
from trainables.world import World

Matrix = tuple[tuple[float, ...], ...]

# Rows written with six decimals may miss 1 by this much; they are then scaled to it.
TOLERANCE = 1e-5

# The authors' program keeps probabilities above this in backward correction.
LOG_FLOOR = math.log(1e-7)


def forward_losses(logits_BK: Tensor, labels_B: Tensor, transition_KK: Tensor) -> Tensor:
    """-log sum_i p_i T[i][y] of each example: cross-entropy of the prediction after it went through the noise."""
    log_joint_BK = functional.log_softmax(logits_BK, dim=1) + transition_KK.log().T[labels_B]
    return -log_joint_BK.logsumexp(dim=1)


def backward_losses(logits_BK: Tensor, labels_B: Tensor, inverse_KK: Tensor) -> Tensor:
    """sum_j inv(T)[y][j] CE_j of each example, where CE_j is its cross-entropy with label j, at most -log 1e-7.

    Its mean over the noise is the cross-entropy of the true label. It may be negative, and without the bound it would
    fall for ever where a network memorises.
    """
    log_p_BK = functional.log_softmax(logits_BK, dim=1).clamp(min=LOG_FLOOR)
    return -(inverse_KK[labels_B] * log_p_BK).sum(dim=1)


def symmetric_transition(rate: float, num_classes: int) -> Tensor:
    """1 - rate on the diagonal and rate / (K - 1) elsewhere, float32 (K, K)."""
    transition_KK = torch.full((num_classes, num_classes), rate / (num_classes - 1))
    return transition_KK.fill_diagonal_(1 - rate)


def estimated_transition(probabilities_MK: Tensor, percentile: float) -> Tensor:
    """Row i is what is predicted for class i's anchor: the example that stands at this percentile of sureness of class i.

    100 is the surest example, 97 passes over outliers. It must be well above the share of the examples that are not of the class.
    """
    # numpy.percentile(..., method="higher"); the authors' program takes the next example below.
    place = math.ceil((len(probabilities_MK) - 1) * percentile / 100)
    anchors_K = probabilities_MK.argsort(dim=0, stable=True)[place]
    return probabilities_MK[anchors_K]


def inverted(transition_KK: Tensor) -> Tensor:
    """The matrix's inverse, float32.

    Raises:
        ValueError: the matrix is singular to float32's precision.
    """
    precise_KK = transition_KK.double()
    condition = torch.linalg.cond(precise_KK).item()
    if not condition < 1 / torch.finfo(torch.float32).eps:
        raise ValueError(
            f"method.backward needs a transition matrix that can be inverted, but this one is singular (condition number {condition:.3g}): "
            "use forward, or another matrix"
        )
    return torch.linalg.inv(precise_KK).float()


class CorrectionParams(Params):
    """Loss correction with one of three: a matrix, a rate of symmetric noise, or an epoch to estimate the matrix at."""

    transition: Matrix | None = Field(
        None, min_length=2, description="K rows of K probabilities; row: true class, column: given class; each row sums to 1"
    )
    symmetric_rate: float | None = Field(None, ge=0, lt=1, description="short for the matrix of symmetric noise with this rate")
    estimate_from: int | None = Field(
        None, ge=2, description="estimate the matrix before this epoch (from 1), and correct from it on; cross-entropy before"
    )
    percentile: float = Field(
        97, gt=0, le=100, description="where a class's anchor stands among all examples; 100, the surest, for 30 classes or more"
    )

    @field_validator("transition")
    @classmethod
    def _row_stochastic(cls, matrix: Matrix | None) -> Matrix | None:
        for place, row in enumerate(matrix or ()):
            if len(row) != len(matrix or ()):
                raise ValueError(f"must be square: row {place} has {len(row)} of {len(matrix or ())} columns")
            if min(row) < 0:
                raise ValueError(f"must hold probabilities: row {place} has {min(row)}")
            if not math.isclose(sum(row), 1, abs_tol=TOLERANCE):
                raise ValueError(f"rows must sum to 1: row {place} sums to {sum(row):.6g}")
        return matrix

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = {name: getattr(self, name) for name in ("transition", "symmetric_rate", "estimate_from")}
        given = [name for name, value in sources.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"loss correction needs exactly one of {', '.join(sources)}, got {' and '.join(given) or 'none'}")
        return self

    def check_run(self, run: RunConfig) -> None:
        if self.estimate_from is not None and self.estimate_from > run.epochs:
            raise ValueError(f"method.estimate_from must be at most epochs = {run.epochs}, got {self.estimate_from}")

    def acts_from(self) -> dict[str, int]:
        return {"percentile": NEVER} if self.estimate_from is None else dict.fromkeys(("estimate_from", "percentile"), self.estimate_from)


class Correction(Method):
    """What both corrections share: the matrix. It is the identity, which is cross-entropy, until it is estimated."""

    def __init__(self, params: Any, labels: Labels, seeds: Seeds, world: World = ALONE) -> None:
        super().__init__(params, labels, seeds, world)
        self.set_transition(self._given_transition().to(self.device))

    def set_transition(self, transition_KK: Tensor) -> None:
        """Correct by this matrix from now on."""
        self.transition_KK = transition_KK

    def start_epoch(self, epoch: int, predict: Callable[[], Predictions]) -> None:
        if epoch == self.params.estimate_from:
            self.set_transition(estimated_transition(predict().logits_MK.softmax(dim=1), self.params.percentile))

    def state_dict(self) -> dict[str, Tensor]:
        return {"transition_KK": self.transition_KK}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.set_transition(state["transition_KK"].to(self.device))

    def _given_transition(self) -> Tensor:
        num_classes = self.labels.num_classes
        if self.params.transition is not None:
            if len(self.params.transition) != num_classes:
                raise ValueError(f"method.transition is for {len(self.params.transition)} classes, but the data set has {num_classes}")
            rows_KK = torch.tensor(self.params.transition)
            return rows_KK / rows_KK.sum(dim=1, keepdim=True)
        return symmetric_transition(self.params.symmetric_rate or 0.0, num_classes)


@METHODS.register("forward", CorrectionParams)
class Forward(Correction):
    """Forward correction: the prediction goes through the noise before it is compared with the given label."""

    def set_transition(self, transition_KK: Tensor) -> None:
        """Correct by this matrix from now on.

        Raises:
            ValueError: it says that a label that is given cannot be.
        """
        given = self.labels.given_N[self.labels.train_index].unique()
        if (impossible := given[transition_KK[:, given].sum(dim=0) == 0]).numel():
            label = impossible[0].item()
            raise ValueError(
                f"the transition matrix says that label {label} is never given, but examples have it: correct its column {label}"
            )
        super().set_transition(transition_KK)

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        return forward_losses(model(batch.images_BCHW), batch.labels_B, self.transition_KK)


@METHODS.register("backward", CorrectionParams)
class Backward(Correction):
    """Backward correction: the losses of all labels go back through the noise. It has more variance than forward correction."""

    def set_transition(self, transition_KK: Tensor) -> None:
        """Correct by this matrix from now on.

        Raises:
            ValueError: it is singular.
        """
        super().set_transition(transition_KK)
        self.inverse_KK = inverted(transition_KK)

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        return backward_losses(model(batch.images_BCHW), batch.labels_B, self.inverse_KK)
