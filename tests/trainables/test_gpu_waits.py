"""No step of an epoch waits for the GPU: what goes between host and device, and what is asked of it, does not grow with the steps.

PyTorch's device `meta`, whose tensors have no content, stands for the GPU: what is seen here needs none.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models._base import DataShape
from spec.records import LabelCard
from trainables.image_data._pixels import Normalisation, PixelSource
from trainables.image_data.examples import Examples, Splits
from trainables.learner import build_learner
from trainables.methods._base import METHODS
from trainables.parts import RunConfig
from trainables.train import train_epoch
from trainables.world import World

DEVICE = torch.device("meta")
NEEDED = {"backward": {"symmetric_rate": 0.4}, "co_teaching": {"forget_rate": 0.4}}
# Forward correction asks at its start which labels there are, and these have no content.
SEEN = sorted(set(METHODS) - {"forward"})


class Waits(TorchDispatchMode):
    """Counts copies between devices that a caller waits for, and questions whose answer it waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        devices = {leaf.device.type for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)}
        is_copy = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        self.counts["copies"] += is_copy and len(devices) > 1 and not kwargs.get("non_blocking")
        return result


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    waits = Waits()

    def answer(value: Any) -> Callable[[Tensor], Any]:
        def ask(tensor: Tensor) -> Any:
            waits.counts["questions"] += tensor.device == DEVICE
            return value

        return ask

    for name, value in {"item": 0.5, "__int__": 1, "__float__": 1.0, "__bool__": True}.items():
        monkeypatch.setattr(Tensor, name, answer(value))
    return waits


def count_waits(method: str, steps: int, waits: Waits) -> Counter[str]:
    """Of the second of two epochs."""
    run = RunConfig.model_validate(
        {
            "dataset": "cifar10",
            "noise": "clean",
            "model": {"name": "small_cnn", "width": 4},
            "optimizer": "sgd",
            "method": {"name": method, **NEEDED.get(method, {})},
            "ema": {"decay": 0.9},
            "epochs": 2,
            "batch_size": 2,
        }
    )
    labels_N = torch.zeros(2 * steps, dtype=torch.long, device=DEVICE)
    source = PixelSource.padded(torch.zeros(2 * steps, 3, 32, 32, dtype=torch.uint8), 4, Normalisation((0.5,) * 3, (0.2,) * 3))
    examples = Examples(source, labels_N, labels_N, torch.arange(2 * steps))
    splits = Splits(examples, examples, None, examples, DataShape(3, 32, 10), LabelCard.model_construct())
    world = World.alone(DEVICE)
    learner = build_learner(run, splits, world)
    train_epoch(run, splits, learner, learner.model, 1, world)
    waits.counts.clear()
    with waits:
        train_epoch(run, splits, learner, learner.model, 2, world)
    return +waits.counts


@pytest.mark.parametrize("method", SEEN)
def test_no_step_waits_for_the_gpu(method: str, waits: Waits):
    few, many = count_waits(method, 3, waits), count_waits(method, 9, waits)
    assert few == many
    # The epoch's order goes to the device, and its loss comes back.
    assert (few["copies"] > 0, few["questions"]) == (True, 1)
