"""Label smoothing against PyTorch's and, below zero, by hand."""

import torch
from torch.nn import functional

from tests.trainables.methods.builders import INDEX, batch_of, make, never
from trainables.methods._base import cross_entropies
from trainables.methods.label_smoothing import smoothed


def test_it_is_pytorchs():
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6) % 3
    expected = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=0.3)
    torch.testing.assert_close(cross_entropies(logits, smoothed(functional.one_hot(labels).float(), 0.3)), expected)


def test_a_negative_rate_takes_from_the_other_classes():
    torch.testing.assert_close(smoothed(torch.eye(2), -1.0), torch.tensor([[1.5, -0.5], [-0.5, 1.5]]))


def test_it_starts_when_it_is_told_to():
    method, batch = make("label_smoothing", rate=0.6, smooth_from=3), batch_of(INDEX)
    method.start_epoch(2, never)
    assert method.targets(batch)[0].tolist() == [1, 0, 0]
    method.start_epoch(3, never)
    torch.testing.assert_close(method.targets(batch)[0], torch.tensor([0.6, 0.2, 0.2]))
