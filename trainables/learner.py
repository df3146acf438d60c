"""Learner: everything that training changes. What is here is what a checkpoint holds."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from models._base import MODELS, DataShape
from spec.run import EMA, RunConfig
from spec.seeds import stream_seed
from trainables.image_data.examples import Splits
from trainables.methods._base import METHODS, Labels, Method
from trainables.optimizers._base import OPTIMIZERS
from trainables.precision import Bfloat16
from trainables.world import World


class MovingAverage(AveragedModel):
    """Average of the weights and of batch norm's statistics, starting from the first weights as Chen et al. (2021) do.

    The update is its own: PyTorch's copies a counter to the device at every step, and so waits for a GPU.
    """

    def __init__(self, model: nn.Module, ema: EMA) -> None:
        super().__init__(model, use_buffers=True)
        self._share = 1 - ema.decay
        self._averaged, self._current = _floats(self.module), _floats(model)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model as it is now."""
        torch._foreach_lerp_(self._averaged, self._current, self._share)


def _floats(model: nn.Module) -> list[Tensor]:
    """All but counters."""
    return [tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()]


@dataclass(frozen=True)
class Learner:
    """The model, its moving average (if the run has one), the method's state and the optimizer."""

    model: nn.Module
    average: MovingAverage | None
    method: Method
    optimizer: Optimizer

    @property
    def models(self) -> dict[str, nn.Module]:
        """Metric prefix -> network: the method's raw ones, and their averages."""
        averaged = {} if self.average is None else self.method.networks(self.average.module)
        return self.method.networks(self.model) | {f"ema_{prefix}": network for prefix, network in averaged.items()}

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


def build_learner(run: RunConfig, splits: Splits, world: World) -> Learner:
    """The learner before the first step."""
    labels = Labels(splits.train.given_N, splits.shape.num_classes, splits.train.index_M.to(world.device))
    method = METHODS[run.method.name](run.method, labels, run.seeds, world)
    model = method.network(lambda number: build_network(run, splits.shape, world.device, number))
    return Learner(
        model=model,
        average=MovingAverage(model, run.ema) if run.ema else None,
        method=method,
        optimizer=OPTIMIZERS[run.optimizer.name](model.parameters(), run.optimizer),
    )


def build_network(run: RunConfig, shape: DataShape, device: torch.device, number: int = 0) -> nn.Module:
    """The run's network; its weights are drawn from the seed `init` and `number` alone, and the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed("init", run.seeds.init, *([number] if number else [])))
        network = MODELS[run.model.name](run.model, shape)
    # Convolutions are faster on images whose channels are last in memory: 1.7 times for the small network on a CPU.
    network = network.to(device).to(memory_format=torch.channels_last)
    return Bfloat16(network) if run.precision == "bfloat16" else network
