"""Wide residual network: pre-activation blocks of two 3x3 convolutions in three groups.

Source: Zagoruyko & Komodakis, "Wide Residual Networks", BMVC 2016; details as in the code of Chen et al.,
"Noise against noise", ICLR 2021: convolutions have biases, the shortcut convolution sees the raw input,
no dropout, PyTorch's default initialisation.
Shapes: B batch, C channels, H and W pixels, K classes.
"""

from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from models._base import MODELS, DataShape
from spec.registry import Params

STEM_CHANNELS = 16
GROUPS = 3


class WideResNetParams(Params):
    """Wide ResNet; the defaults are the WRN-28-2 of Chen et al. (2021)."""

    depth: int = Field(28, ge=10, le=1000, description="6n + 4, for n blocks in each of three groups")
    widen_factor: int = Field(2, ge=1, le=64, description="channels of the groups: 16, 32 and 64 times this")
    final_bn_momentum: float = Field(
        0.9,
        gt=0,
        le=1,
        description="share of the last batch in the final BatchNorm's running statistics; 0.9 is the published code's, "
        "0.1 is PyTorch's and that of every other layer here",
    )

    @field_validator("depth")
    @classmethod
    def _depth_makes_whole_blocks(cls, depth: int) -> int:
        if (depth - 4) % 6:
            lower = depth - (depth - 4) % 6
            raise ValueError(f"must be 6n + 4 (10, 16, 22, 28, 40, ...), got {depth}: the nearest are {lower} and {lower + 6}")
        return depth


class PreActivationBlock(nn.Module):
    """BatchNorm, ReLU, convolution, twice; added to the input, which a 1x1 convolution fits where the shape changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, stride=stride, padding=1)
        keeps_shape = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if keeps_shape else nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        hidden_BCHW = self.conv1(F.relu(self.bn1(images_BCHW)))
        hidden_BCHW = self.conv2(F.relu(self.bn2(hidden_BCHW)))
        return hidden_BCHW + self.shortcut(images_BCHW)


def _group(num_blocks: int, in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    first = PreActivationBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(PreActivationBlock(out_channels, out_channels, stride=1) for _ in range(num_blocks - 1)))


@MODELS.register("wide_resnet", WideResNetParams)
def wide_resnet(params: WideResNetParams, shape: DataShape) -> nn.Module:
    """WRN-depth-widen_factor; images of any size, averaged over pixels before the linear layer."""
    num_blocks = (params.depth - 4) // 6
    channels = [STEM_CHANNELS] + [STEM_CHANNELS * params.widen_factor * 2**group for group in range(GROUPS)]
    return nn.Sequential(
        nn.Conv2d(shape.channels, STEM_CHANNELS, kernel_size=3, padding=1),
        *(_group(num_blocks, channels[i], channels[i + 1], stride=1 if i == 0 else 2) for i in range(GROUPS)),
        nn.BatchNorm2d(channels[-1], momentum=params.final_bn_momentum),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels[-1], shape.num_classes),
    )
