"""Bootstrapping against hand-computed values, and where its gradient goes."""

import math

import torch
from torch.distributions import Categorical
from torch.nn import functional

from tests.trainables.methods.builders import Says, batch_of, make
from trainables.methods.bootstrap import bootstrapped_losses

ROW = [0.5, 0.25, 0.25]


def test_hard_by_hand():
    losses = make("bootstrap").losses(Says(ROW, ROW), batch_of(torch.tensor([0, 1])))
    torch.testing.assert_close(losses, torch.tensor([math.log(2), 0.8 * math.log(4) + 0.2 * math.log(2)]))


def test_soft_by_hand():
    losses = make("bootstrap", prediction="soft").losses(Says(ROW), batch_of(torch.tensor([0])))
    torch.testing.assert_close(losses, torch.tensor([0.95 * math.log(2) + 0.05 * (0.5 * math.log(2) + 0.5 * math.log(4))]))


def test_soft_is_cross_entropy_and_minimum_entropy_in_value_and_gradient():
    logits = torch.randn(8, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.arange(8) % 4
    ours = bootstrapped_losses(logits, functional.one_hot(labels).float(), 0.7, "soft")
    entropy = 0.7 * functional.cross_entropy(logits, labels, reduction="none") + 0.3 * Categorical(logits=logits).entropy()
    torch.testing.assert_close(ours, entropy)
    torch.testing.assert_close(*(torch.autograd.grad(losses.sum(), logits)[0] for losses in (ours, entropy)))
