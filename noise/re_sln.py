"""The label noise of a published reproduction of SLN, bit for bit, its faults included: to compare with its runs only.

The program (mark-antal-csizmadia/re-sln, `custom` noise) seeds its generator anew for each class. The k-th
image of every class is then flipped or not together, and with equal class sizes each class has exactly the same
share of flips: 0.4034 for rate 0.4 on CIFAR-10, 0.388 on CIFAR-100. Its asymmetric CIFAR-10 noise lacks deer -> horse,
so that 0.16 of the labels are wrong instead of 0.20. For new experiments use `symmetric` and `asymmetric`.

Draws come from torch's Bernoulli and multinomial in single precision, as in the program; tests compare them with its
files, but unlike other kinds' they rest on torch's own algorithms.

Shapes: N examples, K classes.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from noise._base import NOISES, CleanLabels
from noise._maps import CIFAR10, CIFAR10_FLIPS, by_name, cyclic
from noise._select import require_two_classes
from spec.registry import Params
from spec.seeds import SEED_LIMIT


class ReSLNParams(Params):
    """Noise as in the re-sln program. The run's label seed changes nothing: `seed` is the program's."""

    mode: Literal["sym", "asym"]
    rate: float = Field(ge=0, le=1, description="the program's p: probability that a label of a class with a rule is replaced")
    seed: int = Field(123, ge=0, lt=SEED_LIMIT, description="the program's seed, which it used for all of its published runs")


@NOISES.register("re_sln", ReSLNParams)
def re_sln(clean: CleanLabels, params: ReSLNParams, generator: torch.Generator) -> Tensor:
    """Labels where each class's rule was applied to its examples, every rule with the same random numbers."""
    noisy_N = clean.labels_N.clone()
    for source, probabilities_K in enumerate(rules(clean, params.mode)):
        if probabilities_K[source] == 1:
            continue
        of_class_N = clean.labels_N == source
        noisy_N[of_class_N] = apply_rule(clean.labels_N[of_class_N], probabilities_K, params)
    return noisy_N


def rules(clean: CleanLabels, mode: str) -> Tensor:
    """Probability (K, K) of each destination, given that a label of the class (row) is replaced; in single precision."""
    num_classes = clean.num_classes
    require_two_classes(num_classes)
    if mode == "sym":
        return (1 - torch.eye(num_classes)) / (num_classes - 1)
    if set(clean.class_names) != set(CIFAR10):
        return torch.eye(num_classes)[cyclic(num_classes)]
    flips = {source: destination for source, destination in CIFAR10_FLIPS.items() if source != "deer"}
    return torch.eye(num_classes)[by_name(clean.class_names, flips)]


def apply_rule(labels_N: Tensor, probabilities_K: Tensor, params: ReSLNParams) -> Tensor:
    """Labels of one class after its rule: all coins first, then all destinations."""
    if len(labels_N) == 0:
        return labels_N
    generator = torch.Generator().manual_seed(params.seed)
    replaced_N = torch.bernoulli(torch.full((len(labels_N),), params.rate), generator=generator).bool()
    destinations_N = torch.multinomial(probabilities_K, len(labels_N), replacement=True, generator=generator)
    return torch.where(replaced_N, destinations_N, labels_N)
