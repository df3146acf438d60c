from pathlib import Path

import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from models._base import DataShape
from trainables.image_data._base import DATASETS, Dataset
from trainables.image_data.image_folder import ImageFolderParams

CPU = torch.device("cpu")
COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}


def write(tree: Path, test_folder: str = "test", images_per_class: int = 3) -> None:
    """A tree in which each class is a colour."""
    for part in ("train", test_folder):
        for name, colour in COLOURS.items():
            folder = tree / part / name
            folder.mkdir(parents=True)
            for number in range(images_per_class):
                Image.new("RGB", (20, 16), colour).save(folder / f"{number}.{'JPEG' if number else 'png'}")


def load(root: Path, **params: object) -> Dataset:
    return DATASETS["image_folder"](DATASETS.params("image_folder")(**({"path": "colours", "image_size": 14} | params)), root)


@pytest.fixture
def root(tmp_path) -> Path:
    write(tmp_path / "colours")
    return tmp_path


def colours(source) -> list[int]:
    """The class that each image's brightest channel stands for: blue, green, red."""
    images = torch.cat(list(source.feed(torch.arange(len(source)).split(4), CPU)))
    return (2 - images.mean((2, 3)).argmax(1)).tolist()


@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_labels_are_those_of_the_images_folders(root, cache):
    dataset = load(root, cache=cache)
    assert dataset.class_names == ["blue", "green", "red"]
    assert dataset.shape == DataShape(channels=3, image_size=14, num_classes=3)
    assert dataset.train_labels_N.tolist() == colours(dataset.train) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert dataset.test_labels_N.tolist() == colours(dataset.test)


def test_training_paths_are_relative_and_sorted(root):
    paths = load(root).train_paths
    assert paths[:4] == ["train/blue/0.png", "train/blue/1.JPEG", "train/blue/2.JPEG", "train/green/0.png"]
    assert paths == sorted(paths)


def test_the_first_test_images_are_not_of_one_class(root):
    """So that a part of the test set is a test of all classes."""
    labels = load(root).test_labels_N
    assert len(labels[:4].unique()) > 1
    assert sorted(labels.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("crop_from", "stored"), [("resized", 256), ("padded", 280)])
def test_crops_are_taken_from_a_larger_square(crop_from, stored):
    framing = ImageFolderParams(path="any", crop_from=crop_from).framing
    assert (framing.image_size, framing.stored_size) == (224, stored)


def test_val_is_the_test_set_where_there_is_no_test_folder(tmp_path):
    write(tmp_path / "colours", test_folder="val")
    assert len(load(tmp_path).test) == 9


def test_files_beside_the_images_are_passed_over(root):
    (root / "colours/train/labels.csv").write_text("path,label")
    (root / "colours/train/red/notes.txt").write_text("none")
    (root / "colours/train/.cache").mkdir()
    assert len(load(root).train) == 9


@pytest.mark.parametrize("missing", ["train", "test"])
def test_a_missing_part_is_named_with_the_layout(root, missing):
    (root / "colours" / missing).rename(root / "elsewhere")
    with pytest.raises(FileNotFoundError, match=rf"colours/{missing} is missing: .*train/CLASS/.*docs/datasets\.md"):
        load(root)


def test_a_class_without_images_is_named(root):
    (root / "colours/train/violet").mkdir()
    with pytest.raises(FileNotFoundError, match=r"train/violet has no images \(\.bmp, \.jpeg"):
        load(root)


def test_a_test_class_that_was_never_trained_on_is_refused(root):
    (root / "colours/test/red").rename(root / "colours/test/violet")
    with pytest.raises(ValueError, match=r"test has classes that .*train lacks: violet"):
        load(root)


def test_one_class_is_not_enough(root):
    for name in ("blue", "green"):
        for part in ("train", "test"):
            (root / "colours" / part / name).rename(root / f"{part}-{name}")
    with pytest.raises(FileNotFoundError, match="train has 1 class folders, at least 2"):
        load(root)


@pytest.mark.parametrize("path", ["/etc", "../other", "colours/../../other", ""])
def test_paths_out_of_the_data_folder_are_refused(path):
    with pytest.raises(ValidationError):
        ImageFolderParams(path=path)
