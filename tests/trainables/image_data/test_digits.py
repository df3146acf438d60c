from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits as sklearn_digits

from models._base import DataShape
from spec.identity import content_hash
from trainables.image_data._base import DATASETS, Dataset

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return DATASETS["digits"](DATASETS.params("digits")(), Path())


def images(source) -> torch.Tensor:
    (all_images,) = source.feed([torch.arange(len(source))], CPU)
    return all_images


def test_a_fifth_is_for_testing_and_every_class_gives_its_share(digits):
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert digits.shape == DataShape(channels=1, image_size=8, num_classes=10)
    shares = digits.test_labels_N.bincount() / torch.cat([digits.train_labels_N, digits.test_labels_N]).bincount()
    assert ((shares - 0.2).abs() < 0.005).all()


def test_training_images_are_normalised(digits):
    assert images(digits.train).mean().item() == pytest.approx(0, abs=1e-3)
    assert images(digits.train).std().item() == pytest.approx(1, abs=1e-3)


def test_train_and_test_together_are_all_of_scikit_learns(digits):
    (mean,), (std,) = digits.train.normalisation.mean_C, digits.train.normalisation.std_C
    ours = (torch.cat([images(digits.train), images(digits.test)]).flatten(1) * std + mean) * 16
    labels = torch.cat([digits.train_labels_N, digits.test_labels_N])
    bunch = sklearn_digits()
    assert sorted(zip(ours.round().int().tolist(), labels.tolist(), strict=True)) == sorted(
        zip(bunch.data.astype(int).tolist(), bunch.target.tolist(), strict=True)
    )


def test_the_split_is_the_same_on_every_machine(digits):
    """Numbers of different installations can only be compared if this holds."""
    assert content_hash([digits.train_labels_N.tolist(), digits.test_labels_N.tolist()]) == "0ca1d37070216e51"


def test_digits_are_not_augmented(digits):
    index = torch.arange(10)
    (plain,), (seeded,) = digits.train.feed([index], CPU), digits.train.feed([index], CPU, 1)
    assert torch.equal(plain, seeded)


def test_a_second_load_costs_nothing(digits):
    assert DATASETS["digits"](DATASETS.params("digits")(), Path()) is digits
