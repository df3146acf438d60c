"""Fit: loss and accuracy, apart for examples whose given label is right (pristine) and wrong (corrupt).

Shapes: B batch, K classes.
"""

import torch
from torch import Tensor
from torch.nn import functional

COLUMNS = ("count", "loss", "fits_given", "recovers_true")


def fit_sums(logits_BK: Tensor, given_B: Tensor, true_B: Tensor) -> Tensor:
    """Sums over the examples, float64 of shape (2, 4): rows pristine and corrupt, columns `COLUMNS`.

    Sums add up over batches and workers; means do not.
    """
    predicted_B = logits_BK.argmax(dim=1)
    losses_B = functional.cross_entropy(logits_BK, given_B, reduction="none")
    values_B4 = torch.stack([torch.ones_like(losses_B), losses_B, predicted_B == given_B, predicted_B == true_B], dim=1).double()
    sums_24 = values_B4.new_zeros(2, len(COLUMNS))
    return sums_24.index_add_(0, (given_B != true_B).long(), values_B4)


def loss_and_accuracy(name: str, sums_24: Tensor) -> dict[str, float]:
    """Mean loss and accuracy against the given labels, over pristine and corrupt examples together."""
    count, loss, fits_given, _ = sums_24.sum(dim=0).tolist()
    return {f"{name}_loss": loss / count, f"{name}_accuracy": fits_given / count}


def pristine_and_corrupt(sums_24: Tensor) -> dict[str, float]:
    """Fit of the pristine and the corrupt examples apart; a kind that no example is of is left out.

    `corrupt_fit_given` is the share of wrong labels that are memorised, `corrupt_recovered_true` the share of
    examples with a wrong label that are predicted to be what they truly are.
    """
    metrics: dict[str, float] = {}
    for kind, (count, loss, fits_given, recovers_true) in zip(("pristine", "corrupt"), sums_24.tolist(), strict=True):
        if count:
            metrics |= {f"{kind}_loss": loss / count, f"{kind}_fit_given": fits_given / count}
        if count and kind == "corrupt":
            metrics["corrupt_recovered_true"] = recovers_true / count
    return metrics


def fit_of_each(logits_BK: Tensor, given_B: Tensor) -> Tensor:
    """Each example's loss against its given label, predicted class, and that class's probability: float32 of shape (B, 3)."""
    losses_B = functional.cross_entropy(logits_BK, given_B, reduction="none")
    probabilities_B, predicted_B = logits_BK.softmax(dim=1).max(dim=1)
    return torch.stack([losses_B, predicted_B.float(), probabilities_B], dim=1)
