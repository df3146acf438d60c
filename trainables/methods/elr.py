"""Early-learning regularisation (ELR): holds each prediction to its own running average, which was right before labels were memorised.

Source: Liu et al., "Early-learning regularization prevents memorization of noisy labels", NeurIPS 2020.
Shapes: N examples of the training source, B batch, K classes.
"""

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from spec.registry import Params
from spec.seeds import Seeds
from trainables.methods._base import ALONE, METHODS, Batch, Labels, Method, Predictions
from trainables.world import World

# The authors' program keeps probabilities this far from 0 and 1, so that log(1 - <p, t>) is finite.
MARGIN = 1e-4


def clamped_probabilities(logits_BK: Tensor) -> Tensor:
    """Softmax, kept `MARGIN` away from 0 and 1."""
    return logits_BK.softmax(dim=1).clamp(MARGIN, 1 - MARGIN)


def ensembled(targets_BK: Tensor, probabilities_BK: Tensor, beta: float) -> Tensor:
    """beta * target + (1 - beta) * probabilities, these scaled to sum to 1; no gradient goes through it."""
    fresh_BK = probabilities_BK.detach()
    return beta * targets_BK + (1 - beta) * fresh_BK / fresh_BK.sum(dim=1, keepdim=True)


def agreement_losses(probabilities_BK: Tensor, targets_BK: Tensor) -> Tensor:
    """log(1 - <p, t>) of each example: the lower, the more the prediction agrees with the target."""
    return torch.log(1 - (probabilities_BK * targets_BK).sum(dim=1))


class ELRParams(Params):
    """Early-learning regularisation; the defaults are the paper's for CIFAR-10 with symmetric noise (CIFAR-100: beta 0.9, lambda 7)."""

    beta: float = Field(0.7, ge=0, lt=1, description="share of its running average that each example keeps when it is seen")
    weight: float = Field(3.0, ge=0, description="weight of the regulariser, lambda in the paper")


@METHODS.register("elr", ELRParams)
class ELR(Method):
    """Cross-entropy + weight * log(1 - <p, t>), with t the running average of an example's predictions, 0 before the first.

    An epoch shows each example once, to one worker: so workers agree on the averages when the epoch ends, not at every step.
    """

    def __init__(self, params: Any, labels: Labels, seeds: Seeds, world: World = ALONE) -> None:
        super().__init__(params, labels, seeds, world)
        self.ensemble_NK = torch.zeros(len(labels.given_N), labels.num_classes, device=self.device)
        self.next_NK = torch.zeros_like(self.ensemble_NK)

    def start_epoch(self, epoch: int, predict: Callable[[], Predictions]) -> None:
        self.next_NK = torch.zeros_like(self.ensemble_NK)

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        logits_BK = model(batch.images_BCHW)
        probabilities_BK = clamped_probabilities(logits_BK)
        targets_BK = ensembled(self.ensemble_NK[batch.index_B], probabilities_BK, self.params.beta)
        self.next_NK[batch.index_B] = targets_BK
        given_B = functional.cross_entropy(logits_BK, batch.labels_B, reduction="none")
        return given_B + self.params.weight * agreement_losses(probabilities_BK, targets_BK)

    def end_epoch(self) -> None:
        # A row is 0 on every worker but the one that saw its example.
        self.ensemble_NK = self.world.sum(self.next_NK)

    def state_dict(self) -> dict[str, Tensor]:
        return {"ensemble_NK": self.ensemble_NK}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.ensemble_NK.copy_(state["ensemble_NK"])
