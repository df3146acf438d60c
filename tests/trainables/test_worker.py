"""What a trial does around training: device, interface, and whose fault an error is."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ray.train import TrainingFailedError
from torch import distributed

from spec.grid import Resources
from spec.records import RunState, WorkItem
from tests.trainables.fake_service import FakeService
from tests.trainables.runs import digits_run, record
from trainables import worker
from trainables.record_file import messages_in
from trainables.worker import Job, backend, describe, is_lost_peer, per_worker, run_distributed, run_one


@pytest.fixture
def untuned(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """What the trial reports to Tune, without Tune."""
    reports: list[dict[str, float]] = []
    monkeypatch.setattr(worker.tune, "report", reports.append)
    return reports


def job_of(fake: FakeService, folder: Path) -> Job:
    return Job("g", fake.url, fake.token, folder / "data", folder, Resources())


def item_of(**overrides: object) -> WorkItem:
    run = digits_run(**overrides)
    return WorkItem(run_id=run.run_id, config=run.resolved())


def test_a_trial_tells_the_service_and_tune_the_numbers_of_training(untuned: list[dict[str, float]], tmp_path: Path):
    item = item_of()
    with FakeService().serving() as fake:
        run_one({"runs": [item.model_dump_json()]}, job_of(fake, tmp_path / "out"))
    _, alone = record(digits_run(), tmp_path / "alone")
    sent = {
        m["epoch"]: {k: v for k, v in m["metrics"].items() if not k.endswith("_seconds")} for m in fake.messages if m["type"] == "epoch"
    }
    assert sent == alone.epochs
    assert [(report["epoch"], report["test_accuracy"]) for report in untuned] == [(e, sent[e]["test_accuracy"]) for e in (1, 2)]
    assert fake.messages[-1]["state"] == RunState.DONE


def test_a_run_that_raises_is_reported_and_the_trial_goes_on(untuned: list[dict[str, float]], tmp_path: Path):
    item = item_of(dataset="cifar10", split={})
    with FakeService().serving() as fake:
        run_one({"runs": [item.model_dump_json()]}, job_of(fake, tmp_path))
    [last] = fake.messages
    assert (last["type"], last["state"]) == ("finished", RunState.FAILED)
    assert "Traceback" in last["log_tail"]
    assert untuned == []


def test_a_configuration_that_makes_another_run_here_is_refused(untuned: list[dict[str, float]], tmp_path: Path):
    item = item_of().model_copy(update={"run_id": "0" * 16})
    with FakeService().serving() as fake:
        run_one({"runs": [item.model_dump_json()]}, job_of(fake, tmp_path))
    assert "different versions of the code" in next(messages_in(tmp_path / item.run_id))["error"]


def test_a_run_cancelled_while_it_was_queued_trains_no_epoch(untuned: list[dict[str, float]], tmp_path: Path):
    item = item_of()
    with FakeService().serving() as fake:
        fake.cancelled = [item.run_id]
        run_one({"runs": [item.model_dump_json()]}, job_of(fake, tmp_path))
    assert [message["type"] for message in fake.messages] == ["started", "finished"]
    assert fake.messages[-1]["state"] == RunState.CANCELLED


class Groups:
    """Groups that break as told: after so many runs that went well, by the next one's own error or by a death."""

    def __init__(self, *breaks: tuple[int, str | None]) -> None:
        self.breaks = list(breaks)
        self.started: list[list[WorkItem]] = []

    def start(self, items: list[WorkItem], job: Job) -> "Groups":
        self.started.append(items)
        self.job = job
        return self

    def fit(self) -> None:
        if not self.breaks:
            return
        over, failure = self.breaks.pop(0)
        items = self.started[-1]
        worker._over_file(items, self.job).write_text(str(over))
        if failure is not None:
            self.job.run_folder(items[over].run_id).mkdir(parents=True, exist_ok=True)
            worker._write_failure(self.job.run_folder(items[over].run_id), failure, "Traceback")
        raise TrainingFailedError("a worker died")


def train_in_groups(groups: Groups, monkeypatch: pytest.MonkeyPatch, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Three runs of two workers; gives their ids, and the errors that were reported."""
    monkeypatch.setattr(worker, "_trainer", groups.start)
    items = [item_of(workers=2, seed=seed) for seed in range(3)]
    with FakeService().serving() as fake:
        run_distributed({"runs": [item.model_dump_json() for item in items]}, job_of(fake, folder))
    return [item.run_id for item in items], {message["run_id"]: message["error"] for message in fake.messages}


def test_a_group_that_breaks_of_a_run_s_own_error_is_replaced_for_the_runs_after_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    groups = Groups((1, "ValueError: too large"))
    ids, errors = train_in_groups(groups, monkeypatch, tmp_path)
    assert [[item.run_id for item in items] for items in groups.started] == [ids, ids[2:]]
    assert errors == {ids[1]: "ValueError: too large"}


def test_a_run_whose_group_dies_is_gone_on_with_so_often_and_then_fails_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    groups = Groups((1, None), (0, None), (0, None), (0, None))
    ids, errors = train_in_groups(groups, monkeypatch, tmp_path)
    assert [[item.run_id for item in items] for items in groups.started] == [ids, *[ids[1:]] * 3, ids[2:]]
    assert errors == {ids[1]: "its workers died 4 times; the last time: a worker died"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:2101"), True),
        (distributed.DistBackendError("NCCL error: remote process exited"), True),
        (RuntimeError("the workers differ in their noisy labels"), False),
        (ValueError("train_size is more than the data set has"), False),
    ],
)
def test_only_a_lost_connection_is_the_other_process_s_fault(error: Exception, expected: bool):
    assert is_lost_peer(error) is expected


def test_gloo_is_told_the_interface_of_the_node_s_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "")
    monkeypatch.setattr(worker.ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    worker.set_up_process()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
    assert "lo" in [name for _, name in socket.if_nameindex()]


def test_a_worker_s_resources_name_gpus_only_where_there_are_some():
    assert per_worker(Resources(cpus_per_worker=2)) == {"CPU": 2}
    assert per_worker(Resources(gpus_per_worker=0.5)) == {"CPU": 1, "GPU": 0.5}


@pytest.mark.parametrize(("gpus", "expected"), [(0, "gloo"), (0.5, "gloo"), (1, "nccl")])
def test_workers_that_may_be_on_one_gpu_do_not_talk_through_nccl(gpus: float, expected: str):
    assert backend(Resources(gpus_per_worker=gpus)) == expected


def test_a_gpu_that_pytorch_does_not_see_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="PyTorch sees none: install PyTorch for CUDA"):
        worker._device(Resources(gpus_per_worker=1))
    assert worker._device(Resources()) == torch.device("cpu")


def test_an_error_is_one_line_with_its_type():
    assert describe(ValueError("too large")) == "ValueError: too large"


def test_ray_s_helper_processes_do_not_pay_for_torch():
    code = "import sys, trainables.worker, trainables.search, trainables.launch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
