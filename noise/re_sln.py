"""The label noise of a published reproduction of SLN, bit for bit, its faults included: to compare with its runs only.

The program (mark-antal-csizmadia/re-sln, `custom` noise) seeds its generator anew for each class. The k-th
image of every class is then flipped or not together, and with equal class sizes each class has exactly the same
share of flips: 0.4034 for rate 0.4 on CIFAR-10, 0.388 on CIFAR-100. Its asymmetric CIFAR-10 noise lacks deer -> horse,
so that 0.16 of the labels are wrong instead of 0.20. For new experiments use `symmetric` and `asymmetric`.

`openset` replaces int(rate * N) images by training images of CIFAR-100, and keeps the labels.

Draws come from torch's Bernoulli and multinomial in single precision, and of `openset` from NumPy's old generator, as in the
program; tests compare them with its files, but unlike other kinds' they rest on others' algorithms.

Shapes: N examples, K classes.
"""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from noise._base import NOISES, CleanLabels, Corruption, Replacement
from noise._maps import CIFAR10, CIFAR10_FLIPS, by_name, cyclic
from noise._select import require_two_classes
from spec.registry import Params
from spec.run import RunConfig
from spec.seeds import SEED_LIMIT

# Where the program takes other images from, and what it adds to its seed to draw them.
SOURCE = "cifar100"
SOURCE_SEED_OFFSET = 123


class ReSLNParams(Params):
    """Noise as in the re-sln program. The run's label seed changes nothing: `seed` is the program's."""

    mode: Literal["sym", "asym", "openset"]
    rate: float = Field(
        ge=0,
        le=1,
        description="the program's p: probability that a label of a class with a rule is replaced; of openset, the share of images",
    )
    seed: int = Field(123, ge=0, lt=SEED_LIMIT, description="the program's seed, which it used for all of its published runs")

    def check_run(self, run: RunConfig) -> None:
        """Raise ValueError where openset's source is the run's own data set, as in the program."""
        if self.mode == "openset" and run.dataset.name == SOURCE:
            raise ValueError(
                f"noise.mode 'openset' shows images of {SOURCE}, which is the run's own data set: use another data set or mode"
            )


@NOISES.register("re_sln", ReSLNParams)
def re_sln(clean: CleanLabels, params: ReSLNParams, generator: torch.Generator) -> Tensor | Corruption:
    """Labels where each class's rule was applied to its examples, every rule with the same random numbers."""
    if params.mode == "openset":
        return Corruption(clean.labels_N.clone(), replace_images(len(clean.labels_N), clean.num_images_of(SOURCE), params))
    noisy_N = clean.labels_N.clone()
    for source, probabilities_K in enumerate(rules(clean, params.mode)):
        if probabilities_K[source] == 1:
            continue
        of_class_N = clean.labels_N == source
        noisy_N[of_class_N] = apply_rule(clean.labels_N[of_class_N], probabilities_K, params)
    return noisy_N


def replace_images(num_examples: int, num_sources: int, params: ReSLNParams) -> Replacement:
    """Which images the program replaces, and by which."""
    num_replaced = int(num_examples * params.rate)
    if num_replaced > num_sources:
        raise ValueError(f"{num_replaced} images are to be replaced, but {SOURCE} has {num_sources}: lower noise.rate")
    places_M = np.random.RandomState(params.seed).choice(num_examples, num_replaced, replace=False)
    sources_M = np.random.RandomState(params.seed + SOURCE_SEED_OFFSET).choice(num_sources, num_replaced, replace=False)
    return Replacement.paired(SOURCE, torch.from_numpy(places_M), torch.from_numpy(sources_M))


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
