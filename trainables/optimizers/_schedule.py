"""What all learning-rate schedules share: linear warm-up."""

from typing import Any, ClassVar

from pydantic import Field

from spec.registry import Params


class ScheduleParams(Params):
    """A learning-rate schedule, with an optional warm-up."""

    looks_ahead: ClassVar[bool] = True

    warmup_epochs: float = Field(0.0, ge=0, description="epochs, in fractions, over which the learning rate rises from 0")

    def check_run(self, run: Any) -> None:
        if self.warmup_epochs >= run.epochs:
            raise ValueError(f"schedule.warmup_epochs must be below epochs ({run.epochs}), got {self.warmup_epochs:g}")


def warm_up(params: ScheduleParams, progress: float) -> float:
    """Factor that rises linearly from 0 before the first step to 1 after `warmup_epochs`; 1 throughout where there are none."""
    return min(1.0, progress / params.warmup_epochs) if params.warmup_epochs else 1.0
