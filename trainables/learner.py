"""Learner: everything that training changes. What is here is what a checkpoint holds."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models._base import MODELS
from spec.run import EMA, RunConfig
from spec.seeds import stream_seed
from trainables.image_data.examples import Splits
from trainables.methods._base import METHODS, Labels, Method
from trainables.optimizers._base import OPTIMIZERS


@dataclass(frozen=True)
class Learner:
    """The model, its moving average (if the run has one), the method's state and the optimizer."""

    model: nn.Module
    average: AveragedModel | None
    method: Method
    optimizer: Optimizer

    @property
    def models(self) -> dict[str, nn.Module]:
        """Metric prefix -> model: the raw one, and the average."""
        return {"": self.model} | ({"ema_": self.average} if self.average is not None else {})

    @property
    def teacher(self) -> nn.Module:
        """The model that predicts for label correction: the average where there is one."""
        return self.model if self.average is None else self.average

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        parts = {"model": self.model, "average": self.average, "method": self.method, "optimizer": self.optimizer}
        return {name: part for name, part in parts.items() if part is not None}


def build_learner(run: RunConfig, splits: Splits, device: torch.device) -> Learner:
    """The learner before the first step. Weights are drawn from the seed `init` alone; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed("init", run.seeds.init))
        model = MODELS[run.model.name](run.model, splits.shape).to(device)
    labels = Labels(splits.train.given_N, splits.shape.num_classes, splits.train.index_M.to(device))
    return Learner(
        model=model,
        average=moving_average(model, run.ema) if run.ema else None,
        method=METHODS[run.method.name](run.method, labels, run.seeds),
        optimizer=OPTIMIZERS[run.optimizer.name](model.parameters(), run.optimizer),
    )


def moving_average(model: nn.Module, ema: EMA) -> AveragedModel:
    """Average of the weights and of batch norm's statistics, starting from the first weights as Chen et al. (2021) do."""
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema.decay), use_buffers=True)
    # At 0 it would take its first update whole, and forget where it started from.
    average.n_averaged.fill_(1)
    return average
