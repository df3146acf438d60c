"""What an optimizer and a schedule are."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from spec.registry import Registry

# Called as make(parameters, params); gives an optimizer at its base learning rate.
OptimizerMaker = Callable[[Iterable[nn.Parameter], Any], Optimizer]

OPTIMIZERS: Registry[OptimizerMaker] = Registry("optimizer", package="trainables.optimizers")

# Called as schedule(params, progress, epochs), where `progress` is the number of epochs done, in fractions
# (0 before the first step, `epochs` after the last); gives the factor on the base learning rate.
Schedule = Callable[[Any, float, int], float]

SCHEDULES: Registry[Schedule] = Registry("schedule", package="trainables.optimizers")
