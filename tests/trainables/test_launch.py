"""The driver around Ray: what it asks the service, what it prints, how it ends."""

from pathlib import Path

import pytest

from spec.grid import Resources
from spec.records import RunState, Work, WorkItem
from tests.trainables.fake_service import FakeService
from trainables import launch
from trainables.launch import ALL_DONE, REFUSED, SOME_NOT_DONE, Progress, main, patiently, remaining_work
from trainables.outbox import Service, ServiceUnavailableError
from trainables.record_file import RecordFile, messages_in
from trainables.worker import Job


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "SERVICE_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(launch.signal, "signal", lambda number, handler: None)
    monkeypatch.setenv("NOISEGRID_TOKEN", "secret")


def job(folder: Path) -> Job:
    return Job("g", "http://127.0.0.1:1", "secret", folder / "data", folder, Resources())


def test_a_grid_with_nothing_left_is_done_without_ray(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with FakeService().serving() as fake:
        assert main(["--grid-id", "g", "--server", fake.url, "--out", str(tmp_path)]) == ALL_DONE
    assert capsys.readouterr().out == "grid g: nothing left to run\n"


def test_a_service_that_stays_away_ends_the_driver_for_another_to_try(tmp_path: Path):
    with FakeService().serving() as fake:
        url = fake.url
    assert main(["--grid-id", "g", "--server", url, "--out", str(tmp_path)]) == SOME_NOT_DONE


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), ("name: x\nbase: {}\naxis: {}\n", "did you mean 'axes'"), ("a: [", "line")]
)
def test_a_grid_file_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, said: str):
    file = tmp_path / "grid.yaml"
    if content is not None:
        file.write_text(content)
    assert main([str(file), "--server", "http://127.0.0.1:1"]) == REFUSED
    assert said in capsys.readouterr().out


def test_what_earlier_drivers_recorded_is_told_again_before_the_work_is_read(tmp_path: Path):
    with RecordFile(tmp_path / "r", "r") as record:
        record.epoch(1, {"loss": 1.0})
        record.finished(RunState.DONE)
    (tmp_path / "r" / "records.sent").write_text("100000")
    with FakeService().serving() as fake:
        fake.work = Work(grid_id="g", resources=Resources(), runs=[WorkItem(run_id="r", config={}), WorkItem(run_id="new", config={})])
        remaining_work(Service(fake.url, "secret"), "g", tmp_path)
    assert fake.messages == list(messages_in(tmp_path / "r"))


def test_patience_asks_until_there_is_an_answer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launch.time, "sleep", lambda seconds: None)
    answers = iter([ServiceUnavailableError("away"), ServiceUnavailableError("away"), "there"])

    def ask() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(ask, 60) == "there"


def test_each_run_is_a_line_and_the_grid_is_the_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    progress = Progress(job(tmp_path), 2)
    with RecordFile(tmp_path / "a", "a") as record:
        record.epoch(7, {"test_accuracy": 0.5, "ema_test_accuracy": 0.75})
        record.finished(RunState.DONE)
    progress.ended("a", None)
    with RecordFile(tmp_path / "b", "b") as record:
        record.finished(RunState.FAILED, "ValueError: no")
    progress.ended("b", None)
    assert progress.summary() == SOME_NOT_DONE
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == "[1/2] a done: epoch 7, test_accuracy 0.5000, ema_test_accuracy 0.7500"
    assert second == "[2/2] b failed: ValueError: no"
    assert last.startswith("grid g: 1 done, 1 failed in ")


def test_all_runs_done_is_a_success(tmp_path: Path):
    progress = Progress(job(tmp_path), 1)
    with RecordFile(tmp_path / "a", "a") as record:
        record.finished(RunState.DONE)
    progress.ended("a", None)
    assert progress.summary() == ALL_DONE


def test_a_run_whose_process_died_for_good_is_recorded_as_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with RecordFile(tmp_path / "a", "a") as record:
        record.epoch(1, {})
    Progress(job(tmp_path), 1).ended("a", "Traceback\nThe worker was killed by SIGKILL")
    *_, last = messages_in(tmp_path / "a")
    assert (last["state"], last["attempt"]) == ("failed", 1)
    assert "killed by SIGKILL" in last["error"]
    assert "killed by SIGKILL" in capsys.readouterr().out


def test_a_run_that_another_process_trains_is_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def taken(*args: object, **options: object) -> None:
        raise RuntimeError("another process is training the run")

    with RecordFile(tmp_path / "a", "a") as record:
        record.epoch(1, {})
    monkeypatch.setattr(launch, "RecordFile", taken)
    Progress(job(tmp_path), 1).ended("a", "died")
    assert [message["type"] for message in messages_in(tmp_path / "a")] == ["epoch"]
    assert "another process is training" in capsys.readouterr().out
