"""Instance-dependent noise: what an image looks like decides how likely its label is wrong, and what it becomes.

Each example has a flip rate of its own, from a normal distribution around `rate` that is cut off at 0 and 1; each class has a random
linear map from images to classes, and the wrong label is drawn from the softmax of the map's values over the other classes.
Source: Xia et al., "Part-dependent label noise", NeurIPS 2020, algorithm 2, with normalised pixels as features, as in the
generator that its authors and others use.

Shapes: N examples, B of a batch, F features, K classes.
"""

import torch
from pydantic import Field
from torch import Tensor

from noise._base import NOISES, CleanLabels
from noise._select import draw, require_two_classes
from spec.registry import Params

# One map for each class, F x K numbers of 4 bytes: CIFAR-100's take 0.12 GB.
MAX_MAP_BYTES = 8 * 2**30
# Half the distance between two draws: a draw of 0 has no normal quantile.
HALF_STEP = 2.0**-54


class InstanceParams(Params):
    """Each label flips with a probability of its own around `rate`, to a class that its image decides."""

    rate: float = Field(ge=0, le=1, description="centre of the flip rates; 0 is no noise")
    spread: float = Field(0.1, gt=0, le=1, description="standard deviation of the flip rates, before they are cut off at 0 and 1")


@NOISES.register("instance", InstanceParams)
def instance(clean: CleanLabels, params: InstanceParams, generator: torch.Generator) -> Tensor:
    """Labels where each differs from its own with its example's flip rate.

    Raises:
        ValueError: there is one class only, the images are not at hand, or they are too large.
    """
    require_two_classes(clean.num_classes)
    if params.rate == 0:
        return clean.labels_N.clone()
    num_examples = len(clean.labels_N)
    rates_N = flip_rates(draw(num_examples, generator), params.rate, params.spread)
    flipped_N = draw(num_examples, generator) < rates_N
    scores_N = draw(num_examples, generator)
    maps_KFK: list[Tensor] = []
    others: list[Tensor] = []
    for features_BF in clean.features():
        # The images alone know how many features they have.
        maps_KFK = maps_KFK or draw_maps(clean.num_classes, features_BF.shape[1], generator)
        start = sum(len(wrong_B) for wrong_B in others)
        batch = slice(start, start + len(features_BF))
        others.append(wrong_classes(features_BF, clean.labels_N[batch], maps_KFK, scores_N[batch]))
    return torch.where(flipped_N, torch.cat(others), clean.labels_N)


def flip_rates(scores_N: Tensor, rate: float, spread: float) -> Tensor:
    """Quantiles of the normal distribution around `rate`, cut off at 0 and 1, at scores in [0, 1)."""
    low, high = (torch.special.ndtr(torch.tensor((end - rate) / spread, dtype=torch.float64)) for end in (0, 1))
    return (rate + spread * torch.special.ndtri(low + (scores_N + HALF_STEP) * (high - low))).clamp(0, 1)


def draw_maps(num_classes: int, num_features: int, generator: torch.Generator) -> list[Tensor]:
    """Each class's linear map (F, K) of standard normal numbers, in single precision."""
    if num_classes**2 * num_features * 4 > MAX_MAP_BYTES:
        raise ValueError(
            f"noise 'instance' has a map of {num_features} x {num_classes} numbers for each of {num_classes} classes, which is more than "
            f"{MAX_MAP_BYTES / 2**30:g} GB: use smaller images"
        )
    return [
        torch.special.ndtri(draw(num_features * num_classes, generator) + HALF_STEP).float().view(num_features, num_classes)
        for _ in range(num_classes)
    ]


def wrong_classes(features_BF: Tensor, labels_B: Tensor, maps_KFK: list[Tensor], scores_B: Tensor) -> Tensor:
    """For each example, the other class whose part of the unit interval its score falls into."""
    logits_BK = torch.empty(len(labels_B), len(maps_KFK), dtype=torch.float64)
    for label in labels_B.unique().tolist():
        of_class_B = labels_B == label
        logits_BK[of_class_B] = (features_BF[of_class_B] @ maps_KFK[label]).double()
    logits_BK.scatter_(1, labels_B[:, None], -torch.inf)
    cumulative_BK = logits_BK.softmax(dim=1).cumsum(dim=1)
    # Ends at exactly x / x = 1; the own class's part is empty, so that no score falls into it.
    return torch.searchsorted(cumulative_BK / cumulative_BK[:, -1:], scores_B[:, None], right=True).squeeze(1)
