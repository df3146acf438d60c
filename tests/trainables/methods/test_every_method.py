"""Rules that every method keeps, on real digits: finite numbers, the same after a break, the same on two workers."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from spec.run import RunConfig
from tests.trainables.image_data.trees import write_clothing1m
from tests.trainables.runs import digits_run, on_two_workers, record
from trainables.methods._base import METHODS
from trainables.world import World

DOCUMENT = Path(__file__).parents[3] / "docs" / "methods.md"

# Parameters that a method needs, or that bring its later stages into three epochs.
STAGED: dict[str, dict[str, Any]] = {
    "sln": {"sigma": 0.5},
    "gce": {"truncate_at": 0.1, "truncate_from": 2},
    "forward": {"estimate_from": 2},
    "backward": {"estimate_from": 2},
    "label_smoothing": {"rate": -0.4, "smooth_from": 2},
    "co_teaching": {"forget_rate": 0.4, "num_gradual": 2},
}
# Parameters that eight epochs on 800 digits are enough for.
PLAIN: dict[str, dict[str, Any]] = {
    "sln": {"sigma": 0.2},
    "forward": {"symmetric_rate": 0.4},
    "backward": {"symmetric_rate": 0.4},
    "co_teaching": {"forget_rate": 0.4},
}
# Where these parameters leave nothing of a method but cross-entropy.
NEUTRAL: dict[str, dict[str, Any]] = {
    "sln": {"sigma": 0.0},
    "gce": {"q": 1e-6},
    "sce": {"alpha": 1.0, "beta": 0.0},
    "bootstrap": {"beta": 1.0},
    "forward": {"symmetric_rate": 0.0},
    "backward": {"symmetric_rate": 0.0},
    "label_smoothing": {"rate": 0.0},
    "elr": {"weight": 0.0},
    "co_teaching": {"forget_rate": 0.0},
}


def run_of(name: str, settings: dict[str, dict[str, Any]] = STAGED, **overrides: Any) -> RunConfig:
    return digits_run(**{"method": {"name": name} | settings.get(name, {}), "epochs": 3} | overrides)


@pytest.mark.parametrize("name", list(METHODS))
def test_a_run_is_finite_and_a_broken_one_ends_with_its_numbers(name: str, tmp_path: Path):
    run = run_of(name, ema={"decay": 0.9})
    _, unbroken = record(run, tmp_path / "unbroken")
    assert all(math.isfinite(value) for metrics in unbroken.epochs.values() for value in metrics.values())
    _, before = record(run, tmp_path / "broken", stop_after=2)
    _, after = record(run, tmp_path / "broken")
    assert before.epochs | after.epochs == unbroken.epochs


@pytest.mark.parametrize("name", list(METHODS))
def test_it_learns_digits(name: str, tmp_path: Path):
    _, kept = record(run_of(name, PLAIN, split={"train_size": 800, "test_size": 100}, epochs=8), tmp_path)
    assert kept.epochs[8]["test_accuracy"] > 0.4, "ten classes, and two of five labels are wrong"


@pytest.mark.parametrize("name", NEUTRAL)
def test_at_neutral_parameters_a_method_is_cross_entropy(name: str, tmp_path: Path):
    _, expected = record(run_of("ce"), tmp_path / "ce")
    _, neutral = record(run_of(name, NEUTRAL), tmp_path / name)
    assert neutral.epochs[3]["test_loss"] == pytest.approx(expected.epochs[3]["test_loss"], rel=1e-4)
    assert neutral.epochs[3]["corrupt_fit_given"] == expected.epochs[3]["corrupt_fit_given"]


# No batch norm, so that two workers must give one worker's numbers; shares and batches of odd sizes.
LINEAR = {"model": {"name": "linear"}, "split": {"train_size": 195, "validation": 0.1, "test_size": 99}, "batch_size": 61}
# Each epoch draws five of ten examples, which two workers share as three and two; label correction looks at those alone.
BALANCED = {
    "dataset": {"name": "clothing1m", "verify": False, "per_class": 2},
    "noise": "clean",
    "model": "linear",
    "method": {"name": "sln", "sigma": 0.2, "variant": "clothing1m"},
    "ema": {"decay": 0.9},
    "optimizer": {"name": "sgd", "lr": 1e-5},
    "split": {},
    "batch_size": 5,
    "epochs": 3,
}
# An odd number, with channels last in memory as training has them.
IMAGES = torch.arange(5 * 3 * 4 * 4.0).reshape(5, 3, 4, 4).to(memory_format=torch.channels_last)


def _one_of_two(world: World, folder: Path) -> None:
    torch.save(world.join(world.share(IMAGES)), folder / f"joined{world.rank}.pt")
    for name in METHODS:
        _, reporter = record(run_of(name, **LINEAR, workers=2), folder / name, world)
        if world.rank == 0:
            torch.save(reporter.epochs, folder / f"{name}.pt")
    _, reporter = record(digits_run(**BALANCED, workers=2), folder / "balanced", world)
    if world.rank == 0:
        torch.save(reporter.epochs, folder / "balanced.pt")


@pytest.mark.parametrize("name", list(METHODS))
def test_a_run_that_is_read_back_is_the_same_run(name: str):
    run = run_of(name)
    assert digits_run(**json.loads(json.dumps(run.resolved()))).run_id == run.run_id


@pytest.fixture(scope="module")
def of_two_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    write_clothing1m(folder / "balanced" / "data", [0, 0, 1, 0, 2, 1, 0, 1, 0, 1])
    on_two_workers(_one_of_two, folder)
    return folder


@pytest.mark.parametrize("rank", [0, 1])
def test_workers_join_their_shares_of_images(rank: int, of_two_workers: Path):
    torch.testing.assert_close(torch.load(of_two_workers / f"joined{rank}.pt"), IMAGES, rtol=0, atol=0)


def method_state(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "run" / "checkpoint.pt", weights_only=True)["learner"]["method"]


@pytest.mark.parametrize("name", list(METHODS))
def test_two_workers_give_one_workers_numbers_and_state(name: str, of_two_workers: Path, tmp_path: Path):
    _, alone = record(run_of(name, **LINEAR), tmp_path)
    together = torch.load(of_two_workers / f"{name}.pt")
    assert together.keys() == alone.epochs.keys()
    for epoch, metrics in alone.epochs.items():
        assert together[epoch] == pytest.approx(metrics, rel=1e-3, abs=1e-4)
    torch.testing.assert_close(method_state(of_two_workers / name), method_state(tmp_path), rtol=1e-3, atol=1e-4)


def test_two_workers_draw_and_correct_what_one_does(of_two_workers: Path, tmp_path: Path):
    (tmp_path / "data").symlink_to(of_two_workers / "balanced" / "data")
    _, alone = record(digits_run(**BALANCED), tmp_path)
    together = torch.load(of_two_workers / "balanced.pt")
    assert together.keys() == alone.epochs.keys()
    for epoch, metrics in alone.epochs.items():
        assert together[epoch] == pytest.approx(metrics, rel=1e-3, abs=1e-4)
    torch.testing.assert_close(method_state(of_two_workers / "balanced"), method_state(tmp_path), rtol=1e-3, atol=1e-4)


def test_the_document_names_every_method_with_all_its_parameters():
    sections = DOCUMENT.read_text(encoding="utf-8").split("\n## ")
    for name in METHODS:
        (section,) = (text for text in sections if name in text.partition("\n")[0].split(", "))
        parameters = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        assert sorted(parameters) == sorted(METHODS.params(name).model_fields.keys() - {"name"}), name


def test_the_documents_examples_are_valid():
    examples = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    named = {digits_run(**yaml.safe_load(example), epochs=300).method.name for example in examples}
    assert named == set(METHODS)
