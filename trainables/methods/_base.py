"""What a method is: a few hooks around a training step. The base class is plain cross-entropy.

Shapes: N examples of the training source, B batch, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from spec.registry import Registry
from spec.seeds import Seeds, stream_seed
from trainables.world import World


@dataclass(frozen=True)
class Batch:
    """One worker's part of a step. `index_B` is each example's place in the data set, whatever the split or order."""

    images_BCHW: Tensor
    labels_B: Tensor
    index_B: Tensor


@dataclass(frozen=True)
class Labels:
    """What a method may know of the labels: the given ones, never the true ones."""

    given_N: Tensor
    num_classes: int
    # The examples that are trained on.
    train_index: Tensor


@dataclass(frozen=True)
class Predictions:
    """The averaged model's view of the epoch's training examples, and their places in the data set.

    They are all of `Labels.train_index`, unless the data set draws a part of it for each epoch.
    """

    logits_MK: Tensor
    index_M: Tensor


ALONE = World.alone(torch.device("cpu"))


class Method:
    """Cross-entropy on the given labels. A method overrides the hooks that it needs.

    Every worker has one, and calls each hook at the same time as the others: a hook may talk to them through `world`.
    """

    def __init__(self, params: Any, labels: Labels, seeds: Seeds, world: World = ALONE) -> None:
        self.params = params
        self.labels = labels
        self.seeds = seeds
        self.world = world
        self.device = labels.given_N.device

    def network(self, make: Callable[[int], nn.Module]) -> nn.Module:
        """What is trained: the run's network, `make(0)`. `make(1)` and so on differ from it in their first weights alone."""
        return make(0)

    def networks(self, model: nn.Module) -> dict[str, nn.Module]:
        """What is evaluated of `model`, which `network` made: metric prefix -> module from images to logits."""
        return {"": model}

    def start_epoch(self, epoch: int, predict: Callable[[], Predictions]) -> None:
        """Called before epoch `epoch` (counted from 1). `predict` passes over the training set: call it only if needed."""

    def targets(self, batch: Batch) -> Tensor:
        """What the batch is trained towards, float of shape (B, K)."""
        return functional.one_hot(batch.labels_B, self.labels.num_classes).float()

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Loss of each example, shape (B,)."""
        return cross_entropies(model(batch.images_BCHW), self.targets(batch))

    def after_step(self, model: nn.Module) -> None:
        """Called after every optimiser step with the raw model."""

    def end_epoch(self) -> None:
        """Called after an epoch's last step, before evaluation and the checkpoint: what workers keep apart becomes one here."""

    def state_dict(self) -> dict[str, Tensor]:
        """What a resumed run needs beyond its seeds and epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Inverse of `state_dict`."""

    def generator(self, name: str, seed: int, *parts: int) -> torch.Generator:
        """A CPU generator for one named stream: the same draws on every worker and after a restart."""
        return torch.Generator().manual_seed(stream_seed(name, seed, *parts))


def cross_entropies(logits_BK: Tensor, targets_BK: Tensor) -> Tensor:
    """-sum_k t_k log softmax(z)_k of each example; the targets need be no distribution."""
    return -(targets_BK * functional.log_softmax(logits_BK, dim=1)).sum(dim=1)


# Called as method(params, labels, seeds, world).
METHODS: Registry[Callable[..., Method]] = Registry("method", package="trainables.methods")
