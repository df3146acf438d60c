"""What holds for every network."""

import pytest
import torch

from models._base import MODELS, DataShape

GREY_8 = DataShape(channels=1, image_size=8, num_classes=10)
COLOUR_32 = DataShape(channels=3, image_size=32, num_classes=7)
# Not a power of two.
COLOUR_27 = DataShape(channels=3, image_size=27, num_classes=7)


def build(name: str, shape: DataShape, seed: int = 0, **params: object) -> torch.nn.Module:
    torch.manual_seed(seed)
    return MODELS[name](MODELS.params(name)(**params), shape)


@pytest.mark.parametrize("name", list(MODELS))
@pytest.mark.parametrize("shape", [GREY_8, COLOUR_32, COLOUR_27])
def test_images_of_any_shape_become_one_logit_for_each_class(name, shape):
    images = torch.randn(2, shape.channels, shape.image_size, shape.image_size, generator=torch.Generator().manual_seed(0))
    logits = build(name, shape)(images)
    assert logits.shape == (2, shape.num_classes)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", list(MODELS))
def test_weights_are_a_function_of_the_global_seed(name):
    first, again, other = (build(name, GREY_8, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", list(MODELS))
def test_every_parameter_gets_a_gradient(name):
    model = build(name, GREY_8)
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.nn.functional.cross_entropy(model(images), torch.arange(4)).backward()
    assert [key for key, parameter in model.named_parameters() if parameter.grad is None] == []
