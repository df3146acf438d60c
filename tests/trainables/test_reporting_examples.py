"""What a run leaves about its examples reaches the service: before the news that it is done, once, and later where it was away."""

from pathlib import Path

import pytest

from spec.records import EXAMPLES, RunState
from tests.trainables.fake_service import FakeService
from tests.trainables.test_reporting import FACTS, quick, reporter, service  # noqa: F401  # fixtures
from trainables.outbox import EXAMPLES_SENT, Service, ServiceUnavailableError, replay
from trainables.record_file import RecordFile

PATH = "/api/runs/r/examples?grid_id=g"


def finish(folder: Path) -> None:
    """A run's folder as it stands when the run is done and nobody was told."""
    with RecordFile(folder, "r") as record:
        record.started(FACTS)
        (folder / EXAMPLES).write_bytes(b"fits")
        record.finished(RunState.DONE)


def test_they_are_there_when_the_run_is_heard_to_be_done(service: FakeService, tmp_path: Path):  # noqa: F811
    known: list[bool] = []
    service.refuse = lambda body: known.append(PATH in service.files) if _ends(body) else None  # type: ignore[func-returns-value]
    with reporter(tmp_path, service) as run:
        run.started(FACTS)
        (tmp_path / EXAMPLES).write_bytes(b"fits")
        run.finished(RunState.DONE)
    assert service.files == {PATH: b"fits"}
    assert known == [True]
    assert (tmp_path / EXAMPLES_SENT).exists()


def test_a_replay_sends_what_waits_and_from_the_start_all_again(service: FakeService, tmp_path: Path):  # noqa: F811
    finish(tmp_path)
    for from_start, count in ((False, 1), (False, 0), (True, 1)):
        service.files.clear()
        replay([tmp_path], Service(service.url, "secret"), "g", from_start)
        assert len(service.files) == count


def test_a_service_that_cannot_take_them_still_gets_the_records_and_is_asked_again(service: FakeService, tmp_path: Path):  # noqa: F811
    finish(tmp_path)
    service.refuse = lambda body: 503 if "path" in body else None
    with pytest.raises(ServiceUnavailableError):
        replay([tmp_path], Service(service.url, "secret"), "g")
    assert service.messages[-1]["state"] == RunState.DONE
    service.refuse = lambda body: None
    replay([tmp_path], Service(service.url, "secret"), "g")
    assert service.files == {PATH: b"fits"}


def test_a_file_that_the_service_refuses_is_left_out_and_logged(
    service: FakeService,  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    finish(tmp_path)
    service.refuse = lambda body: 422 if "path" in body else None
    replay([tmp_path], Service(service.url, "secret"), "g")
    assert service.messages[-1]["state"] == RunState.DONE
    assert "left out the examples of run r" in caplog.text


def _ends(body: dict[str, object]) -> bool:
    messages = body.get("messages", [])
    return any(message["type"] == "finished" for message in messages)  # type: ignore[attr-defined]
