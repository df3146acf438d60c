"""Feature-dependent noise on the digits: exact, repeatable, and where a network errs."""

from pathlib import Path
from typing import Any

import pytest
import torch

from noise.files import LabelFile, file_bytes, write_whole
from spec.run import RunConfig
from tests.trainables.runs import CPU, digits_run
from trainables.image_data.examples import load_splits
from trainables.mistakes import dependent_labels, mean_probabilities
from trainables.world import World

ALONE = World.alone(CPU)


def clean_run(**overrides: Any) -> RunConfig:
    return digits_run(**({"noise": "clean", "split": {"test_size": 100}, "epochs": 3} | overrides))


@pytest.fixture(scope="module")
def labels() -> LabelFile:
    return dependent_labels(clean_run(), 0.3, Path(), ALONE)


def test_exactly_the_share_asked_for_is_wrong(labels: LabelFile):
    assert (labels.card.num_examples, labels.card.num_corrupt) == (1437, round(0.3 * 1437))
    assert (labels.card.noise, labels.card.noise_rate) == ("dependent", 0.3)


def test_the_same_run_makes_the_same_file(labels: LabelFile):
    assert file_bytes(dependent_labels(clean_run(), 0.3, Path(), ALONE)) == file_bytes(labels)


def test_wrong_labels_gather_where_classes_look_alike(labels: LabelFile):
    """By chance, each of the 90 pairs of classes would have 4.8 of the 431 flips."""
    counts_KK = torch.tensor(labels.card.counts)
    assert counts_KK[~torch.eye(10, dtype=torch.bool)].max() > 15


def test_probabilities_are_means_over_the_epochs():
    after_one = mean_probabilities(clean_run(epochs=1), Path(), ALONE, lambda epoch: None)
    epochs: list[int] = []
    after_two = mean_probabilities(clean_run(epochs=2), Path(), ALONE, epochs.append)
    assert epochs == [1, 2]
    second = 2 * after_two - after_one
    torch.testing.assert_close(second.sum(1), torch.ones(1437, dtype=torch.float64))
    assert second.min() > -1e-9
    assert not torch.equal(after_one, after_two)


def test_a_run_takes_the_labels_from_the_file(labels: LabelFile, tmp_path: Path):
    write_whole(tmp_path / "dependent.json", file_bytes(labels))
    run = digits_run(noise={"name": "recorded", "path": "dependent.json"})
    assert load_splits(run, tmp_path, CPU).label_card.noisy_hash == labels.card.noisy_hash


@pytest.mark.parametrize(
    "overrides", [{"noise": {"name": "pair", "rate": 0.1}}, {"split": {"validation": 0.1}}, {"split": {"train_size": 200}}]
)
def test_runs_that_do_not_learn_the_whole_clean_set_are_refused(overrides: dict[str, Any]):
    with pytest.raises(ValueError, match="noise `clean` and no split"):
        dependent_labels(clean_run(**overrides), 0.3, Path(), ALONE)
