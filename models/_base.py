"""What every network is: a module built from its parameters and the shape of the data.

Shapes: B batch, C channels, H and W pixels, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from spec.registry import Registry


@dataclass(frozen=True)
class DataShape:
    """The images (C, image_size, image_size) that a network sees, and the number of classes that it tells apart."""

    channels: int
    image_size: int
    num_classes: int


# Called as family(params, shape); gives a module from images (B, C, H, W) to logits (B, K).
ModelFamily = Callable[[Any, DataShape], nn.Module]

MODELS: Registry[ModelFamily] = Registry("model", package="models")
