"""Label smoothing (LS): every target gives a share of its mass to all classes alike; or takes from them, where the rate is negative.

Source: Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016; negative rates: Wei et al.,
"To smooth or not? When label smoothing meets noisy labels", ICML 2022.
Shapes: B batch, K classes.
"""

from collections.abc import Callable

from pydantic import Field
from torch import Tensor

from spec.registry import Params
from spec.run import RunConfig
from trainables.methods._base import METHODS, Batch, Method, Predictions


def smoothed(targets_BK: Tensor, rate: float) -> Tensor:
    """(1 - rate) * target + rate / K; rows that sum to 1 still do."""
    return (1 - rate) * targets_BK + rate / targets_BK.shape[1]


class LabelSmoothingParams(Params):
    """Label smoothing, from an epoch on; cross-entropy before."""

    rate: float = Field(0.1, ge=-100, le=1, description="share of each target that all classes get alike; Wei et al. try -8 to 0.8")
    smooth_from: int = Field(1, ge=1, description="first epoch (from 1) that smooths; a negative rate may diverge without a warm-up")

    def check_run(self, run: RunConfig) -> None:
        if self.smooth_from > run.epochs:
            raise ValueError(f"method.smooth_from must be at most epochs = {run.epochs}, got {self.smooth_from}")


@METHODS.register("label_smoothing", LabelSmoothingParams)
class LabelSmoothing(Method):
    """Label smoothing. With a negative rate the loss has no lower bound: weight decay is what holds the logits."""

    rate = 0.0

    def start_epoch(self, epoch: int, predict: Callable[[], Predictions]) -> None:
        self.rate = self.params.rate if epoch >= self.params.smooth_from else 0.0

    def targets(self, batch: Batch) -> Tensor:
        return smoothed(super().targets(batch), self.rate)
