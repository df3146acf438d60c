"""Generalised cross-entropy (GCE, the L_q loss): between cross-entropy, which fits fast, and absolute error, which is robust.

Source: Zhang and Sabuncu, "Generalized cross entropy loss for training deep neural networks with noisy labels", NeurIPS 2018.
Shapes: N examples of the training source, B batch, K classes.
"""

from collections.abc import Callable
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from spec.registry import Params
from spec.run import RunConfig
from spec.seeds import Seeds
from trainables.methods._base import ALONE, METHODS, Batch, Labels, Method, Predictions
from trainables.world import World


def generalised_cross_entropies(logits_BK: Tensor, labels_B: Tensor, q: float) -> Tensor:
    """(1 - p_y^q) / q of each example. q = 1 is 1 - p_y, half the absolute error; towards 0 it becomes cross-entropy."""
    # p^q as exp(q log p): its gradient stays finite where p is 0, and expm1 keeps its digits where q is small.
    log_p_B = -functional.cross_entropy(logits_BK, labels_B, reduction="none")
    return -torch.expm1(q * log_p_B) / q


class GCEParams(Params):
    """Generalised cross-entropy; truncated from an epoch on where `truncate_at` is given."""

    q: float = Field(0.7, gt=0, le=1, description="from cross-entropy (towards 0) to absolute error (1)")
    truncate_at: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="leave out examples whose given label is predicted at most this probable (paper: 0.5); none if not given",
    )
    truncate_from: int = Field(41, ge=2, description="first epoch (from 1) that leaves examples out")
    truncate_every: int = Field(10, ge=1, description="epochs between two choices of the examples")

    def check_run(self, run: RunConfig) -> None:
        if self.truncate_at is not None and self.truncate_from > run.epochs:
            raise ValueError(f"method.truncate_from must be at most epochs = {run.epochs}, got {self.truncate_from}")


@METHODS.register("gce", GCEParams)
class GCE(Method):
    """Generalised cross-entropy. An example that truncation leaves out has the constant loss (1 - k^q) / q, and no gradient."""

    def __init__(self, params: Any, labels: Labels, seeds: Seeds, world: World = ALONE) -> None:
        super().__init__(params, labels, seeds, world)
        self.is_kept_N = torch.ones_like(labels.given_N, dtype=torch.bool)

    def start_epoch(self, epoch: int, predict: Callable[[], Predictions]) -> None:
        since = epoch - self.params.truncate_from
        if self.params.truncate_at is not None and since >= 0 and since % self.params.truncate_every == 0:
            predictions = predict()
            index_M, probabilities_MK = predictions.index_M, predictions.logits_MK.softmax(dim=1)
            given_M = self.labels.given_N[index_M]
            self.is_kept_N[index_M] = probabilities_MK.gather(1, given_M[:, None]).squeeze(1) > self.params.truncate_at

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        losses_B = generalised_cross_entropies(model(batch.images_BCHW), batch.labels_B, self.params.q)
        if self.params.truncate_at is None:
            return losses_B
        left_out = (1 - self.params.truncate_at**self.params.q) / self.params.q
        return torch.where(self.is_kept_N[batch.index_B], losses_B, left_out)

    def state_dict(self) -> dict[str, Tensor]:
        return {"is_kept_N": self.is_kept_N}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.is_kept_N.copy_(state["is_kept_N"])
