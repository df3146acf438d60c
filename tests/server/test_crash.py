"""The service is killed while workers write: what it acknowledged is there, once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from fastapi.testclient import TestClient

from server.app import create_app
from server.settings import Settings
from tests.server.parts import FakeRunConfig, epoch, grid_spec, started
from tests.server.served import ServiceProcess
from tests.server.world import bearer, read_run, run_ids, send, wait_for

WRITERS = 6


def write_until_it_breaks(address: str, grid: dict[str, Any], run_id: str, acknowledged: Counter[str], first: int) -> int:
    """Send epochs one by one; counts those that were acknowledged, and gives the next one."""
    number = first
    with httpx.Client(base_url=address, headers=bearer(grid), timeout=20) as client:
        while True:
            batch = {"grid_id": grid["grid_id"], "messages": [epoch(run_id, number, test_accuracy=number / 1e6)]}
            try:
                answer = client.post("/api/records", json=batch)
            except httpx.TransportError:
                return number
            assert answer.status_code == 200, answer.text
            acknowledged[run_id] += 1
            number += 1


def test_killed_while_six_workers_write_nothing_acknowledged_is_lost_or_doubled(settings: Settings):
    acknowledged: Counter[str] = Counter()
    next_epoch = [1] * WRITERS
    grid: dict[str, Any] = {}
    ids: list[str] = []
    for _ in range(2):
        service = ServiceProcess(settings.data_dir)
        with httpx.Client(base_url=service.address, timeout=20) as client, ThreadPoolExecutor(WRITERS) as pool:
            if not grid:
                grid = client.post("/api/grids", params={"launch": "external"}, json=grid_spec(seed=list(range(WRITERS)))).json()
                ids = run_ids(client, grid)
                send(client, grid, *map(started, ids))
            enough = acknowledged.total() + 150
            writers = [
                pool.submit(write_until_it_breaks, service.address, grid, run_id, acknowledged, first)
                for run_id, first in zip(ids, next_epoch, strict=True)
            ]
            wait_for(lambda enough=enough: acknowledged.total() >= enough, seconds=60)
            service.kill()
            # The one that was under way may have been kept or not; the worker sends it again, as its outbox does.
            next_epoch = [writer.result(30) for writer in writers]
    with TestClient(create_app(settings, run_type=FakeRunConfig)) as reader:
        for run_id, following in zip(ids, next_epoch, strict=True):
            records = reader.get(f"/api/runs/{run_id}/records").json()
            assert acknowledged[run_id] == following - 1
            # All acknowledged ones, each once, and at most the one that was under way.
            assert records["epochs"] in (list(range(1, following)), list(range(1, following + 1)))
            assert records["metrics"]["test_accuracy"] == [number / 1e6 for number in records["epochs"]]
            run = read_run(reader, run_id)
            assert run["epoch"] == records["epochs"][-1]
            assert run["summary"]["raw"]["last"] == records["metrics"]["test_accuracy"][-1]
