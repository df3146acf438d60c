"""Forks: a run that goes on from where another has come is the run from scratch, to the bit."""

from pathlib import Path
from typing import Any

import pytest
import torch

from spec.run import RunConfig
from tests.trainables.runs import CPU, digits_run
from trainables.record_file import EpochMetrics, RecordFile, measured_in, messages_in
from trainables.train import Folders, execute
from trainables.world import World

EPOCHS = 5
CORRECT_FROM = 4


def run_of(**method: Any) -> RunConfig:
    return digits_run(method={"name": "sln", "sigma": 0.5, **method}, ema={"decay": 0.9}, epochs=EPOCHS)


PLAIN, CORRECTED = run_of(), run_of(correct_from=CORRECT_FROM)


def go(run: RunConfig, folder: Path, shared: list[int], prefixes: Path | None, reporter: type[RecordFile] = RecordFile) -> EpochMetrics:
    """Execute a run; gives what it measured."""
    with reporter(folder, run.run_id) as record:
        execute(run, Folders(folder, folder, prefixes), record, World.alone(CPU), shared)
    return measured_in(folder)


def forked_after(folder: Path) -> int:
    return next(int(message["forked_after"]) for message in messages_in(folder) if message["type"] == "started")


def state_of(folder: Path) -> Any:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["learner"]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> tuple[EpochMetrics, Any]:
    """The run with label correction, trained from its first epoch."""
    folder = tmp_path_factory.mktemp("scratch")
    return go(CORRECTED, folder, [], None), state_of(folder)


def test_a_forked_run_has_the_numbers_and_the_state_of_one_from_scratch(tmp_path: Path, scratch: tuple[EpochMetrics, Any]):
    plain = go(PLAIN, tmp_path / "plain", [3], tmp_path / "prefixes")
    forked = go(CORRECTED, tmp_path / "forked", [3], tmp_path / "prefixes")
    assert forked_after(tmp_path / "forked") == 3
    assert forked == scratch[0]
    torch.testing.assert_close(state_of(tmp_path / "forked"), scratch[1], rtol=0, atol=0)
    assert {epoch: plain[epoch] == forked[epoch] for epoch in plain} == {1: True, 2: True, 3: True, 4: False, 5: False}


def test_it_does_not_matter_which_run_comes_first(tmp_path: Path):
    alone = go(PLAIN, tmp_path / "alone", [], None)
    go(CORRECTED, tmp_path / "corrected", [3], tmp_path / "prefixes")
    assert go(PLAIN, tmp_path / "plain", [3], tmp_path / "prefixes") == alone
    assert forked_after(tmp_path / "plain") == 3


def test_a_run_that_finds_nothing_trains_all_of_it(tmp_path: Path, scratch: tuple[EpochMetrics, Any]):
    assert go(CORRECTED, tmp_path / "run", [3], tmp_path / "prefixes") == scratch[0]
    assert forked_after(tmp_path / "run") == 0


def test_a_run_that_another_has_trained_to_its_end_trains_nothing(tmp_path: Path):
    short = digits_run(epochs=2)
    long = go(digits_run(epochs=3), tmp_path / "long", [2], tmp_path / "prefixes")
    assert go(short, tmp_path / "short", [2], tmp_path / "prefixes") == {epoch: long[epoch] for epoch in (1, 2)}


class StopsAfterTwo(RecordFile):
    """Asks a run to stop after two epochs of its own."""

    _epochs = 0

    def epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        super().epoch(epoch, metrics)
        self._epochs += 1

    @property
    def stop_requested(self) -> bool:  # type: ignore[override]
        return self._epochs == 2


def test_a_forked_run_that_is_broken_off_goes_on_from_its_own_checkpoint(tmp_path: Path, scratch: tuple[EpochMetrics, Any]):
    assert max(go(PLAIN, tmp_path / "other", [2], tmp_path / "prefixes", StopsAfterTwo)) == 2
    broken = go(CORRECTED, tmp_path / "forked", [2], tmp_path / "prefixes", StopsAfterTwo)
    assert max(broken) == 4
    assert go(CORRECTED, tmp_path / "forked", [3], tmp_path / "prefixes") == scratch[0]
    assert [message["resumed_from"] for message in messages_in(tmp_path / "forked") if message["type"] == "started"] == [0, 4]


def test_others_never_inherit_a_gap(tmp_path: Path):
    go(PLAIN, tmp_path / "plain", [3], tmp_path / "prefixes", StopsAfterTwo)
    (tmp_path / "plain" / "records.jsonl").unlink()
    assert min(go(PLAIN, tmp_path / "plain", [3], tmp_path / "prefixes")) == 3
    assert not (tmp_path / "prefixes").exists()


def test_what_epochs_cost_is_not_inherited(tmp_path: Path):
    go(PLAIN, tmp_path / "plain", [3], tmp_path / "prefixes")
    go(CORRECTED, tmp_path / "forked", [3], tmp_path / "prefixes")
    seconds = {m["epoch"]: "train_seconds" in m["metrics"] for m in messages_in(tmp_path / "forked") if m["type"] == "epoch"}
    assert seconds == {1: False, 2: False, 3: False, 4: True, 5: True}
