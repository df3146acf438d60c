"""Symmetric cross-entropy against hand-computed values and the paper's definition."""

import math

import torch
from torch.nn import functional

from tests.trainables.methods.builders import Says, batch_of, make
from trainables.methods.sce import reverse_cross_entropies


def test_both_parts_by_hand():
    model = Says([0.5, 0.25, 0.25], [0.5, 0.25, 0.25])
    losses = make("sce").losses(model, batch_of(torch.tensor([0, 1])))
    torch.testing.assert_close(losses, torch.tensor([0.1 * math.log(2) + 4 * 0.5, 0.1 * math.log(4) + 4 * 0.75]))


def test_the_reverse_part_is_cross_entropy_with_label_and_prediction_exchanged():
    logits = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(12) % 4
    log_targets = functional.one_hot(labels).float().log().clamp(min=-6)
    torch.testing.assert_close(reverse_cross_entropies(logits, labels, -6.0), -(logits.softmax(1) * log_targets).sum(1))
