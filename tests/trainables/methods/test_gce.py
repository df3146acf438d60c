"""Generalised cross-entropy against hand-computed values and its two limits."""

import pytest
import torch
from torch.nn import functional

from tests.trainables.methods.builders import INDEX, Says, batch_of, make, never
from tests.trainables.runs import digits_run
from trainables.methods._base import Predictions
from trainables.methods.gce import generalised_cross_entropies

LOGITS = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25]]).log()
LABELS = torch.tensor([0, 1])
RANDOM = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
RANDOM_LABELS = torch.arange(20) % 5


def test_the_square_root_of_a_quarter():
    torch.testing.assert_close(generalised_cross_entropies(LOGITS, LABELS, q=0.5), torch.tensor([2 - 2**0.5, 1.0]))


def test_towards_zero_it_is_cross_entropy():
    expected = functional.cross_entropy(RANDOM, RANDOM_LABELS, reduction="none")
    torch.testing.assert_close(generalised_cross_entropies(RANDOM, RANDOM_LABELS, q=1e-6), expected, rtol=1e-4, atol=1e-5)


def test_at_one_it_is_half_the_absolute_error():
    absolute = (RANDOM.softmax(1) - functional.one_hot(RANDOM_LABELS)).abs().sum(1)
    torch.testing.assert_close(generalised_cross_entropies(RANDOM, RANDOM_LABELS, q=1.0), absolute / 2)


def test_its_gradient_is_cross_entropys_times_p_to_the_q():
    # Section 3.3 of the paper; with p near 0 too, where (1 - p^q) / q taken literally has an infinite slope.
    logits = torch.cat([RANDOM, torch.tensor([[-200.0, 0, 0, 0, 0]])]).requires_grad_()
    labels = torch.cat([RANDOM_LABELS, torch.tensor([0])])
    (ours,) = torch.autograd.grad(generalised_cross_entropies(logits, labels, q=0.7).sum(), logits)
    (cross_entropy,) = torch.autograd.grad(functional.cross_entropy(logits, labels, reduction="sum"), logits)
    torch.testing.assert_close(ours, logits.detach().softmax(1).gather(1, labels[:, None]) ** 0.7 * cross_entropy)


def test_truncation_leaves_out_what_is_predicted_improbable_and_keeps_its_constant_loss():
    method = make("gce", q=1.0, truncate_at=0.5, truncate_from=2, truncate_every=2)
    # Given labels 0, 1, 2, 1 have these probabilities: 0.6, 0.2, 0.8, 0.5.
    model = Says([0.6, 0.2, 0.2], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.4, 0.5, 0.1])
    method.start_epoch(1, never)
    torch.testing.assert_close(method.losses(model, batch_of(INDEX)), torch.tensor([0.4, 0.8, 0.2, 0.5]))
    method.start_epoch(2, lambda: Predictions(model.logits_BK.detach(), INDEX))
    losses = method.losses(model, batch_of(INDEX))
    torch.testing.assert_close(losses, torch.tensor([0.4, 0.5, 0.2, 0.5]))
    losses.sum().backward()
    assert (model.logits_BK.grad.abs().sum(1) > 0).tolist() == [True, False, True, False]


def test_truncation_chooses_anew_every_so_many_epochs_only():
    method = make("gce", truncate_at=0.5, truncate_from=2, truncate_every=3)
    chosen = []

    def predict() -> Predictions:
        chosen.append(epoch)
        return Predictions(torch.zeros(4, 3), INDEX)

    for epoch in range(1, 10):
        method.start_epoch(epoch, predict)
    assert chosen == [2, 5, 8]


def test_truncation_after_the_last_epoch_is_refused():
    with pytest.raises(ValueError, match="truncate_from must be at most epochs = 2, got 41"):
        digits_run(method={"name": "gce", "truncate_at": 0.5})
