"""Symmetric cross-entropy (SCE): cross-entropy plus reverse cross-entropy, where label and prediction change places.

Source: Wang et al., "Symmetric cross entropy for robust learning with noisy labels", ICCV 2019.
Shapes: B batch, K classes.
"""

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from spec.registry import Params
from trainables.methods._base import METHODS, Batch, Method


def reverse_cross_entropies(logits_BK: Tensor, labels_B: Tensor, log_zero: float) -> Tensor:
    """-sum_k p_k log t_k of each example for one-hot t, where log 0 counts as `log_zero`: -log_zero * (1 - p_y)."""
    given_B = logits_BK.softmax(dim=1).gather(1, labels_B[:, None]).squeeze(1)
    return -log_zero * (1 - given_B)


class SCEParams(Params):
    """alpha * cross-entropy + beta * reverse cross-entropy; the defaults are the paper's for CIFAR-10 (CIFAR-100: 6 and 0.1)."""

    alpha: float = Field(0.1, ge=0, description="weight of cross-entropy, which converges")
    beta: float = Field(1.0, ge=0, description="weight of reverse cross-entropy, which is robust")
    log_zero: float = Field(-4.0, lt=0, description="what log 0 counts as, A in the paper; its authors' program has log 1e-4 = -9.21")


@METHODS.register("sce", SCEParams)
class SCE(Method):
    """Symmetric cross-entropy."""

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        logits_BK = model(batch.images_BCHW)
        forward_B = functional.cross_entropy(logits_BK, batch.labels_B, reduction="none")
        return self.params.alpha * forward_B + self.params.beta * reverse_cross_entropies(logits_BK, batch.labels_B, self.params.log_zero)
