"""Parts that a run of these tests may have, and messages that it sends."""

import sys
from types import ModuleType
from typing import Any

from pydantic import Field

from spec.registry import Params, Registry
from spec.run import RunConfig, bind


def _registry(kind: str, parts: dict[str, type[Params]]) -> Registry[Any]:
    """A registry of parts that do nothing, in a package without files."""
    package = ModuleType(f"fake_{kind}")
    package.__path__ = []
    sys.modules[package.__name__] = package
    registry: Registry[Any] = Registry(kind, package=package.__name__)
    for name, params in parts.items():
        registry.register(name, params)(lambda: None)
    return registry


class Rate(Params):
    rate: float = Field(ge=0, le=1)


class SLN(Params):
    sigma: float = Field(1.0, ge=0)


class SGD(Params):
    lr: float = Field(0.1, gt=0)


FakeRunConfig: type[RunConfig] = bind(
    dataset=_registry("dataset", {"digits": Params, "cifar10": Params}),
    noise=_registry("noise", {"clean": Params, "symmetric": Rate, "pair": Rate}),
    model=_registry("model", {"small_cnn": Params, "linear": Params}),
    method=_registry("method", {"ce": Params, "sln": SLN}),
    optimizer=_registry("optimizer", {"sgd": SGD, "adam": SGD}),
    schedule=_registry("schedule", {"constant": Params, "cosine": Params}),
)

BASE: dict[str, Any] = {
    "dataset": "digits",
    "noise": {"name": "symmetric", "rate": 0.4},
    "model": "small_cnn",
    "method": {"name": "sln", "sigma": 0.5},
    "optimizer": {"name": "sgd", "lr": 0.02},
    "epochs": 5,
}


def grid_spec(name: str = "grid", base: dict[str, Any] | None = None, **axes: list[Any]) -> dict[str, Any]:
    """A grid; `method__sigma=[0, 1]` is the axis `method.sigma`. One run per seed of two, where no axis is given."""
    paths = {path.replace("__", "."): values for path, values in (axes or {"seed": [0, 1]}).items()}
    return {"name": name, "base": BASE | (base or {}), "axes": paths}


def started(run_id: str, attempt: int = 1, **changes: Any) -> dict[str, Any]:
    labels = {
        "noise": "symmetric",
        "noise_rate": 0.4,
        "realised_rate": 0.38,
        "num_examples": 100,
        "num_corrupt": 38,
        "class_names": ["cat", "dog"],
        "counts": [[31, 19], [19, 31]],
        "clean_hash": "c" * 16,
        "noisy_hash": "a" * 16,
    }
    sizes = {"num_train": 100, "num_validation": 0, "num_test": 50, "num_parameters": 1234}
    place = {"device": "cpu", "host": "worker-1"}
    return {"type": "started", "run_id": run_id, "attempt": attempt, "labels": labels, **sizes, **place, **changes}


def epoch(run_id: str, number: int, attempt: int = 1, **metrics: float | None) -> dict[str, Any]:
    values = metrics or {"train_loss": 1.0 / number, "test_accuracy": number / 10}
    return {"type": "epoch", "run_id": run_id, "attempt": attempt, "epoch": number, "metrics": values}


def finished(run_id: str, state: str = "done", attempt: int = 1, **changes: Any) -> dict[str, Any]:
    return {"type": "finished", "run_id": run_id, "attempt": attempt, "state": state, **changes}


def heartbeat(run_id: str, attempt: int = 1) -> dict[str, Any]:
    return {"type": "heartbeat", "run_id": run_id, "attempt": attempt}
