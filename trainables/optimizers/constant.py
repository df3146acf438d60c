"""Constant learning rate."""

from typing import ClassVar

from trainables.optimizers._base import SCHEDULES
from trainables.optimizers._schedule import ScheduleParams, warm_up


class ConstantParams(ScheduleParams):
    """A constant learning rate."""

    looks_ahead: ClassVar[bool] = False


@SCHEDULES.register("constant", ConstantParams)
def constant(params: ConstantParams, progress: float, epochs: int) -> float:
    """The base learning rate, after the warm-up."""
    return warm_up(params, progress)
