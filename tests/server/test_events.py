"""Event streams: nothing is missed, nothing is told twice, and they end when the service does."""

import json
import signal
import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from server.app import create_app
from server.settings import Settings
from tests.server.parts import FakeRunConfig, epoch, finished, grid_spec, started
from tests.server.served import ServiceProcess, serving
from tests.server.world import run_ids, send


@pytest.fixture
def live(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a service on a real socket: the test client does not stream."""
    app = create_app(settings.model_copy(update={"ping_seconds": 0.3}), run_type=FakeRunConfig)
    with serving(app) as address, httpx.Client(base_url=address, timeout=20) as client:
        yield client


@pytest.fixture
def grid(live: httpx.Client) -> dict:
    return live.post("/api/grids", params={"launch": "external"}, json=grid_spec(seed=[0, 1, 2])).json()


def events(lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(id, data) of each event as it comes."""
    number = 0
    for line in lines:
        if line.startswith("id: "):
            number = int(line.removeprefix("id: "))
        if line.startswith("data: "):
            yield number, json.loads(line.removeprefix("data: "))


def changed(event: tuple[int, dict[str, Any]]) -> set[str]:
    return {run["run_id"] for run in event[1]["runs"]}


def test_a_stream_begins_with_the_grid_as_it_is_and_tells_what_changes(live: httpx.Client, grid: dict):
    first, second, _ = run_ids(live, grid)
    send(live, grid, started(first))
    with live.stream("GET", f"/api/grids/{grid['grid_id']}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = events(answer.iter_lines())
        beginning = next(stream)
        assert beginning[1]["grid"]["runs_by_state"] == {"queued": 2, "running": 1}
        assert changed(beginning) == set()
        send(live, grid, started(second), epoch(second, 1))
        event = next(stream)
        assert changed(event) == {second}
        assert event[0] > beginning[0]
        assert event[1]["runs"][0]["epoch"] == 1
        assert event[1]["runs"][0]["factors"] == {"seed": 1}
        assert event[1]["grid"]["epochs_done"] == 1


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_stream_that_was_cut_off_goes_on_with_exactly_what_was_missed(live: httpx.Client, grid: dict, how: str):
    first, second, third = run_ids(live, grid)
    url = f"/api/grids/{grid['grid_id']}/events"
    with live.stream("GET", url) as answer:
        stream = events(answer.iter_lines())
        next(stream)
        send(live, grid, started(first))
        seen, _ = next(stream)
    send(live, grid, started(second))
    send(live, grid, started(third), epoch(third, 1))
    where: dict[str, Any] = {"headers": {"Last-Event-ID": str(seen)}} if how == "header" else {"params": {"after": seen}}
    with live.stream("GET", url, **where) as answer:
        stream = events(answer.iter_lines())
        event = next(stream)
        assert changed(event) == {second, third}
        send(live, grid, finished(first))
        assert changed(next(stream)) == {first}


def test_another_grid_s_changes_and_mere_heartbeats_are_not_told(live: httpx.Client, grid: dict):
    other = live.post("/api/grids", params={"launch": "external"}, json=grid_spec("other", seed=[7])).json()
    first, *_ = run_ids(live, grid)
    with live.stream("GET", f"/api/grids/{grid['grid_id']}/events") as answer:
        stream = events(answer.iter_lines())
        next(stream)
        send(live, other, started(run_ids(live, other)[0]))
        send(live, grid, started(first))
        assert changed(next(stream)) == {first}


def test_a_change_of_the_grid_itself_is_told(live: httpx.Client, grid: dict):
    with live.stream("GET", f"/api/grids/{grid['grid_id']}/events") as answer:
        stream = events(answer.iter_lines())
        next(stream)
        live.post(f"/api/grids/{grid['grid_id']}/cancel")
        assert next(stream)[1]["grid"]["state"] == "cancelled"


def test_a_shared_run_is_told_to_every_grid_that_holds_it(live: httpx.Client, grid: dict):
    other = live.post("/api/grids", params={"launch": "external"}, json=grid_spec("other", seed=[2, 3])).json()
    shared = run_ids(live, other)[0]
    with live.stream("GET", f"/api/grids/{other['grid_id']}/events") as answer:
        stream = events(answer.iter_lines())
        next(stream)
        send(live, grid, started(shared))
        assert changed(next(stream)) == {shared}


def test_a_burst_of_commits_is_few_events_and_loses_none(live: httpx.Client, grid: dict):
    first, *_ = run_ids(live, grid)
    with live.stream("GET", f"/api/grids/{grid['grid_id']}/events") as answer:
        stream = events(answer.iter_lines())
        next(stream)
        for number in range(1, 31):
            send(live, grid, epoch(first, number))
        told = []
        for _, data in stream:
            told += [run["epoch"] for run in data["runs"]]
            if told[-1] == 30:
                break
    assert told == sorted(set(told))
    assert len(told) < 15


def test_a_quiet_stream_says_that_it_is_alive(live: httpx.Client, grid: dict):
    with live.stream("GET", f"/api/grids/{grid['grid_id']}/events", headers={"Last-Event-ID": "9"}) as answer:
        comments = (line for line in answer.iter_lines() if line.startswith(":"))
        assert len(list(islice(comments, 2))) == 2


def test_a_number_from_the_future_does_not_silence_the_stream(live: httpx.Client, grid: dict):
    first, *_ = run_ids(live, grid)
    with live.stream("GET", f"/api/grids/{grid['grid_id']}/events", headers={"Last-Event-ID": "1000000"}) as answer:
        stream = events(answer.iter_lines())
        send(live, grid, started(first))
        assert changed(next(stream)) == {first}


def test_a_bad_number_is_refused(client: TestClient, post):
    url = f"/api/grids/{post(grid_spec())['grid_id']}/events"
    assert client.get(url, headers={"Last-Event-ID": "abc"}).status_code == 422
    assert client.get(url, params={"after": -1}).status_code == 422


def test_a_stream_does_not_keep_the_service_from_stopping(settings: Settings):
    service = ServiceProcess(settings.data_dir)
    with httpx.Client(base_url=service.address, timeout=30) as client:
        grid = client.post("/api/grids", params={"launch": "external"}, json=grid_spec()).json()
        with client.stream("GET", f"/api/grids/{grid['grid_id']}/events") as answer:
            lines = answer.iter_lines()
            next(lines)
            reader = threading.Thread(target=lambda: list(lines))
            reader.start()
            service.process.send_signal(signal.SIGTERM)
            begin = time.monotonic()
            service.process.wait(20)
            reader.join(20)
    assert time.monotonic() - begin < 10
    assert service.process.returncode in (0, -signal.SIGTERM)
