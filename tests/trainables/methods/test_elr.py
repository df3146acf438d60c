"""Early-learning regularisation: the running average, the gradient of the paper, and the state between epochs."""

import math

import torch
from torch.nn import functional

from tests.trainables.methods.builders import GIVEN_N, INDEX, Says, batch_of, make, never
from trainables.methods.elr import agreement_losses, ensembled

ROWS = ([0.5, 0.25, 0.25], [0.1, 0.7, 0.2], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6])


def test_the_average_by_hand():
    targets = ensembled(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.8, 0.2]]), beta=0.7)
    torch.testing.assert_close(targets, torch.tensor([[0.24, 0.76]]))


def test_probabilities_that_were_clamped_are_scaled_to_one():
    torch.testing.assert_close(ensembled(torch.zeros(1, 2), torch.tensor([[0.6, 0.6]]), beta=0.0), torch.tensor([[0.5, 0.5]]))


def test_the_regularisers_gradient_is_the_papers():
    # Lemma 2: d/dz_c log(1 - <p, t>) = p_c / (1 - <p, t>) * sum_k (t_k - t_c) p_k.
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.rand(5, 4, generator=torch.Generator().manual_seed(1)) / 4
    (ours,) = torch.autograd.grad(agreement_losses(logits.softmax(1), targets).sum(), logits)
    p = logits.detach().softmax(1)
    agreement = (p * targets).sum(1, keepdim=True)
    torch.testing.assert_close(ours, p / (1 - agreement) * (agreement - targets))


def test_the_first_loss_by_hand():
    losses = make("elr").losses(Says(ROWS[0]), batch_of(torch.tensor([0])))
    agreement = 0.3 * (0.5**2 + 2 * 0.25**2)
    torch.testing.assert_close(losses, torch.tensor([math.log(2) + 3 * math.log(1 - agreement)]))


def test_averages_go_by_example_whatever_the_batches_and_reach_the_next_epoch():
    method = make("elr", beta=0.5)
    for epoch in (1, 2):
        method.start_epoch(epoch, never)
        for index in ([3, 0], [1, 2]):
            method.losses(Says(*(ROWS[i] for i in index)), batch_of(torch.tensor(index)))
        method.end_epoch()
        torch.testing.assert_close(method.state_dict()["ensemble_NK"], (1 - 0.5**epoch) * torch.tensor(ROWS))


def test_averages_survive_a_checkpoint():
    method, resumed, fresh = (make("elr") for _ in range(3))
    method.start_epoch(1, never)
    method.losses(Says(*ROWS), batch_of(INDEX))
    method.end_epoch()
    resumed.load_state_dict(method.state_dict())
    expected, after, without = (m.losses(Says(*ROWS), batch_of(INDEX)) for m in (method, resumed, fresh))
    torch.testing.assert_close(after, expected, rtol=0, atol=0)
    assert not torch.allclose(without, expected)


def test_a_network_that_is_certain_gives_a_finite_loss_and_gradient():
    model = Says([1.0, 1e-30, 1e-30])
    method = make("elr", beta=0.0)
    method.losses(model, batch_of(torch.tensor([0]))).sum().backward()
    assert model.logits_BK.grad.isfinite().all()


def test_without_weight_it_is_cross_entropy():
    expected = functional.cross_entropy(torch.tensor(ROWS).log(), GIVEN_N, reduction="none")
    torch.testing.assert_close(make("elr", weight=0.0).losses(Says(*ROWS), batch_of(INDEX)), expected)
