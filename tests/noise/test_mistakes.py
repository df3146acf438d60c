"""Flips by a network's mistakes, on probabilities that are read by eye."""

import pytest
import torch

from noise.mistakes import flip_by_mistakes

PROBABILITIES = torch.tensor(
    [
        [0.80, 0.15, 0.05],
        [0.30, 0.10, 0.60],
        [0.05, 0.05, 0.90],
        [0.20, 0.45, 0.35],
    ]
)
LABELS = torch.tensor([0, 0, 2, 0])


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (0.0, [0, 0, 2, 0]),
        # The nearest to a mistake, and already one.
        (0.25, [0, 2, 2, 0]),
        (0.5, [0, 2, 2, 1]),
        (0.75, [1, 2, 2, 1]),
        # The last one's wrong classes are equally near: the lower one is taken.
        (1.0, [1, 2, 0, 1]),
    ],
)
def test_the_nearest_mistakes_become_the_labels(rate, expected):
    assert flip_by_mistakes(PROBABILITIES, LABELS, rate).tolist() == expected
    assert LABELS.tolist() == [0, 0, 2, 0]


def test_of_equally_near_examples_the_first_are_flipped():
    uniform = torch.full((10, 2), 0.5)
    assert flip_by_mistakes(uniform, torch.zeros(10, dtype=torch.int64), 0.3).tolist() == [1] * 3 + [0] * 7


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_other_rates_are_refused(rate):
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\]"):
        flip_by_mistakes(PROBABILITIES, LABELS, rate)


def test_one_class_has_no_mistakes():
    with pytest.raises(ValueError, match="at least 2 classes"):
        flip_by_mistakes(torch.ones(3, 1), torch.zeros(3, dtype=torch.int64), 0.5)
