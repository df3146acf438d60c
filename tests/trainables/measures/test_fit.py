"""Pristine and corrupt fit on four examples counted by hand."""

import math

import pytest
import torch

from trainables.measures.fit import fit_sums, loss_and_accuracy, pristine_and_corrupt

# Predicted: 0, 1, 0, 1; given: 0, 0, 0, 1; true: 0, 0, 1, 0. Examples 2 and 3 are corrupt.
LOGITS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
GIVEN = torch.tensor([0, 0, 0, 1])
TRUE = torch.tensor([0, 0, 1, 0])
RIGHT, WRONG = math.log1p(math.exp(-1)), math.log1p(math.exp(1))


def test_pristine_and_corrupt_examples_are_told_apart():
    metrics = pristine_and_corrupt(fit_sums(LOGITS, GIVEN, TRUE))
    assert metrics == pytest.approx(
        {
            "pristine_loss": (RIGHT + WRONG) / 2,
            "pristine_fit_given": 0.5,
            "corrupt_loss": RIGHT,
            "corrupt_fit_given": 1.0,
            "corrupt_recovered_true": 0.0,
        }
    )


def test_accuracy_is_against_the_given_labels():
    assert loss_and_accuracy("train", fit_sums(LOGITS, GIVEN, TRUE)) == pytest.approx(
        {"train_loss": (3 * RIGHT + WRONG) / 4, "train_accuracy": 0.75}
    )


def test_sums_add_up_over_batches():
    parts = fit_sums(LOGITS[:3], GIVEN[:3], TRUE[:3]) + fit_sums(LOGITS[3:], GIVEN[3:], TRUE[3:])
    torch.testing.assert_close(parts, fit_sums(LOGITS, GIVEN, TRUE))


def test_without_wrong_labels_nothing_is_said_of_corrupt_examples():
    assert pristine_and_corrupt(fit_sums(LOGITS[:2], GIVEN[:2], TRUE[:2])).keys() == {"pristine_loss", "pristine_fit_given"}
