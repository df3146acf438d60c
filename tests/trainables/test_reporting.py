"""What a run says reaches the disk, and then the service: once, in order, whatever happens to either."""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spec.records import LabelCard, RunFacts, RunState
from tests.trainables.fake_service import FakeService
from trainables import outbox, reporting
from trainables.outbox import Pause, RefusedError, Service, ServiceUnavailableError, replay
from trainables.record_file import RecordFile, messages_in
from trainables.reporting import HttpReporter

LABELS = LabelCard(
    noise="symmetric",
    noise_rate=0.4,
    realised_rate=0.5,
    num_examples=2,
    num_corrupt=1,
    class_names=["a", "b"],
    counts=[[1, 1], [0, 0]],
    clean_hash="c",
    noisy_hash="n",
)
FACTS = RunFacts(labels=LABELS, num_train=2, num_validation=0, num_test=1, num_parameters=3, device="cpu")


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService().serving() as fake:
        yield fake


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(reporting, "LINGER_SECONDS", 0.01)


def reporter(folder: Path, fake: FakeService, token: str = "secret") -> HttpReporter:
    return HttpReporter(folder, "r", Service(fake.url, token), "g")


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def epochs(messages: list[dict[str, Any]]) -> list[int]:
    return [message["epoch"] for message in messages if message["type"] == "epoch"]


# The record file


def test_every_message_is_a_line_on_disk_when_the_call_returns(tmp_path: Path):
    with RecordFile(tmp_path, "r") as record:
        record.started(FACTS)
        record.epoch(1, {"loss": 0.5})
        lines = (tmp_path / "records.jsonl").read_text().splitlines()
        record.finished(RunState.DONE)
    assert [json.loads(line)["type"] for line in lines] == ["started", "epoch"]
    assert [message["type"] for message in messages_in(tmp_path)] == ["started", "epoch", "finished"]


def test_a_diverged_metric_is_null_on_disk(tmp_path: Path):
    with RecordFile(tmp_path, "r") as record:
        record.epoch(1, {"loss": float("nan"), "objective": float("inf")})
    assert next(messages_in(tmp_path))["metrics"] == {"loss": None, "objective": None}


def test_each_process_that_takes_the_run_up_is_a_new_attempt(tmp_path: Path):
    for expected in (1, 2, 3):
        with RecordFile(tmp_path, "r") as record:
            assert record.attempt == expected
            record.started(FACTS)


def test_a_run_that_failed_before_it_started_counts_as_an_attempt(tmp_path: Path):
    with RecordFile(tmp_path, "r") as record:
        record.finished(RunState.FAILED, "no such data set")
    with RecordFile(tmp_path, "r") as record:
        assert record.attempt == 2


def test_a_line_torn_by_a_kill_is_cut_and_the_next_one_is_whole(tmp_path: Path):
    with RecordFile(tmp_path, "r") as record:
        record.started(FACTS)
    with (tmp_path / "records.jsonl").open("ab") as file:
        file.write(b'{"type": "epoch", "ep')
    assert [message["type"] for message in messages_in(tmp_path)] == ["started"]
    with RecordFile(tmp_path, "r") as record:
        assert record.attempt == 2
        record.epoch(1, {})
    assert [message["type"] for message in messages_in(tmp_path)] == ["started", "epoch"]


def test_an_abandoned_run_fails_under_the_attempt_that_died(tmp_path: Path):
    with RecordFile(tmp_path, "r") as record:
        record.started(FACTS)
    with RecordFile(tmp_path, "r") as record:
        record.abandoned("its process died")
    last = list(messages_in(tmp_path))[-1]
    assert (last["attempt"], last["state"], last["error"]) == (1, "failed", "its process died")


def hold(folder: Path, held: Any, release: Any) -> None:
    with RecordFile(folder, "r"):
        held.set()
        release.wait(10)


def test_two_processes_do_not_train_one_run(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path, held, release))
    other.start()
    assert held.wait(10)
    with pytest.raises(RuntimeError, match="another process"):
        RecordFile(tmp_path, "r", lock_seconds=0.1)
    release.set()
    other.join()
    RecordFile(tmp_path, "r", lock_seconds=0.1).close()


# Sending


def test_all_messages_arrive_once_and_in_order(service: FakeService, tmp_path: Path):
    with reporter(tmp_path, service) as run:
        run.started(FACTS)
        for epoch in range(1, 21):
            run.epoch(epoch, {"loss": 1 / epoch})
        run.finished(RunState.DONE)
    assert service.messages == list(messages_in(tmp_path))
    assert epochs(service.messages) == list(range(1, 21))


def test_a_quiet_run_says_that_it_is_alive(service: FakeService, tmp_path: Path):
    with reporter(tmp_path, service):
        assert eventually(lambda: len(service.batches) >= 3)
    assert {message["type"] for batch in service.batches for message in batch} == {"heartbeat"}


def test_a_run_that_was_cancelled_while_it_waited_knows_it_before_its_first_epoch(service: FakeService, tmp_path: Path):
    service.cancelled = ["r"]
    with reporter(tmp_path, service) as run:
        assert run.stop_requested


def test_a_run_hears_that_it_is_cancelled_while_it_trains(service: FakeService, tmp_path: Path):
    with reporter(tmp_path, service) as run:
        service.cancelled = ["another"]
        run.epoch(1, {})
        assert eventually(lambda: len(service.messages) == 1)
        assert not run.stop_requested
        service.cancelled = ["r"]
        assert eventually(lambda: run.stop_requested)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_service_is_asked_again_and_nothing_is_lost(service: FakeService, tmp_path: Path, status: int):
    refusals = iter([status] * 4)
    service.refuse = lambda body: next(refusals, None)
    with reporter(tmp_path, service) as run:
        run.epoch(1, {})
        run.epoch(2, {})
        assert eventually(lambda: epochs(service.messages) == [1, 2])


def test_a_service_that_is_away_holds_nothing_up_and_a_replay_tells_it_all(service: FakeService, tmp_path: Path):
    service.refuse = lambda body: 503
    began = time.monotonic()
    with reporter(tmp_path, service) as run:
        run.started(FACTS)
        run.epoch(1, {})
        run.finished(RunState.DONE)
    assert time.monotonic() - began < 5
    assert service.messages == []
    with pytest.raises(ServiceUnavailableError):
        replay([tmp_path], Service(service.url, "secret"), "g")
    service.refuse = lambda body: None
    replay([tmp_path], Service(service.url, "secret"), "g")
    replay([tmp_path], Service(service.url, "secret"), "g")
    assert service.messages == list(messages_in(tmp_path))


def test_a_replay_from_the_start_tells_again_what_was_acknowledged(service: FakeService, tmp_path: Path):
    with reporter(tmp_path, service) as run:
        run.epoch(1, {})
    replay([tmp_path], Service(service.url, "secret"), "g", from_start=True)
    assert epochs(service.messages) == [1, 1]


def test_a_message_that_the_service_cannot_take_holds_no_other_up(service: FakeService, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    service.refuse = lambda body: 422 if any(message.get("epoch") == 3 for message in body["messages"]) else None
    with RecordFile(tmp_path, "r") as record:
        for epoch in range(1, 8):
            record.epoch(epoch, {})
    replay([tmp_path], Service(service.url, "secret"), "g")
    assert epochs(service.messages) == [1, 2, 4, 5, 6, 7]
    assert '"epoch": 3' in caplog.text
    replay([tmp_path], Service(service.url, "secret"), "g")
    assert len(service.messages) == 6


def test_a_replay_with_a_wrong_token_says_so(service: FakeService, tmp_path: Path):
    with RecordFile(tmp_path, "r") as record:
        record.epoch(1, {})
    with pytest.raises(RefusedError, match="401"):
        replay([tmp_path], Service(service.url, "wrong"), "g")


def test_a_lost_offset_means_only_that_all_is_sent_again(service: FakeService, tmp_path: Path):
    with reporter(tmp_path, service) as run:
        run.epoch(1, {})
    (tmp_path / "records.sent").write_text("")
    replay([tmp_path], Service(service.url, "secret"), "g")
    assert epochs(service.messages) == [1, 1]


def test_long_outboxes_travel_in_several_batches(service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox, "BATCH_MESSAGES", 4)
    with RecordFile(tmp_path, "r") as record:
        for epoch in range(1, 10):
            record.epoch(epoch, {})
    replay([tmp_path], Service(service.url, "secret"), "g")
    assert [len(batch) for batch in service.batches] == [4, 4, 1]


def test_no_service_at_all_is_unavailable(tmp_path: Path):
    with FakeService().serving() as fake:
        url = fake.url
    with pytest.raises(ServiceUnavailableError, match="does not answer"):
        Service(url).request("GET", "/health")


def test_pauses_double_up_to_the_longest_and_are_never_under_half():
    pause = Pause(longest=4)
    waits = [pause.seconds() for _ in range(6)]
    for wait, full in zip(waits, [0.5, 1, 2, 4, 4, 4], strict=True):
        assert full / 2 <= wait <= full
    pause.reset()
    assert pause.seconds() <= 0.5


def test_attempts_that_ran_elsewhere_are_counted_on(tmp_path: Path):
    with RecordFile(tmp_path, "r", attempts=3) as record:
        assert record.attempt == 4
        record.finished(RunState.FAILED, "no")
    with RecordFile(tmp_path, "r", attempts=2) as record:
        assert record.attempt == 5
