"""Mixup: its distribution, and what is mixed with what."""

import pytest
import torch
from torch import Tensor, nn

from tests.trainables.methods.builders import GIVEN_N, INDEX, batch_of, make, never
from trainables.methods.mixup import draw_beta, mixed


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_have_the_mean_and_variance_of_beta(alpha: float):
    generator = torch.Generator().manual_seed(0)
    shares = torch.tensor([draw_beta(alpha, generator) for _ in range(5000)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert shares.mean() == pytest.approx(0.5, abs=4 * (variance / 5000) ** 0.5)
    assert shares.var() == pytest.approx(variance, rel=0.1)


def test_mixing_by_hand():
    torch.testing.assert_close(mixed(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.3), torch.tensor([0.3, 0.7]))


class Reads(nn.Module):
    """Its logits are the logarithm of the image, which is a distribution over three classes."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        self.seen_BK = images_BCHW.flatten(1)
        return (self.seen_BK + 1e-20).log()


def test_images_and_labels_are_mixed_alike():
    # Each image says its own label: so the best loss that a mixed target allows, its entropy, is reached exactly.
    images = torch.eye(3)[GIVEN_N].reshape(4, 3, 1, 1)
    model, method = Reads(), make("mixup", alpha=8.0)
    method.start_epoch(1, never)
    losses = method.losses(model, batch_of(INDEX, images))
    torch.testing.assert_close(losses, torch.special.entr(model.seen_BK).sum(1), rtol=1e-5, atol=1e-6)
    assert losses.max() > 0.1


def test_one_share_serves_the_whole_batch_and_every_example_is_a_partner_once():
    images = torch.eye(4).reshape(4, 4, 1, 1)
    model, method = Reads(), make("mixup", alpha=8.0)
    method.start_epoch(3, never)
    with pytest.raises(RuntimeError):  # four numbers for three classes: only what the network saw matters
        method.losses(model, batch_of(INDEX, images))
    torch.testing.assert_close(model.seen_BK.sum(0), torch.ones(4))
    shares = model.seen_BK.diagonal()
    assert shares[shares < 0.999].unique().numel() <= 1


def test_draws_are_fresh_at_every_step_and_again_the_same_after_a_restart():
    images = torch.eye(3)[GIVEN_N].reshape(4, 3, 1, 1)
    seen = []
    for _ in range(2):
        model, method = Reads(), make("mixup", alpha=8.0)
        for epoch in (1, 2):
            method.start_epoch(epoch, never)
            for _ in range(2):
                method.losses(model, batch_of(INDEX, images))
                seen.append(model.seen_BK)
    for first, again in zip(seen[:4], seen[4:], strict=True):
        torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert all(not torch.equal(seen[i], seen[j]) for i in range(4) for j in range(i))
