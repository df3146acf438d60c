"""Small convolutional network: three 3x3 convolutions, for 8x8 digits and for quick looks at CIFAR on a CPU.

Shapes: S pixels along an image's side, K classes.
"""

from pydantic import Field
from torch import nn

from models._base import MODELS, DataShape
from spec.registry import Params


class SmallCNNParams(Params):
    """Three convolutions and a linear layer."""

    width: int = Field(32, ge=1, le=4096, description="channels of each convolution")


def _convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    # BatchNorm has its own bias, so the convolution needs none.
    return [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]


@MODELS.register("small_cnn", SmallCNNParams)
def small_cnn(params: SmallCNNParams, shape: DataShape) -> nn.Module:
    """Three times convolution, BatchNorm and ReLU, halved in size after the first and the last; a linear layer on all that is left.

    The last maps are not averaged: with their S/4 x S/4 pixels apart, 20,202 parameters are enough to fit 1,437
    digits with any labels, so that the smallest example shows memorisation.

    Raises:
        ValueError: images under 4x4 pixels, which cannot be halved twice.
    """
    width, final_size = params.width, shape.image_size // 4
    if not final_size:
        raise ValueError(f"small_cnn halves images twice and needs at least 4x4 pixels, got {shape.image_size}x{shape.image_size}")
    return nn.Sequential(
        *_convolution(shape.channels, width),
        nn.MaxPool2d(2),
        *_convolution(width, width),
        *_convolution(width, width),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(width * final_size**2, shape.num_classes),
    )
