"""Class maps: the one class that examples of each class are mistaken for.

A map is an int64 tensor of shape (K,); a class that is its own destination is never corrupted.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from noise._select import SelectParams, require_two_classes, select

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# Patrini et al. 2017, and the files of Chen et al. 2021. deer -> horse is the one that reimplementations lose.
CIFAR10_FLIPS = {"truck": "automobile", "bird": "airplane", "cat": "dog", "dog": "cat", "deer": "horse"}

# Krizhevsky 2009: twenty superclasses of five classes, in alphabetical order, with the names of the data set's `meta` file.
CIFAR100_SUPERCLASSES = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}


def flip(labels_N: Tensor, destination_K: Tensor, params: SelectParams, generator: torch.Generator) -> Tensor:
    """Labels where a share of each mapped class has become its destination.

    All flips read the clean labels, so that none is flipped twice (cat -> dog -> cat).
    """
    mapped_N = destination_K[labels_N]
    flipped_N = select(labels_N, params, generator, eligible_N=mapped_N != labels_N)
    return torch.where(flipped_N, mapped_N, labels_N)


def cyclic(num_classes: int) -> Tensor:
    """Each class to the next, the last to the first."""
    require_two_classes(num_classes)
    return torch.arange(num_classes).roll(-1)


def by_name(class_names: Sequence[str], flips: dict[str, str]) -> Tensor:
    """The map of these flips; classes without one keep their labels."""
    place = {name: label for label, name in enumerate(class_names)}
    return torch.tensor([place[flips.get(name, name)] for name in class_names])


def cyclic_in_blocks(num_classes: int, size: int) -> Tensor:
    """Each class to the next of its block of consecutive class numbers, the block's last to its first.

    Raises:
        ValueError: the classes do not fill the blocks.
    """
    if num_classes % size:
        raise ValueError(f"blocks of {size} classes need a multiple of {size} classes, the data set has {num_classes}")
    labels_K = torch.arange(num_classes)
    return labels_K - labels_K % size + (labels_K + 1) % size


def cyclic_flips(groups: Iterable[Sequence[str]]) -> dict[str, str]:
    """Each class to the next of its group, the group's last to its first."""
    return {source: group[(place + 1) % len(group)] for group in groups for place, source in enumerate(group)}
