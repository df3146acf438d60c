"""Cosine schedule: the learning rate falls along half a cosine.

Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017; here without restarts.
"""

import math

from pydantic import Field

from trainables.optimizers._base import SCHEDULES
from trainables.optimizers._schedule import ScheduleParams, warm_up


class CosineParams(ScheduleParams):
    """Half a cosine from the base learning rate down to `final_factor` of it."""

    final_factor: float = Field(0.0, ge=0, le=1, description="share of the base learning rate that is left at the end")


@SCHEDULES.register("cosine", CosineParams)
def cosine(params: CosineParams, progress: float, epochs: int) -> float:
    """1 at the end of the warm-up, `final_factor` after the last epoch."""
    phase = max(0.0, progress - params.warmup_epochs) / (epochs - params.warmup_epochs)
    fall = (1 + math.cos(math.pi * phase)) / 2
    return warm_up(params, progress) * (params.final_factor + (1 - params.final_factor) * fall)
