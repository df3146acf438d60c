"""Evaluation: known answers for several models at once, from images that are read once."""

from collections.abc import Iterable, Iterator

import pytest
import torch
from torch import Tensor, nn

from models._base import DataShape
from spec.records import LabelCard
from tests.trainables.runs import CPU
from trainables.evaluate import evaluate
from trainables.image_data.examples import Examples, Splits
from trainables.world import World


class CountedImages:
    """1,200 images of one pixel, whose value is their index; counts how many it was asked for."""

    def __init__(self) -> None:
        self.num_read = 0

    def __len__(self) -> int:
        return 1200

    def feed(self, index_batches: Iterable[Tensor], device: torch.device, augment_seed: int | None = None) -> Iterator[Tensor]:
        for index_B in index_batches:
            self.num_read += len(index_B)
            yield index_B.float().view(-1, 1, 1, 1)


class Says(nn.Module):
    """A model that is sure of class 1 for images from `first` on, and of class 0 for the others."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first

    def forward(self, images_BCHW: Tensor) -> Tensor:
        is_one_B = images_BCHW.flatten() >= self.first
        return torch.stack([~is_one_B, is_one_B], dim=1) * 100.0


def test_models_are_measured_each_for_itself_on_images_that_are_read_once():
    images = CountedImages()
    true_N = (torch.arange(1200) >= 600).long()
    # 100 labels of class 0 are wrong.
    given_N = (torch.arange(1200) >= 500).long()
    train = Examples(images, given_N, true_N, torch.arange(1200))
    test = Examples(images, true_N, true_N, torch.arange(0, 1200, 2))
    card = LabelCard.model_construct(realised_rate=100 / 1200)
    splits = Splits(train, train, None, test, DataShape(1, 1, 2), card)
    metrics = evaluate({"": Says(600), "ema_": Says(500)}, splits, World.alone(CPU))
    assert images.num_read == 1200 + 600
    assert (metrics["train_accuracy"], metrics["test_accuracy"]) == (pytest.approx(1100 / 1200), 1)
    assert (metrics["pristine_fit_given"], metrics["corrupt_fit_given"], metrics["corrupt_recovered_true"]) == (1, 0, 1)
    assert (metrics["ema_train_accuracy"], metrics["ema_test_accuracy"]) == (1, pytest.approx(550 / 600))
    assert (metrics["ema_corrupt_fit_given"], metrics["ema_corrupt_recovered_true"]) == (1, 0)
