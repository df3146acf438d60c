from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError
from torch.optim import lr_scheduler

from trainables.optimizers._base import SCHEDULES
from trainables.optimizers.constant import constant
from trainables.optimizers.cosine import CosineParams, cosine
from trainables.optimizers.step import StepParams, step

EPOCHS = 20
SMALLEST = {"constant": {}, "step": {"milestones": [10]}, "cosine": {}}


def factor(name: str, progress: float, epochs: int = EPOCHS, **params: object) -> float:
    return SCHEDULES[name](SCHEDULES.params(name)(**(SMALLEST[name] | params)), progress, epochs)


def torch_factors(make_scheduler) -> list[float]:
    """The learning rate of each epoch under one of PyTorch's schedulers, for a base of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer)
    factors = []
    for _ in range(EPOCHS):
        factors.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return factors


def test_constant_is_one_throughout():
    assert {constant(SCHEDULES.params("constant")(), progress, EPOCHS) for progress in (0, 0.5, 19.9, 20)} == {1.0}


def test_step_agrees_with_pytorch():
    params = StepParams(milestones=(5, 12), gamma=0.3)
    ours = [step(params, epoch, EPOCHS) for epoch in range(EPOCHS)]
    assert ours == pytest.approx(torch_factors(lambda o: lr_scheduler.MultiStepLR(o, [5, 12], gamma=0.3)))


def test_step_holds_within_an_epoch():
    params = StepParams(milestones=(5,), gamma=0.1)
    assert [step(params, progress, EPOCHS) for progress in (4.0, 4.99, 5.0, 5.5)] == pytest.approx([1, 1, 0.1, 0.1])


def test_cosine_agrees_with_pytorch():
    ours = [cosine(CosineParams(final_factor=0.1), epoch, EPOCHS) for epoch in range(EPOCHS)]
    assert ours == pytest.approx(torch_factors(lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS, eta_min=0.1)))


def test_cosine_goes_from_one_through_the_middle_to_its_final_factor():
    assert [cosine(CosineParams(final_factor=0.2), progress, 8) for progress in (0, 4, 8)] == pytest.approx([1, 0.6, 0.2])


def test_cosine_falls_over_what_the_warm_up_leaves():
    params = CosineParams(warmup_epochs=4)
    assert [cosine(params, progress, 12) for progress in (2, 4, 8, 12)] == pytest.approx([0.5, 1, 0.5, 0])


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_warm_up_rises_linearly_from_nothing(name):
    rising = [factor(name, progress, warmup_epochs=2.5) for progress in (0, 0.5, 1.25, 2.5)]
    assert rising == pytest.approx([0, 0.2, 0.5, 1])


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_without_warm_up_the_first_step_has_the_base_learning_rate(name):
    assert factor(name, 0) == 1


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_a_warm_up_that_fills_the_run_is_refused(name):
    params = SCHEDULES.params(name)(**(SMALLEST[name] | {"warmup_epochs": 5}))
    params.check_run(SimpleNamespace(epochs=6))
    with pytest.raises(ValueError, match=r"schedule\.warmup_epochs must be below epochs \(5\), got 5"):
        params.check_run(SimpleNamespace(epochs=5))


@pytest.mark.parametrize("milestones", [[], [0, 5], [5, 5], [10, 5]])
def test_milestones_that_do_not_rise_are_refused(milestones):
    with pytest.raises(ValidationError, match="must be rising numbers of epochs"):
        StepParams(milestones=milestones)
