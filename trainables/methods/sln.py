"""Stochastic label noise (SLN): fresh Gaussian noise on the targets at every step; and label correction (LC).

Source: Chen et al., "Noise against noise: stochastic label noise helps combat inherent label noise", ICLR 2021.
Shapes: N examples of the training source, M training examples, B batch, K classes.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from spec.registry import NEVER, Params
from spec.run import RunConfig
from spec.seeds import Seeds
from trainables.methods._base import ALONE, METHODS, Batch, Labels, Method, Predictions, cross_entropies
from trainables.world import World

# What each published program does: the paper's for CIFAR, its replication re-sln (2021), the paper's for Clothing1M.
VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {"correct_from": 251, "correction": "hard", "weigh_against": "corrected"},
    "re_sln": {"correct_from": 250, "correction": "hard", "weigh_against": "corrected"},
    "clothing1m": {"correct_from": 2, "correction": "soft", "weigh_against": "given"},
}


def corrected_targets(logits_MK: Tensor, targets_MK: Tensor, given_MK: Tensor, prediction: Literal["hard", "soft"]) -> Tensor:
    """w * given + (1 - w) * prediction, where w is the min-max-normalised loss against `targets_MK`.

    A high loss keeps MORE of the given label, as in the paper: what the model fits well, it may relabel.
    `given_MK` is one-hot; the prediction is one-hot too where it is "hard".
    """
    losses_M = cross_entropies(logits_MK, targets_MK)
    spread = losses_M.max() - losses_M.min()
    # All losses equal: nothing tells the examples apart, and every label stays as given.
    weights_M1 = ((losses_M - losses_M.min()) / spread if spread > 0 else torch.ones_like(losses_M)).unsqueeze(1)
    probabilities_MK = logits_MK.softmax(dim=1)
    hard_MK = functional.one_hot(logits_MK.argmax(dim=1), logits_MK.shape[1]).to(probabilities_MK)
    return weights_M1 * given_MK + (1 - weights_M1) * (hard_MK if prediction == "hard" else probabilities_MK)


class SLNParams(Params):
    """Stochastic label noise, with label correction from an epoch on."""

    sigma: float = Field(1.0, ge=0, description="standard deviation of the noise on each target; 0 is cross-entropy")
    variant: Literal["paper", "re_sln", "clothing1m"] | None = Field(
        None, description="label correction as a published program does it: fills in those of the following three that are not given"
    )
    correct_from: int | None = Field(
        None, ge=2, description="first epoch (from 1) with corrected labels and without noise; none if not given"
    )
    correction: Literal["hard", "soft"] = Field("hard", description="correct towards the predicted class, or the predicted probabilities")
    weigh_against: Literal["corrected", "given"] = Field(
        "corrected", description="weights are losses against the targets so far, corrected from the second time on, or the given labels"
    )

    @model_validator(mode="before")
    @classmethod
    def _variant_fills_in(cls, raw: Any) -> Any:
        variant = raw.get("variant") if isinstance(raw, dict) else None
        return {**VARIANTS[variant], **raw} if isinstance(variant, str) and variant in VARIANTS else raw

    def check_run(self, run: RunConfig) -> None:
        if self.correct_from is None:
            return
        if run.ema is None:
            raise ValueError("method.correct_from: label correction predicts with the averaged model: set ema, e.g. ema: {decay: 0.999}")
        if self.correct_from > run.epochs:
            raise ValueError(f"method.correct_from must be at most epochs = {run.epochs}, got {self.correct_from}")

    def acts_from(self) -> dict[str, int]:
        return dict.fromkeys(("variant", "correct_from", "correction", "weigh_against"), self.correct_from or NEVER)


@METHODS.register("sln", SLNParams)
class SLN(Method):
    """One-hot targets plus N(0, sigma^2); from `correct_from` on, corrected targets without noise.

    Noise and corrections belong to examples, not to batches: they do not depend on the number of workers.
    """

    def __init__(self, params: Any, labels: Labels, seeds: Seeds, world: World = ALONE) -> None:
        super().__init__(params, labels, seeds, world)
        self.targets_NK = functional.one_hot(labels.given_N, labels.num_classes).float()
        self.noise_NK: Tensor | None = None

    def start_epoch(self, epoch: int, predict: Callable[[], Predictions]) -> None:
        if self.params.correct_from is not None and epoch >= self.params.correct_from:
            self.noise_NK = None
            self._correct(predict())
        elif self.params.sigma > 0:
            generator = self.generator("target_noise", self.seeds.target_noise, epoch)
            noise_NK = torch.randn(self.targets_NK.shape, generator=generator).mul_(self.params.sigma)
            self.noise_NK = noise_NK.to(self.device)

    def targets(self, batch: Batch) -> Tensor:
        targets_BK = self.targets_NK[batch.index_B]
        return targets_BK if self.noise_NK is None else targets_BK + self.noise_NK[batch.index_B]

    def state_dict(self) -> dict[str, Tensor]:
        return {"targets_NK": self.targets_NK}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.targets_NK.copy_(state["targets_NK"])

    def _correct(self, predictions: Predictions) -> None:
        index_M = predictions.index_M
        given_MK = functional.one_hot(self.labels.given_N[index_M], self.labels.num_classes).float()
        # "corrected": from the second corrected epoch on, the loss is against targets that are corrected already. So did the authors.
        against_MK = self.targets_NK[index_M] if self.params.weigh_against == "corrected" else given_MK
        self.targets_NK[index_M] = corrected_targets(predictions.logits_MK, against_MK, given_MK, self.params.correction)
