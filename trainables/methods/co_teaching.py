"""Co-teaching: two networks, each trained on the examples of a batch that the other one finds easy.

Source: Han et al., "Co-teaching: robust training of deep neural networks with extremely noisy labels", NeurIPS 2018.
Shapes: G batch over all workers, B one worker's share of it, K classes.
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


def forget_rate_at(epoch: int, forget_rate: float, num_gradual: int, exponent: float) -> float:
    """Share of each batch that epoch `epoch` (from 1) leaves out: forget_rate * min(epoch^exponent / num_gradual, 1)."""
    return forget_rate * min(epoch**exponent / num_gradual, 1.0)


def small_losses(losses_G: Tensor, forget_rate: float) -> Tensor:
    """Which examples (bool, (G,)) are the 1 - forget_rate with the smallest losses: rounded down, at least one; of equals the first."""
    count = max(int((1 - forget_rate) * len(losses_G)), 1)
    is_small_G = torch.zeros_like(losses_G, dtype=torch.bool)
    is_small_G[losses_G.argsort(stable=True)[:count]] = True
    return is_small_G


class Peers(nn.Module):
    """Two networks as one module, so that one optimizer, one average and one checkpoint hold both."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, images_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Both networks' logits, each (B, K)."""
        return self.first(images_BCHW), self.second(images_BCHW)


class CoTeachingParams(Params):
    """Co-teaching; the forget rate has no default because the paper sets it to the share of wrong labels, known or estimated."""

    forget_rate: float = Field(ge=0, lt=1, description="share of each batch left out in the end, tau in the paper: the noise rate")
    num_gradual: int = Field(10, ge=1, description="epochs over which the forget rate rises, T_k in the paper")
    exponent: float = Field(1.0, gt=0, le=10, description="power of the epoch in that rise, c in the paper")


@METHODS.register("co_teaching", CoTeachingParams)
class CoTeaching(Method):
    """Two networks with first weights of their own; metrics of the second are prefixed `peer_`, and the loss is the sum of both.

    Small losses are chosen within the whole batch, whatever the number of workers.
    """

    def __init__(self, params: Any, labels: Labels, seeds: Seeds, world: World = ALONE) -> None:
        super().__init__(params, labels, seeds, world)
        self.forget_rate = 0.0

    def network(self, make: Callable[[int], nn.Module]) -> nn.Module:
        return Peers(make(0), make(1))

    def networks(self, model: nn.Module) -> dict[str, nn.Module]:
        return {"": model.get_submodule("first"), "peer_": model.get_submodule("second")}

    def start_epoch(self, epoch: int, predict: Callable[[], Predictions]) -> None:
        self.forget_rate = forget_rate_at(epoch, self.params.forget_rate, self.params.num_gradual, self.params.exponent)

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        losses_2B = torch.stack(
            [functional.cross_entropy(logits_BK, batch.labels_B, reduction="none") for logits_BK in model(batch.images_BCHW)]
        )
        weights_2B = torch.stack([self._small_loss_weights(losses_B) for losses_B in losses_2B.detach()])
        return (weights_2B.flip(0) * losses_2B).sum(dim=0)

    def _small_loss_weights(self, losses_B: Tensor) -> Tensor:
        """G / count for the `count` examples that are chosen, else 0: their mean over the batch is that over the chosen ones."""
        is_small_G = small_losses(self.world.join(losses_B), self.forget_rate)
        weights_G = is_small_G * (len(is_small_G) / is_small_G.sum())
        return self.world.share(weights_G)
