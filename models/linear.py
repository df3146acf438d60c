"""Softmax regression: one linear layer on the pixels. The reference that closed forms are checked on."""

from torch import nn

from models._base import MODELS, DataShape
from spec.registry import Params


@MODELS.register("linear")
class Linear(nn.Sequential):
    """Images (B, C, H, W) to logits (B, K) by one affine map."""

    def __init__(self, params: Params, shape: DataShape) -> None:
        super().__init__(nn.Flatten(), nn.Linear(shape.channels * shape.image_size**2, shape.num_classes))
