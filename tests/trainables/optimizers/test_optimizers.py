import pytest
import torch
from pydantic import ValidationError
from torch import nn

from trainables.optimizers._base import OPTIMIZERS
from trainables.optimizers.adam import AdamParams, adam
from trainables.optimizers.sgd import SGDParams, sgd


def stepped(make, params, gradients) -> float:
    """A weight of 1 after one step for each gradient."""
    weight = nn.Parameter(torch.ones((), dtype=torch.float64))
    optimizer = make([weight], params)
    for gradient in gradients:
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return weight.item()


def test_sgd_defaults_are_those_of_chen_et_al():
    assert SGDParams().model_dump() == {"lr": 0.001, "momentum": 0.9, "nesterov": False, "weight_decay": 5e-4}


def test_sgd_momentum_sums_gradients_and_weight_decay_adds_to_them():
    # First step: 2 + 0.1 * 1 = 2.1, weight 0.79. Second: 0.5 * 2.1 + 1 + 0.1 * 0.79 = 2.129.
    params = SGDParams(lr=0.1, momentum=0.5, weight_decay=0.1)
    assert stepped(sgd, params, [2.0, 1.0]) == pytest.approx(1 - 0.1 * 2.1 - 0.1 * 2.129)


def test_nesterov_looks_ahead():
    # The gradient counts once more: 2 + 0.5 * 2.
    assert stepped(sgd, SGDParams(lr=0.1, momentum=0.5, nesterov=True, weight_decay=0), [2.0]) == pytest.approx(0.7)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ValidationError, match="nesterov needs a momentum above 0"):
        SGDParams(nesterov=True, momentum=0)


def test_adams_first_step_is_the_learning_rate_whatever_the_gradient():
    for gradient in (1e-3, 7.0):
        assert stepped(adam, AdamParams(lr=0.1), [gradient]) == pytest.approx(0.9, abs=1e-5)


def test_adams_betas_reach_it():
    # beta1 = 0 forgets the first gradient; beta2 = 0 divides by the last one's size.
    assert stepped(adam, AdamParams(lr=0.1, betas=(0, 0)), [5.0, -3.0]) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("wrong", [{"lr": 0}, {"lr": float("nan")}, {"weight_decay": -1}, {"learning_rate": 0.1}])
def test_values_out_of_range_and_unknown_keys_are_refused(name, wrong):
    with pytest.raises(ValidationError):
        OPTIMIZERS.params(name)(**wrong)


@pytest.mark.parametrize("wrong", [{"momentum": 1.0}, {"momentum": -0.1}])
def test_momentum_is_in_range(wrong):
    with pytest.raises(ValidationError):
        SGDParams(**wrong)
