"""Stochastic gradient descent with momentum."""

from collections.abc import Iterable
from typing import Self

from pydantic import Field, model_validator
from torch import nn
from torch.optim import SGD, Optimizer

from spec.registry import Params
from trainables.optimizers._base import OPTIMIZERS


class SGDParams(Params):
    """SGD; the defaults are those of Chen et al., "Noise against noise", ICLR 2021."""

    lr: float = Field(0.001, gt=0, description="base learning rate")
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(5e-4, ge=0, description="L2 penalty on every parameter, biases and BatchNorm included")

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0, got 0: set momentum (0.9 is usual), or nesterov to false")
        return self


@OPTIMIZERS.register("sgd", SGDParams)
def sgd(parameters: Iterable[nn.Parameter], params: SGDParams) -> Optimizer:
    """PyTorch's SGD."""
    return SGD(parameters, lr=params.lr, momentum=params.momentum, nesterov=params.nesterov, weight_decay=params.weight_decay)
