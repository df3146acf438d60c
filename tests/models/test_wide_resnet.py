from collections import Counter

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from models._base import DataShape
from models.wide_resnet import PreActivationBlock, WideResNetParams, wide_resnet


def wrn(num_classes: int = 10, **params: object) -> nn.Module:
    return wide_resnet(WideResNetParams(**params), DataShape(channels=3, image_size=32, num_classes=num_classes))


@pytest.mark.parametrize(("num_classes", "parameters"), [(10, 1_469_642), (100, 1_481_252)])
def test_wrn_28_2_has_as_many_parameters_as_the_published_one(num_classes, parameters):
    assert sum(p.numel() for p in wrn(num_classes).parameters()) == parameters


def test_depth_counts_the_convolutions_shortcuts_included():
    kernels = Counter(module.kernel_size for module in wrn().modules() if isinstance(module, nn.Conv2d))
    assert kernels == {(3, 3): 25, (1, 1): 3}


def test_only_the_final_batchnorm_has_another_momentum():
    momenta = [module.momentum for module in wrn().modules() if isinstance(module, nn.BatchNorm2d)]
    assert momenta == [0.1] * 24 + [0.9]
    assert [m.momentum for m in wrn(final_bn_momentum=0.1).modules() if isinstance(m, nn.BatchNorm2d)] == [0.1] * 25


def test_all_convolutions_have_biases():
    assert all(module.bias is not None for module in wrn().modules() if isinstance(module, nn.Conv2d))


def test_images_are_halved_twice_and_widened_by_the_factor():
    groups = list(wrn(depth=10, widen_factor=3).children())[1:4]
    features, shapes = torch.zeros(1, 16, 32, 32), []
    for group in groups:
        features = group(features)
        shapes.append(tuple(features.shape[1:]))
    assert shapes == [(48, 32, 32), (96, 16, 16), (192, 8, 8)]


def test_shortcut_sees_the_raw_input():
    """Not the activated one, as in other pre-activation networks."""
    block = PreActivationBlock(4, 6, stride=2).eval()
    images = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.conv2.bias)
    torch.testing.assert_close(block(images), F.conv2d(images, block.shortcut.weight, block.shortcut.bias, stride=2))


@pytest.mark.parametrize("depth", [12, 27, 30])
def test_depths_that_make_no_whole_blocks_are_refused_with_the_nearest(depth):
    with pytest.raises(ValidationError, match=r"6n \+ 4 .* the nearest are \d+ and \d+"):
        WideResNetParams(depth=depth)
