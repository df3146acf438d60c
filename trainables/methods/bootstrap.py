"""Bootstrapping: targets that are part given label, part the network's own prediction of this moment.

Source: Reed et al., "Training deep neural networks on noisy labels with bootstrapping", ICLR 2015 workshop.
Shapes: B batch, K classes.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from spec.registry import Params
from trainables.methods._base import METHODS, Batch, Method, cross_entropies

PUBLISHED_BETA = {"hard": 0.8, "soft": 0.95}


def bootstrapped_losses(logits_BK: Tensor, targets_BK: Tensor, beta: float, prediction: Literal["hard", "soft"]) -> Tensor:
    """Cross-entropy with beta * target + (1 - beta) * prediction.

    The prediction is the most probable class, one-hot, where it is "hard". Where it is "soft" it is the probabilities,
    and the gradient goes through them too: the loss is beta * CE + (1 - beta) * entropy.
    """
    predicted_BK = logits_BK.softmax(dim=1)
    if prediction == "hard":
        predicted_BK = functional.one_hot(logits_BK.argmax(dim=1), logits_BK.shape[1]).to(logits_BK)
    return cross_entropies(logits_BK, beta * targets_BK + (1 - beta) * predicted_BK)


class BootstrapParams(Params):
    """Hard or soft bootstrapping."""

    prediction: Literal["hard", "soft"] = Field("hard", description="bootstrap with the predicted class, or the predicted probabilities")
    beta: float | None = Field(None, ge=0, le=1, description="share of the given label; the paper's if not given: 0.8 hard, 0.95 soft")


@METHODS.register("bootstrap", BootstrapParams)
class Bootstrap(Method):
    """Hard or soft bootstrapping."""

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        prediction = self.params.prediction
        beta = PUBLISHED_BETA[prediction] if self.params.beta is None else self.params.beta
        return bootstrapped_losses(model(batch.images_BCHW), self.targets(batch), beta, prediction)
