from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models._base import DataShape
from models.small_cnn import SmallCNNParams, small_cnn
from trainables.image_data.digits import DigitsParams, load_digits

DIGITS = DataShape(channels=1, image_size=8, num_classes=10)


def test_parameters_at_width_32():
    # Convolutions 288 + 2 * 9,216, three BatchNorms of 64, linear 4 * 32 * 10 + 10.
    assert sum(p.numel() for p in small_cnn(SmallCNNParams(), DIGITS).parameters()) == 20_202


def test_images_too_small_to_be_halved_twice_are_refused():
    with pytest.raises(ValueError, match="at least 4x4 pixels, got 3x3"):
        small_cnn(SmallCNNParams(), DataShape(channels=1, image_size=3, num_classes=2))


def train(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int, generator: torch.Generator) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(epochs):
        for batch in torch.randperm(len(labels), generator=generator).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()


def test_forty_epochs_are_enough_to_memorise_40_percent_wrong_digits():
    digits = load_digits(DigitsParams(), Path())
    generator = torch.Generator().manual_seed(0)
    # Half of the digits, for speed.
    is_corrupted = torch.rand(700, generator=generator) < 0.4
    shift = torch.randint(1, 10, is_corrupted.shape, generator=generator)
    labels = (digits.train_labels_N[:700] + shift * is_corrupted) % 10
    (images,) = digits.train.feed([torch.arange(len(labels))], torch.device("cpu"))
    torch.manual_seed(0)
    model = small_cnn(SmallCNNParams(), DIGITS)
    train(model, images, labels, epochs=40, generator=generator)
    fits = model.eval()(images).argmax(1) == labels
    assert fits[is_corrupted].float().mean() > 0.95
