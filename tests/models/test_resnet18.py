import torch
from torch import nn

from models._base import DataShape
from models.resnet18 import ResNet18Params, resnet18

CIFAR = DataShape(channels=3, image_size=32, num_classes=10)


def test_width_64_is_the_usual_resnet18_with_a_cifar_stem():
    """torchvision's has 11,689,512 with 1,000 classes; 10 classes save 507,870, the 3x3 stem another 7,680."""
    parameters = sum(p.numel() for p in resnet18(ResNet18Params(), CIFAR).parameters())
    assert parameters == 11_689_512 - 507_870 - 7_680


def test_stem_keeps_the_size_and_groups_halve_it_three_times():
    model = resnet18(ResNet18Params(width=2), CIFAR).eval()
    sizes, features = [], torch.zeros(1, 3, 32, 32)
    for module in model:
        if isinstance(module, nn.AdaptiveAvgPool2d):
            break
        features = module(features)
        sizes.append(tuple(features.shape[1:3]))
    assert sizes == [(2, 32)] * 5 + [(4, 16)] * 2 + [(8, 8)] * 2 + [(16, 4)] * 2


def test_width_scales_every_group():
    widths = {m.out_channels for m in resnet18(ResNet18Params(width=3), CIFAR).modules() if isinstance(m, nn.Conv2d)}
    assert widths == {3, 6, 12, 24}
