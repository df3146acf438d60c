"""ResNet-18 with the stem that CIFAR-sized images need: one 3x3 convolution, no max-pooling.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; the stem as is usual for 32x32 images.
Shapes: B batch, C channels, H and W pixels, K classes.
"""

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from models._base import MODELS, DataShape
from spec.registry import Params

BLOCKS_PER_GROUP = 2


class ResNet18Params(Params):
    """ResNet-18 with a CIFAR stem."""

    width: int = Field(64, ge=1, le=4096, description="channels of the first group; each of the three others has twice its forerunner's")


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm, added to the input before the last ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity() if stride == 1 and in_channels == out_channels else _projection(in_channels, out_channels, stride)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        hidden_BCHW = F.relu(self.bn1(self.conv1(images_BCHW)))
        hidden_BCHW = self.bn2(self.conv2(hidden_BCHW))
        return F.relu(hidden_BCHW + self.shortcut(images_BCHW))


def _projection(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))


@MODELS.register("resnet18", ResNet18Params)
def resnet18(params: ResNet18Params, shape: DataShape) -> nn.Module:
    """ResNet-18; images of any size, averaged over pixels before the linear layer."""
    channels = [params.width] + [params.width * 2**group for group in range(4)]
    blocks = [
        BasicBlock(channels[group] if block == 0 else channels[group + 1], channels[group + 1], stride=2 if block == 0 and group else 1)
        for group in range(4)
        for block in range(BLOCKS_PER_GROUP)
    ]
    return nn.Sequential(
        nn.Conv2d(shape.channels, params.width, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(params.width),
        nn.ReLU(inplace=True),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels[-1], shape.num_classes),
    )
