"""What the service's tests do over and over, in words."""

import time
from typing import Any

from fastapi.testclient import TestClient


def run_ids(client: TestClient, grid: dict[str, Any]) -> list[str]:
    return [run["run_id"] for run in client.get(f"/api/grids/{grid['grid_id']}/runs", params={"limit": 10_000}).json()["runs"]]


def bearer(grid: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {grid['token']}"}


def driver_token(client: TestClient, grid: dict[str, Any]) -> str:
    """The token that the service gives to the driver that it launches itself."""
    return client.app.state.noisegrid.tokens.of(grid["grid_id"])


def send(client: TestClient, grid: dict[str, Any], *messages: dict[str, Any]) -> dict[str, Any]:
    batch = {"grid_id": grid["grid_id"], "messages": list(messages)}
    answer = client.post("/api/records", json=batch, headers=bearer(grid))
    assert answer.status_code == 200, answer.text
    return answer.json()


def read_run(client: TestClient, run_id: str) -> dict[str, Any]:
    return client.get(f"/api/runs/{run_id}").json()


def state_of(client: TestClient, run_id: str) -> str:
    return read_run(client, run_id)["state"]


def work(client: TestClient, grid: dict[str, Any]) -> list[str]:
    answer = client.get(f"/api/grids/{grid['grid_id']}/work", headers=bearer(grid))
    return [run["run_id"] for run in answer.json()["runs"]]


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    """Wait until the condition holds; fails where it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
