"""Which examples are corrupted, and what a wrong label is drawn from.

Every draw is one double from `torch.rand` per example, in index order, whether or not the example is then selected:
- samples are independent of each other and of their class (one generator, never seeded again);
- the stream is the same on every platform, which bernoulli, randint, randperm and multinomial do not promise;
- with the same seed, a higher rate selects the same examples and more.

Shapes: N examples, K classes, G groups.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from spec.registry import Params

Count = Literal["bernoulli", "exact", "exact_per_class"]


class SelectParams(Params):
    """Parameters of every kind that selects a share of the examples."""

    rate: float = Field(ge=0, le=1, description="nominal noise rate: share of the examples concerned that are selected")
    count: Count = Field(
        "bernoulli", description="each example with probability `rate`; or exactly round(rate * n) of them, overall or of each class"
    )


def draw(num_examples: int, generator: torch.Generator) -> Tensor:
    """One number in [0, 1) per example."""
    return torch.rand(num_examples, dtype=torch.float64, generator=generator)


def select(labels_N: Tensor, params: SelectParams, generator: torch.Generator, eligible_N: Tensor | None = None) -> Tensor:
    """Mask of the examples to corrupt; rates and counts are of the eligible examples (all, unless given)."""
    return lowest(draw(len(labels_N), generator), labels_N, params, eligible_N)


def lowest(scores_N: Tensor, labels_N: Tensor, params: SelectParams, eligible_N: Tensor | None = None) -> Tensor:
    """`select` by scores in [0, 1) that are drawn already: those of the lowest scores."""
    eligible_N = torch.ones_like(labels_N, dtype=torch.bool) if eligible_N is None else eligible_N
    if params.count == "bernoulli":
        return eligible_N & (scores_N < params.rate)
    groups_N = labels_N if params.count == "exact_per_class" else torch.zeros_like(labels_N)
    eligible_G = groups_N[eligible_N].bincount(minlength=int(groups_N.max()) + 1)
    wanted_G = (params.rate * eligible_G.double()).round()
    ranks_N = rank_within_groups(groups_N, scores_N.masked_fill(~eligible_N, torch.inf))
    return ranks_N < wanted_G[groups_N]


def rank_within_groups(groups_N: Tensor, scores_N: Tensor) -> Tensor:
    """Place of each example among those of its group, by ascending score, from 0."""
    by_score_N = scores_N.argsort(stable=True)
    order_N = by_score_N[groups_N[by_score_N].argsort(stable=True)]
    sizes_G = groups_N.bincount()
    first_G = sizes_G.cumsum(0) - sizes_G
    ranks_N = torch.empty_like(groups_N)
    ranks_N[order_N] = torch.arange(len(groups_N)) - first_G[groups_N[order_N]]
    return ranks_N


def draw_classes(num_examples: int, num_classes: int, generator: torch.Generator) -> Tensor:
    """A class per example, uniform over all of them."""
    return (draw(num_examples, generator) * num_classes).long()


def draw_other_classes(labels_N: Tensor, num_classes: int, generator: torch.Generator) -> Tensor:
    """A class per example, uniform over all but its own."""
    require_two_classes(num_classes)
    return (labels_N + 1 + draw_classes(len(labels_N), num_classes - 1, generator)) % num_classes


def require_two_classes(num_classes: int) -> None:
    """Raise ValueError where there is no other class for a label to become."""
    if num_classes < 2:
        raise ValueError(f"this noise needs at least 2 classes, the data set has {num_classes}: use noise `clean`")
