"""The training story: the same numbers again, after a break, and on two workers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, nn

from spec.records import EXAMPLES, RunState
from tests.trainables.runs import CPU, digits_run, on_two_workers, record
from trainables.checkpoint import Checkpoint
from trainables.image_data.examples import load_splits
from trainables.learner import build_learner
from trainables.measures.examples import read_fits
from trainables.train import batches_of
from trainables.world import World

LABEL_CORRECTION = {"method": {"name": "sln", "sigma": 0.5, "correct_from": 3}, "ema": {"decay": 0.9}, "epochs": 4}


def test_the_same_run_gives_the_same_numbers(tmp_path: Path):
    first, second = (record(digits_run(ema={"decay": 0.9}), tmp_path / name)[1] for name in ("a", "b"))
    assert first.epochs == second.epochs
    assert first.facts == second.facts


def test_the_global_generator_is_left_alone(tmp_path: Path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    record(digits_run(), tmp_path)
    torch.testing.assert_close(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["init", "order", "label", "target_noise"])
def test_each_named_seed_matters(name: str, tmp_path: Path):
    method = {"name": "sln", "sigma": 0.5}
    plain, changed = (record(digits_run(method=method, seeds=seeds, epochs=1), tmp_path / str(seeds))[1] for seeds in ({}, {name: 7}))
    assert plain.epochs[1]["objective"] != changed.epochs[1]["objective"]


def test_a_run_broken_off_between_epochs_ends_with_the_numbers_of_an_unbroken_one(tmp_path: Path):
    run = digits_run(**LABEL_CORRECTION)
    _, unbroken = record(run, tmp_path / "unbroken")
    state, before = record(run, tmp_path / "broken", stop_after=3)
    assert state == RunState.CANCELLED
    state, after = record(run, tmp_path / "broken")
    assert state == RunState.DONE
    assert after.facts.resumed_from == 3
    assert list(after.epochs) == [4]
    assert before.epochs | after.epochs == unbroken.epochs


def test_the_average_costs_the_raw_model_nothing(tmp_path: Path):
    _, without = record(digits_run(), tmp_path / "without")
    _, with_average = record(digits_run(ema={"decay": 0.9}), tmp_path / "with")
    assert without.epochs[2].items() <= with_average.epochs[2].items()
    assert "ema_test_accuracy" in with_average.epochs[2]


def test_the_average_is_the_textbooks(tmp_path: Path):
    run = digits_run(ema={"decay": 0.9})
    learner = build_learner(run, load_splits(run, tmp_path, CPU), World.alone(CPU))
    expected = [parameter.detach().clone() for parameter in learner.model.parameters()]
    for _ in range(3):
        for old, parameter in zip(expected, learner.model.parameters(), strict=True):
            parameter.data.add_(1.0)
            old.mul_(0.9).add_(0.1 * parameter.data)
        learner.average.update()
    torch.testing.assert_close(list(learner.average.module.parameters()), [nn.Parameter(value) for value in expected])


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path):
    record(digits_run(epochs=1), tmp_path)
    with pytest.raises(ValueError, match="another run"):
        record(digits_run(epochs=1, seed=1), tmp_path)


def test_a_kill_while_saving_leaves_the_checkpoint_before(tmp_path: Path):
    run = digits_run()
    learner = build_learner(run, load_splits(run, tmp_path, CPU), World.alone(CPU))
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", run)
    checkpoint.save(1, learner)
    (tmp_path / "checkpoint.partial").write_bytes(b"torn")
    assert checkpoint.restore(learner) == 1


def test_bfloat16_learns_what_float32_learns(tmp_path: Path):
    full, mixed = (record(digits_run(precision=name, epochs=4), tmp_path / name)[1].epochs[4] for name in ("float32", "bfloat16"))
    assert mixed["train_loss"] == pytest.approx(full["train_loss"], rel=0.05)
    assert mixed["train_loss"] != full["train_loss"]


@pytest.mark.parametrize(("examples", "batch_size", "workers", "sizes"), [(10, 4, 1, [4, 4, 2]), (9, 4, 2, [4, 5]), (9, 4, 1, [4, 4, 1])])
def test_batches_hold_every_example_once(examples: int, batch_size: int, workers: int, sizes: list[int]):
    batches = batches_of(torch.arange(examples), batch_size, workers)
    assert [len(batch) for batch in batches] == sizes
    assert torch.cat(batches).tolist() == list(range(examples))


# No batch norm, so that two workers must give one worker's numbers.
LINEAR = {"model": {"name": "linear"}, "split": {"train_size": 195, "validation": 0.1, "test_size": 99}, **LABEL_CORRECTION}


def _one_of_two(world: World, folder: Path) -> None:
    _, linear = record(digits_run(**LINEAR, workers=2), folder / "linear", world)
    # Batch norm has statistics of its own on each worker.
    run = digits_run(**LABEL_CORRECTION, workers=2)
    _, unbroken = record(run, folder / "unbroken", world)
    stopped, before = record(run, folder / "broken", world, stop_after=3)
    _, after = record(run, folder / "broken", world)
    outcome = {"folder": str(folder), "labels": linear.facts.labels.model_dump(), "linear": linear.epochs, "unbroken": unbroken.epochs}
    torch.save(outcome | {"stopped": str(stopped), "resumed": before.epochs | after.epochs}, folder / f"{world.rank}.pt")


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two workers saw of the same runs."""
    folder = tmp_path_factory.mktemp("two workers")
    on_two_workers(_one_of_two, folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def test_two_workers_give_one_workers_labels_and_numbers(two_workers: list[dict[str, Any]], tmp_path: Path):
    first, second = two_workers
    _, alone = record(digits_run(**LINEAR), tmp_path)
    assert first["labels"] == second["labels"] == alone.facts.labels.model_dump()
    assert second["linear"] == {}, "only the first worker reports"
    assert first["linear"].keys() == alone.epochs.keys()
    for epoch, metrics in alone.epochs.items():
        assert first["linear"][epoch] == pytest.approx(metrics, rel=1e-4, abs=1e-5)


def test_two_workers_leave_one_workers_examples(two_workers: list[dict[str, Any]], tmp_path: Path):
    record(digits_run(**LINEAR), tmp_path)
    paths = [Path(two_workers[0]["folder"]) / "linear" / "run" / EXAMPLES, tmp_path / "run" / EXAMPLES]
    together, alone = (read_fits(path.read_bytes(), 2**20) for path in paths)
    for prefix in ("", "ema_"):
        for name, column in alone.columns(prefix).items():
            np.testing.assert_allclose(together.columns(prefix)[name], column, rtol=1e-3, atol=1e-4, err_msg=f"{prefix}{name}")


def test_two_workers_broken_off_end_with_the_numbers_of_an_unbroken_run(two_workers: list[dict[str, Any]]):
    first, second = two_workers
    assert first["stopped"] == second["stopped"] == "cancelled"
    assert list(first["resumed"]) == [1, 2, 3, 4]
    assert first["resumed"] == first["unbroken"]


def test_workers_that_differ_in_their_labels_are_refused(monkeypatch: pytest.MonkeyPatch):
    def gather(texts: list[str], text: str) -> None:
        texts[:] = [text, "other"]

    monkeypatch.setattr(distributed, "all_gather_object", gather)
    with pytest.raises(RuntimeError, match="differ in their noisy labels"):
        World(0, 2, CPU).check_same("hash", "their noisy labels")
