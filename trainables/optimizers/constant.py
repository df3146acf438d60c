"""Constant learning rate."""

from trainables.optimizers._base import SCHEDULES
from trainables.optimizers._schedule import ScheduleParams, warm_up


@SCHEDULES.register("constant", ScheduleParams)
def constant(params: ScheduleParams, progress: float, epochs: int) -> float:
    """The base learning rate, after the warm-up."""
    return warm_up(params, progress)
