"""Step schedule: the learning rate is cut at given epochs."""

from itertools import pairwise
from typing import ClassVar

from pydantic import Field, field_validator

from trainables.optimizers._base import SCHEDULES
from trainables.optimizers._schedule import ScheduleParams, warm_up


class StepParams(ScheduleParams):
    """Learning rate times `gamma` at each milestone."""

    looks_ahead: ClassVar[bool] = False

    milestones: tuple[int, ...] = Field(description="numbers of epochs after which the learning rate is cut, rising")
    gamma: float = Field(0.1, gt=0, le=1, description="factor of each cut")

    @field_validator("milestones")
    @classmethod
    def _milestones_rise(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        if not milestones or milestones[0] < 1 or any(later <= earlier for earlier, later in pairwise(milestones)):
            raise ValueError(f"must be rising numbers of epochs from 1 on, such as [100, 150], got {list(milestones)}")
        return milestones

    def acts_from(self) -> dict[str, int]:
        return dict.fromkeys(("milestones", "gamma"), self.milestones[0] + 1)


@SCHEDULES.register("step", StepParams)
def step(params: StepParams, progress: float, epochs: int) -> float:
    """`gamma` to the power of the milestones passed; one beyond the last epoch has no effect."""
    passed = sum(progress >= milestone for milestone in params.milestones)
    return warm_up(params, progress) * params.gamma**passed
