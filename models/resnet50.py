"""ResNet-50 as torchvision builds it, for images of about 224 pixels; from random weights, or from those of ImageNet.

Source: He et al., "Deep residual learning for image recognition", CVPR 2016; torchvision's version, which halves images in its 3x3
convolutions ("v1.5"), and the first of its two sets of ImageNet weights, with which Clothing1M is usually trained.
"""

from pathlib import Path

import torch
from pydantic import Field
from torch import nn

from models._base import MODELS, DataShape
from spec.registry import Params

STEM_CHANNELS = 64
COLOURS = 3
LAST_LAYER = "fc."


class ResNet50Params(Params):
    """ResNet-50."""

    pretrained: bool = Field(False, description="start from ImageNet's weights; the last layer is drawn from the seed `init` all the same")


@MODELS.register("resnet50", ResNet50Params)
def resnet50(params: ResNet50Params, shape: DataShape) -> nn.Module:
    """ResNet-50 with a last layer for the data's classes.

    Raises:
        ValueError: ImageNet's weights are asked for, and images are not in colour.
        FileNotFoundError: ImageNet's weights are missing and could not be downloaded.
    """
    # Slow to import, and only needed here.
    from torchvision import models

    if params.pretrained and shape.channels != COLOURS:
        raise ValueError(f"ImageNet's weights are for {COLOURS} channels, the data have {shape.channels}: set model.pretrained to false")
    model: nn.Module = models.resnet50(num_classes=shape.num_classes)
    if shape.channels != COLOURS:
        model.conv1 = nn.Conv2d(shape.channels, STEM_CHANNELS, kernel_size=7, stride=2, padding=3, bias=False)
    if params.pretrained:
        weights = imagenet_weights(models.ResNet50_Weights.IMAGENET1K_V1.url)
        last_layer = {key: value for key, value in model.state_dict().items() if key.startswith(LAST_LAYER)}
        model.load_state_dict(weights | last_layer)
    return model


def imagenet_weights(url: str) -> dict[str, torch.Tensor]:
    """The weights in torch.hub's cache (TORCH_HOME), downloaded where they are missing.

    Raises:
        FileNotFoundError: they are missing and could not be downloaded.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    try:
        weights: dict[str, torch.Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    # URLError is an OSError; RuntimeError: what came has not the hash that its name says.
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"ResNet-50's ImageNet weights could not be had ({error}): download {url} to {file} by hand (TORCH_HOME moves its folder), "
            f"or set model.pretrained to false"
        ) from error
    return weights
