"""Mixup: training on weighted means of two images, and of their labels.

Source: Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.
Shapes: G batch over all workers, B one worker's share of it, K classes.
"""

import random
from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from spec.registry import Params
from spec.seeds import Seeds
from trainables.methods._base import ALONE, METHODS, Batch, Labels, Method, Predictions, cross_entropies
from trainables.world import World


def draw_beta(alpha: float, generator: torch.Generator) -> float:
    """A number from Beta(alpha, alpha)."""
    # PyTorch draws it from its global generator only.
    seed = int(torch.randint(2**62, (), generator=generator))
    return random.Random(seed).betavariate(alpha, alpha)


def mixed(first: Tensor, second: Tensor, share: float) -> Tensor:
    """share * first + (1 - share) * second."""
    return share * first + (1 - share) * second


class MixupParams(Params):
    """Mixup."""

    alpha: float = Field(
        1.0, gt=0, le=1000, description="of the Beta(alpha, alpha) that a batch's mixing share is drawn from; up to 32 for noisy labels"
    )


@METHODS.register("mixup", MixupParams)
class Mixup(Method):
    """Each example is mixed with another of the whole batch, whichever worker has it, with one share for all of them.

    The numbers do not depend on the number of workers; the price is that they exchange the batch's images at every step.
    """

    def __init__(self, params: Any, labels: Labels, seeds: Seeds, world: World = ALONE) -> None:
        super().__init__(params, labels, seeds, world)
        self.epoch_generator = self.generator("mixup", seeds.augment)

    def start_epoch(self, epoch: int, predict: Callable[[], Predictions]) -> None:
        self.epoch_generator = self.generator("mixup", self.seeds.augment, epoch)

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        images_GCHW, targets_GK = self.world.join(batch.images_BCHW), self.world.join(self.targets(batch))
        share = draw_beta(self.params.alpha, self.epoch_generator)
        partners_G = torch.randperm(len(images_GCHW), generator=self.epoch_generator)
        partners_B = self.world.share(partners_G).to(self.device, non_blocking=True)
        logits_BK = model(mixed(batch.images_BCHW, images_GCHW[partners_B], share))
        return cross_entropies(logits_BK, mixed(self.targets(batch), targets_GK[partners_B], share))
