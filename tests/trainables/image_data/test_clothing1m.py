"""Clothing1M on a few dozen pictures; and what an epoch draws of it."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torchvision import transforms

from tests.trainables.image_data.trees import write_clothing1m
from tests.trainables.runs import CPU, digits_run, record
from trainables.image_data._base import DATASETS, Dataset
from trainables.image_data.examples import Examples, load_splits

# Classes of 5, 4 and 1 examples, of 14.
TRAIN_LABELS = [0, 0, 1, 0, 2, 1, 0, 1, 0, 1]


def load(root: Path, **params: object) -> Dataset:
    return DATASETS["clothing1m"](DATASETS.params("clothing1m")(**({"verify": False} | params)), root)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_clothing1m(tmp_path_factory.mktemp("clothes"), TRAIN_LABELS)


@pytest.fixture(autouse=True)
def decode_in_this_process(monkeypatch):
    monkeypatch.setenv("NOISEGRID_LOADER_WORKERS", "0")


def clothes_run(**overrides):
    dataset = {"name": "clothing1m", "verify": False, "per_class": 2}
    return digits_run(**({"dataset": dataset, "noise": "clean", "split": {}, "model": "linear", "epochs": 1, "batch_size": 4} | overrides))


def test_lists_name_the_images_and_their_classes_in_order(root):
    dataset = load(root)
    assert dataset.train_paths[:2] == ["images/noisy_train/0,1.jpg", "images/noisy_train/1,1.jpg"]
    assert dataset.train_labels_N.tolist() == TRAIN_LABELS
    assert dataset.validation_labels_N.tolist() == list(range(14))
    assert sorted(dataset.test_labels_N.tolist()) == list(range(14)) != dataset.test_labels_N.tolist()
    assert (len(dataset.class_names), dataset.class_names[8], dataset.shape.image_size) == (14, "down coat", 224)
    assert not dataset.train_labels_are_true


def test_evaluation_images_are_the_authors(root):
    theirs = transforms.Compose(
        [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize((0.6959, 0.6537, 0.6371), (0.3113, 0.3192, 0.3214)),
        ]
    )
    # 270 x 300 and 280 x 300 pixels: where a margin is odd, centres differ by rounding.
    paths = [root / "clothing1m/images/clean_val" / f"{number},1.jpg" for number in (1, 2)]
    (ours,) = load(root).validation.feed([torch.tensor([1, 2])], CPU)
    torch.testing.assert_close(ours, torch.stack([theirs(Image.open(path)) for path in paths]), rtol=1e-5, atol=1e-5)


def test_crops_to_train_on_are_of_224_from_256_pixels(root):
    assert (load(root).train.framing.resized, load(root).train.framing.margin) == (256, 32)


def linked(root: Path, folder: Path) -> Path:
    """A folder for a run, whose data are the tree's."""
    folder.mkdir(exist_ok=True)
    (folder / "data").symlink_to(root)
    return folder


def given(labels: list[int], per_class: int | None = None, places: list[int] | None = None) -> Examples:
    """Examples without images."""
    labels_N = torch.tensor(labels)
    return Examples(None, labels_N, labels_N, torch.arange(len(labels)) if places is None else torch.tensor(places), per_class)


def test_an_epoch_draws_so_many_of_each_class_and_all_of_a_smaller_one():
    drawn = given(TRAIN_LABELS, per_class=3).of_epoch(seed=0)
    assert drawn.given_N[drawn.index_M].bincount().tolist() == [3, 3, 1]
    assert drawn.index_M.tolist() == sorted(set(drawn.index_M.tolist()))


def test_a_draw_is_a_function_of_its_seed_and_another_one_with_the_next():
    examples = given([0, 1] * 500, per_class=100)
    first, again, other = (examples.of_epoch(seed).index_M for seed in (1, 1, 2))
    assert torch.equal(first, again)
    # 200 of 1,000: two draws share 40 on average, with a standard deviation of 5.
    assert 20 <= len(set(first.tolist()) & set(other.tolist())) <= 60


def test_every_example_is_as_likely_to_be_drawn():
    examples = given([0] * 10 + [1] * 40, per_class=5)
    times = torch.stack([torch.zeros(50).index_fill(0, examples.of_epoch(seed).index_M, 1.0) for seed in range(2000)]).sum(0)
    # Binomial: 1,000 and 250 expected, standard deviations of 22 and 15.
    assert (times[:10] - 1000).abs().max() < 100
    assert (times[10:] - 250).abs().max() < 75


def test_a_draw_is_of_the_training_split_alone():
    examples = given(TRAIN_LABELS, per_class=2, places=[0, 2, 3, 5, 6])
    assert set(examples.of_epoch(seed=3).index_M.tolist()) <= {0, 2, 3, 5, 6}


def test_without_per_class_an_epoch_has_all():
    examples = given(TRAIN_LABELS)
    assert examples.of_epoch(seed=0) is examples


def test_a_run_trains_on_what_it_draws_and_validates_on_clean_labels(root, tmp_path):
    _, reporter = record(clothes_run(), linked(root, tmp_path))
    facts = reporter.facts
    assert (facts.num_train, facts.num_validation, facts.num_test) == (10, 14, 14)
    assert (facts.labels.validation_labels, facts.labels.realised_rate) == ("clean", None)
    assert {"validation_accuracy", "validation_loss", "test_accuracy", "train_accuracy"} <= reporter.epochs[1].keys()
    assert "pristine_fit_given" not in reporter.epochs[1]


def test_noise_leaves_the_validation_labels_clean(root):
    splits = load_splits(clothes_run(noise={"name": "symmetric", "rate": 1.0}), root, CPU)
    assert splits.validation is not None
    assert splits.validation.given_N.tolist() == list(range(14))
    assert (splits.train.given_N != torch.tensor(TRAIN_LABELS)).all()


def test_label_correction_looks_at_the_epochs_examples_alone(root, tmp_path):
    method = {"name": "sln", "sigma": 0.2, "variant": "clothing1m"}
    dataset = {"name": "clothing1m", "verify": False, "per_class": 1}
    run = clothes_run(dataset=dataset, method=method, ema={"decay": 0.9}, epochs=2)
    record(run, linked(root, tmp_path))
    targets_NK = torch.load(tmp_path / "run/checkpoint.pt", weights_only=True)["learner"]["method"]["targets_NK"]
    changed = (targets_NK != torch.eye(14)[TRAIN_LABELS]).any(dim=1)
    # Three are drawn, one of each class; the one with the highest loss keeps its label.
    assert changed.sum() == 2


def test_a_held_out_split_is_refused_because_the_data_set_has_its_own():
    with pytest.raises(ValidationError, match=r"split\.validation must be 0 with clothing1m, which brings clean images.*got 0\.1"):
        clothes_run(split={"validation": 0.1})


@pytest.mark.parametrize("name", ["noisy_train", "clean_val", "clean_test"])
def test_a_missing_list_is_told_with_where_it_comes_from_and_goes(tmp_path, name):
    write_clothing1m(tmp_path, [0, 1], [0], [1])
    (tmp_path / f"clothing1m/annotations/{name}.txt").unlink()
    with pytest.raises(FileNotFoundError, match=rf"annotations/{name}\.txt is missing: .*noisy_label.*clothing1m/images"):
        load(tmp_path)


def test_images_in_another_folder_are_told_at_once(tmp_path):
    write_clothing1m(tmp_path, [0, 1], [0], [1])
    (tmp_path / "clothing1m/images").rename(tmp_path / "clothing1m/pictures")
    with pytest.raises(FileNotFoundError, match=r"0,1\.jpg, the first image in .*noisy_train\.txt, is missing: put .*clothing1m/images"):
        load(tmp_path)


@pytest.mark.parametrize("line", ["images/1.jpg", "images/1.jpg 14", "images/1.jpg -1", "/etc/passwd 3", "../1.jpg 3", " 3"])
def test_a_line_of_another_kind_is_named(tmp_path, line):
    write_clothing1m(tmp_path, [0, 1], [0], [1])
    with (tmp_path / "clothing1m/annotations/noisy_train.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ValueError, match=r"noisy_train\.txt, line 3: expected a path below .*clothing1m and a class from 0 to 13"):
        load(tmp_path)


def test_a_shortened_list_is_taken_for_the_data_set_only_when_asked(root):
    with pytest.raises(ValueError, match=r"noisy_train\.txt lists 10 images, the published list 1,000,000: .*dataset\.verify to false"):
        load(root, verify=True)


def test_an_empty_list_is_refused(tmp_path):
    write_clothing1m(tmp_path, [0, 1], [0], [])
    with pytest.raises(ValueError, match=r"clean_test\.txt is empty"):
        load(tmp_path)
