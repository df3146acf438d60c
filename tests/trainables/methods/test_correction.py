"""Loss correction: the theorems of Patrini et al., hand-computed values, and an estimate of a known matrix."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from tests.trainables.methods.builders import GIVEN_N, INDEX, Says, batch_of, make, never
from trainables.methods._base import Labels, Predictions
from trainables.methods.correction import backward_losses, estimated_transition, forward_losses, inverted, symmetric_transition

T = torch.tensor([[0.8, 0.2, 0.0], [0.1, 0.6, 0.3], [0.0, 0.25, 0.75]])
LOGITS = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))


def corrected(name: str) -> torch.Tensor:
    """Losses of labels 0 and 1 where both examples are predicted (0.8, 0.2); true class 0 is flipped with 0.2, class 1 with 0.3."""
    method = make(name, Labels(torch.tensor([0, 1]), 2, torch.arange(2)), transition=[[0.8, 0.2], [0.3, 0.7]])
    return method.losses(Says([0.8, 0.2], [0.8, 0.2]), batch_of(torch.tensor([0, 1])))


def test_forward_by_hand():
    torch.testing.assert_close(corrected("forward"), torch.tensor([-math.log(0.7), -math.log(0.3)]))


def test_backward_by_hand():
    # The inverse is [[1.4, -0.4], [-0.6, 1.6]].
    of_zero, of_one = -math.log(0.8), -math.log(0.2)
    expected = torch.tensor([1.4 * of_zero - 0.4 * of_one, -0.6 * of_zero + 1.6 * of_one])
    torch.testing.assert_close(corrected("backward"), expected)


def test_forward_is_cross_entropy_of_the_noisy_prediction():
    labels = torch.tensor([2, 0, 1])
    expected = functional.nll_loss((LOGITS.softmax(1) @ T).log(), labels, reduction="none")
    torch.testing.assert_close(forward_losses(LOGITS, labels, T), expected)


def test_forward_has_a_finite_gradient_where_the_matrix_has_zeros():
    logits = torch.tensor([[80.0, 0.0, 0.0]], requires_grad=True)
    forward_losses(logits, torch.tensor([2]), T).sum().backward()
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().sum() > 0


def test_backward_is_unbiased_its_mean_over_the_noise_is_the_true_labels_loss():
    # Theorem 1: sum_j T[i][j] * corrected loss of label j = the loss of true label i.
    inverse = inverted(T)
    corrected = torch.stack([backward_losses(LOGITS, torch.full((3,), label), inverse) for label in range(3)], dim=1)
    clean = -LOGITS.log_softmax(1)
    torch.testing.assert_close(corrected @ T.T, clean, rtol=1e-5, atol=1e-5)


def test_backward_is_bounded_as_in_the_authors_program():
    losses = backward_losses(torch.tensor([[0.0, -1000.0]]), torch.tensor([0]), torch.tensor([[1.5, -0.5], [-0.5, 1.5]]))
    torch.testing.assert_close(losses, torch.tensor([0.5 * math.log(1e-7)]))


@pytest.mark.parametrize("name", ["forward", "backward"])
def test_without_noise_both_are_cross_entropy(name: str):
    model = Says([0.5, 0.25, 0.25], [0.1, 0.7, 0.2], [0.3, 0.3, 0.4], [0.2, 0.2, 0.6])
    losses = make(name, symmetric_rate=0.0).losses(model, batch_of(INDEX))
    torch.testing.assert_close(losses, functional.cross_entropy(model.logits_BK, GIVEN_N, reduction="none"))


def test_the_symmetric_matrix_is_that_of_symmetric_noise():
    torch.testing.assert_close(symmetric_transition(0.4, 5), torch.full((5, 5), 0.1).fill_diagonal_(0.6))


def test_an_estimate_finds_the_matrix_where_every_class_has_pure_examples():
    # 6 % of the examples are surely of class 0, 6 % of class 1, and so on; the rest lie between. One outlier is surer still.
    generator = torch.Generator().manual_seed(0)
    between = torch.rand(82, 3, generator=generator) + 1
    posterior = torch.cat([torch.eye(3).repeat(6, 1), between / between.sum(1, keepdim=True)]) @ T
    outlier = torch.tensor([[1.0, 0.0, 0.0]])
    torch.testing.assert_close(estimated_transition(torch.cat([posterior, outlier]), 97), T)
    torch.testing.assert_close(estimated_transition(torch.cat([posterior, outlier]), 100), torch.cat([outlier, T[1:]]))


def test_the_anchor_stands_where_numpys_percentile_does():
    numpy = pytest.importorskip("numpy")
    sure = torch.rand(50, generator=torch.Generator().manual_seed(1)) / 2
    rows = torch.stack([sure, 1 - sure], dim=1)
    for percentile in (1, 50, 97, 99.5):
        expected = numpy.percentile(sure.numpy(), percentile, method="higher")
        assert estimated_transition(rows, percentile)[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["forward", "backward"])
def test_the_estimate_is_made_once_and_survives_a_checkpoint(name: str):
    method, resumed = make(name, estimate_from=2), make(name, estimate_from=2)
    model = Says([0.5, 0.25, 0.25], [0.1, 0.7, 0.2], [0.3, 0.2, 0.5], [0.2, 0.2, 0.6])
    method.start_epoch(1, never)
    method.start_epoch(2, lambda: Predictions(model.logits_BK.detach(), INDEX))
    method.start_epoch(3, never)
    resumed.load_state_dict(method.state_dict())
    resumed.start_epoch(3, never)
    torch.testing.assert_close(method.transition_KK, torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6]]))
    torch.testing.assert_close(resumed.losses(model, batch_of(INDEX)), method.losses(model, batch_of(INDEX)), rtol=0, atol=0)


@pytest.mark.parametrize("params", [{"symmetric_rate": 2 / 3}, {"transition": [[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]}])
def test_backward_refuses_a_singular_matrix_and_forward_does_not(params: dict):
    make("forward", **params)
    with pytest.raises(ValueError, match=r"singular \(condition number .*use forward"):
        make("backward", **params)


def test_forward_refuses_a_matrix_that_rules_out_a_label_that_is_given():
    never_two = [[0.5, 0.5, 0], [0.5, 0.5, 0], [0.5, 0.5, 0]]
    with pytest.raises(ValueError, match="label 2 is never given, but examples have it"):
        make("forward", transition=never_two)
    make("forward", Labels(torch.tensor([0, 1]), 3, torch.arange(2)), transition=never_two)


def test_a_matrix_for_another_number_of_classes_is_refused():
    with pytest.raises(ValueError, match="is for 2 classes, but the data set has 3"):
        make("forward", transition=[[1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "exactly one of transition, symmetric_rate, estimate_from, got none"),
        ({"symmetric_rate": 0.4, "estimate_from": 5}, "got symmetric_rate and estimate_from"),
        ({"transition": [[0.9, 0.2], [0, 1]]}, "row 0 sums to 1.1"),
        ({"transition": [[1.5, -0.5], [0, 1]]}, "row 0 has -0.5"),
        ({"transition": [[1, 0], [0, 0, 1]]}, "row 1 has 3 of 2 columns"),
    ],
)
def test_what_is_no_transition_is_refused(params: dict, message: str):
    with pytest.raises(ValidationError, match=message):
        make("forward", **params)
