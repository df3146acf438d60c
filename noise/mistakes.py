"""Labels by a network's own mistakes: where it is nearest to a wrong class, that class becomes the label.

Source: Chen et al., "Beyond class-conditional assumption: a primary attempt to combat instance-dependent label noise", AAAI 2021,
whose files are the `dependent` noise of "Noise against noise". `trainables.mistakes` trains the network.

Shapes: N examples, K classes.
"""

import torch
from torch import Tensor

from noise._select import require_two_classes


def flip_by_mistakes(probabilities_NK: Tensor, labels_N: Tensor, rate: float) -> Tensor:
    """Labels where exactly round(rate * N) differ: those with the largest probability of one wrong class, which they become.

    Of equal probabilities the lower index is flipped, to the lower class.

    Raises:
        ValueError: there is one class only, or `rate` is outside [0, 1].
    """
    require_two_classes(probabilities_NK.shape[1])
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must be in [0, 1], got {rate}")
    wrong_NK = probabilities_NK.scatter(1, labels_N[:, None], -torch.inf)
    largest_N = wrong_NK.amax(dim=1)
    # Not max's own index, which is any of several equal ones.
    nearest_N = (wrong_NK == largest_N[:, None]).int().argmax(dim=1)
    flipped = largest_N.argsort(descending=True, stable=True)[: round(rate * len(labels_N))]
    noisy_N = labels_N.clone()
    noisy_N[flipped] = nearest_N[flipped]
    return noisy_N
