"""Adam.

Source: Kingma & Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
"""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field
from torch import nn
from torch.optim import Adam, Optimizer

from spec.registry import Params
from trainables.optimizers._base import OPTIMIZERS

Decay = Annotated[float, Field(ge=0, lt=1)]


class AdamParams(Params):
    """Adam."""

    lr: float = Field(0.001, gt=0, description="base learning rate")
    betas: tuple[Decay, Decay] = Field((0.9, 0.999), description="decay of the gradient's first and second moment")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty, added to the gradient before the moments are taken")


@OPTIMIZERS.register("adam", AdamParams)
def adam(parameters: Iterable[nn.Parameter], params: AdamParams) -> Optimizer:
    """PyTorch's Adam."""
    return Adam(parameters, lr=params.lr, betas=params.betas, weight_decay=params.weight_decay)
