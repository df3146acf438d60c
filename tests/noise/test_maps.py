"""CIFAR-100's class maps, compared with the data set's own coarse labels."""

import pytest
import torch

from noise._base import NOISES, CleanLabels
from noise._maps import CIFAR100_SUPERCLASSES
from noise.asymmetric import destinations
from noise.labels import corrupt

# Class numbers follow the alphabet.
CIFAR100 = sorted(name for names in CIFAR100_SUPERCLASSES.values() for name in names)

# The superclass of each class in order, as the coarse labels of the published data set have it.
# fmt: off
COARSE_K = torch.tensor([
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7,
    6, 13, 15, 3, 15, 0, 11, 1, 10, 12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10,
    16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16, 12, 1, 9, 19, 2, 10, 0, 1, 16,
    12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
])
# fmt: on


def cifar100() -> CleanLabels:
    return CleanLabels(torch.arange(100).repeat(50), CIFAR100)


def share_within_superclass(class_map: str) -> float:
    destination_K = destinations(cifar100(), class_map)  # type: ignore[arg-type]
    return (COARSE_K[destination_K] == COARSE_K).double().mean().item()


def test_superclasses_are_those_of_the_published_coarse_labels():
    ours_K = [
        list(CIFAR100_SUPERCLASSES).index(group)
        for name in CIFAR100
        for group in CIFAR100_SUPERCLASSES
        if name in CIFAR100_SUPERCLASSES[group]
    ]
    assert ours_K == COARSE_K.tolist()


def test_superclass_map_stays_in_the_superclass_and_reaches_every_class():
    destination_K = destinations(cifar100(), "superclass")
    assert share_within_superclass("superclass") == 1
    assert (destination_K != torch.arange(100)).all()
    assert torch.equal(destination_K.sort().values, torch.arange(100))


def test_superclass_map_goes_to_the_next_class_by_name():
    destination_K = destinations(cifar100(), "superclass")
    assert CIFAR100[destination_K[CIFAR100.index("beaver")]] == "dolphin"
    assert CIFAR100[destination_K[CIFAR100.index("whale")]] == "beaver"


def test_blocks_of_five_are_not_superclasses():
    """Class numbers are alphabetical: 6 % of the flips of the usual "superclass" code stay in their superclass."""
    assert share_within_superclass("block5") == 0.06
    assert destinations(cifar100(), "block5")[:10].tolist() == [1, 2, 3, 4, 0, 6, 7, 8, 9, 5]
    assert all(3 <= len(set(block)) <= 5 for block in COARSE_K.view(20, 5).tolist())


@pytest.mark.parametrize("class_map", ["superclass", "block5", "cyclic"])
def test_every_class_of_cifar100_has_a_destination_so_the_rate_is_overall(class_map):
    noise = NOISES.params("asymmetric")(rate=0.4, map=class_map, count="exact_per_class")
    assert corrupt(cifar100(), noise, 0).card.realised_rate == 0.4


def test_maps_for_other_classes_are_refused():
    ten = CleanLabels(torch.arange(12), [str(k) for k in range(12)])
    with pytest.raises(ValueError, match=r"'superclass' needs the 100 classes apple, .*…; the data set has 12, 0, 1"):
        destinations(ten, "superclass")
    with pytest.raises(ValueError, match="multiple of 5 classes, the data set has 12"):
        destinations(ten, "block5")
