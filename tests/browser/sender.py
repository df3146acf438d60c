"""A worker's half of the conversation: posts grids and sends what their runs would measure."""

from collections.abc import Iterable
from typing import Any

import httpx

from spec.records import EpochRecord, Finished, LabelCard, RunState, Started
from tests.dashboard.worlds import RATES, SEEDS, SIGMAS, label_card, metrics_at

MAX_MESSAGES = 2_000


def grid_spec(
    name: str = "demo",
    epochs: int = 40,
    rates: Iterable[float] = RATES,
    sigmas: Iterable[float] = SIGMAS,
    seeds: Iterable[int] = SEEDS,
) -> dict[str, Any]:
    """noise_rate × sigma × seed on digits, raw and EMA model, with a noisy validation split."""
    return {
        "name": name,
        "description": "Stochastic label noise against wrong labels.",
        "base": {
            "dataset": "digits",
            "noise": "symmetric",
            "model": "small_cnn",
            "method": "sln",
            "optimizer": {"name": "sgd", "lr": 0.02},
            "ema": {"decay": 0.99},
            "split": {"validation": 0.1},
            "epochs": epochs,
        },
        "axes": {"noise.rate": list(rates), "method.sigma": list(sigmas), "seed": list(seeds)},
    }


class Sender:
    """Sends one grid's records."""

    def __init__(self, http: httpx.Client, spec: dict[str, Any]) -> None:
        created = http.post("/api/grids", params={"launch": "external"}, json=spec).raise_for_status().json()
        self._http = http
        self._headers = {"Authorization": f"Bearer {created['token']}"}
        self.grid_id: str = created["grid_id"]
        work = http.get(f"/api/grids/{self.grid_id}/work", headers=self._headers).raise_for_status().json()
        self.configs: dict[str, dict[str, Any]] = {item["run_id"]: item["config"] for item in work["runs"]}

    @property
    def page(self) -> str:
        return f"/grids/{self.grid_id}"

    def started(self, run_id: str, labels: LabelCard | None = None) -> Started:
        card = labels or label_card(self.configs[run_id]["noise"]["rate"], self.configs[run_id]["seed"])
        sizes = {"num_train": 1_258, "num_validation": 180, "num_test": 359, "num_parameters": 24_042}
        return Started(run_id=run_id, attempt=1, labels=card, device="cpu", host="node-1", **sizes)

    def epochs(self, run_id: str, first: int, last: int) -> list[EpochRecord]:
        config = self.configs[run_id]
        rate, sigma, seed = config["noise"]["rate"], config["method"]["sigma"], config["seed"]
        return [EpochRecord(run_id=run_id, attempt=1, epoch=e, metrics=metrics_at(e, rate, sigma, seed)) for e in range(first, last + 1)]

    def whole(self, run_id: str) -> list[Any]:
        """All that a run says that goes well."""
        done = Finished(run_id=run_id, attempt=1, state=RunState.DONE)
        return [self.started(run_id), *self.epochs(run_id, 1, self.configs[run_id]["epochs"]), done]

    def failed(self, run_id: str, error: str, log: str) -> list[Any]:
        end = Finished(run_id=run_id, attempt=1, state=RunState.FAILED, error=error, log_tail=log)
        return [self.started(run_id), *self.epochs(run_id, 1, 7), end]

    def send_examples(self, run_id: str, content: bytes) -> None:
        """What the run leaves about its examples."""
        address, params = f"/api/runs/{run_id}/examples", {"grid_id": self.grid_id}
        self._http.put(address, params=params, content=content, headers=self._headers).raise_for_status()

    def send(self, messages: list[Any]) -> None:
        for start in range(0, len(messages), MAX_MESSAGES):
            batch = [message.model_dump(mode="json") for message in messages[start : start + MAX_MESSAGES]]
            body = {"grid_id": self.grid_id, "messages": batch}
            self._http.post("/api/records", json=body, headers=self._headers).raise_for_status()
