"""Animal-10N on a tree of thirty training and twenty test pictures."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from models._base import DataShape
from tests.trainables.image_data.trees import write_animal10n
from tests.trainables.runs import CPU, digits_run, record
from trainables.image_data._base import DATASETS, Dataset
from trainables.image_data.animal10n import label_of, read_pixels


def load(root: Path, **params: object) -> Dataset:
    return DATASETS["animal10n"](DATASETS.params("animal10n")(**({"verify": False} | params)), root)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_animal10n(tmp_path_factory.mktemp("animals"))


def images(source) -> torch.Tensor:
    return torch.cat(list(source.feed([torch.arange(len(source))], CPU)))


def test_training_examples_are_in_order_of_their_names_with_the_class_before_the_underscore(root):
    dataset = load(root)
    assert dataset.train_paths[:2] == ["training/0_img_1553496947496.jpg", "training/0_img_1553496947506.jpg"]
    assert list(dataset.train_paths) == sorted(dataset.train_paths)
    assert dataset.train_labels_N.tolist() == [label for label in range(10) for _ in range(3)]
    assert dataset.shape == DataShape(channels=3, image_size=32, num_classes=10)
    assert dataset.class_names[3] == "coyote"


def test_the_first_test_images_are_of_many_classes(root):
    labels = load(root).test_labels_N
    assert len(labels[:10].unique()) >= 5
    assert sorted(labels.tolist()) == [label for label in range(10) for _ in range(2)]


def all_pixels(folder: Path) -> np.ndarray:
    return np.stack([np.array(Image.open(path)) for path in sorted(folder.iterdir())]) / 255


def test_normalisation_is_of_all_training_pixels_as_published_whatever_the_size(root):
    pixels_NHWC = all_pixels(root / "animal10n/training")
    for image_size in (32, 64):
        normalisation = load(root, image_size=image_size).train.normalisation
        assert normalisation.mean_C == pytest.approx(pixels_NHWC.mean((0, 1, 2)))
        assert normalisation.std_C == pytest.approx(pixels_NHWC.std((0, 1, 2)))
    assert load(root).test.normalisation == load(root).train.normalisation


@pytest.mark.parametrize("image_size", [32, 64])
def test_images_are_torchvisions(root, image_size):
    dataset = load(root, image_size=image_size)
    normalisation = dataset.train.normalisation
    theirs = transforms.Compose(
        [transforms.Resize(image_size), transforms.ToTensor(), transforms.Normalize(normalisation.mean_C, normalisation.std_C)]
    )
    expected = torch.stack([theirs(Image.open(path)) for path in sorted((root / "animal10n/training").iterdir())])
    torch.testing.assert_close(images(dataset.train), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("image_size", "margin"), [(32, 8), (64, 16)])
def test_crops_reach_an_eighth_of_the_image_over_its_edge(root, image_size, margin):
    assert load(root, image_size=image_size).train.margin == margin


def test_what_is_read_does_not_depend_on_the_number_of_threads(root):
    paths = sorted((root / "animal10n/training").iterdir())
    threads = torch.get_num_threads()
    read = []
    try:
        for number in (1, 4):
            torch.set_num_threads(number)
            read.append(read_pixels(paths, 32))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(read[0][0], read[1][0])
    assert read[0][1] == read[1][1]


@pytest.mark.parametrize("name", ["10_img_1.jpg", "cat_1.jpg", "3.jpg", "_1.jpg", "-1_1.jpg", "³_1.jpg"])
def test_a_name_without_a_class_is_refused(name):
    with pytest.raises(ValueError, match=r"should be called CLASS_\.\.\.\.jpg, where CLASS is from 0 to 9"):
        label_of(Path(name))


def test_missing_files_are_told_with_where_they_come_from_and_go(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"training has no images: .*kaist.*animal10n/training and .*animal10n/testing"):
        load(tmp_path)


def test_a_part_of_the_images_is_taken_for_the_data_set_only_when_asked(root):
    with pytest.raises(ValueError, match=r"training has 30 images, 50,000 were published: .*dataset\.verify to false"):
        load(root, verify=True)


@pytest.fixture
def run(root, tmp_path):
    """Executes a run on the tree, one epoch unless told otherwise."""

    def execute(**overrides):
        (tmp_path / "data").symlink_to(root)
        animals = {"dataset": {"name": "animal10n", "verify": False}, "noise": "clean", "split": {}, "model": "linear", "epochs": 1}
        return record(digits_run(**(animals | overrides)), tmp_path)[1]

    return execute


def test_a_run_claims_no_rate_and_no_fit_of_right_and_wrong_labels_where_nobody_knows_them(run):
    reporter = run()
    card = reporter.facts.labels
    assert (card.realised_rate, card.truth_is_known, card.rate_by_class) == (None, False, [None] * 10)
    assert (card.num_examples, card.num_corrupt, card.validation_labels) == (30, 0, "noisy")
    assert {"train_accuracy", "train_loss", "test_accuracy"} <= reporter.epochs[1].keys()
    assert [name for name in reporter.epochs[1] if "pristine" in name or "corrupt" in name] == []


def test_noise_on_top_is_counted_and_still_no_rate_is_claimed(run):
    reporter = run(noise={"name": "symmetric", "rate": 0.4, "count": "exact"})
    assert (reporter.facts.labels.realised_rate, reporter.facts.labels.num_corrupt) == (None, 12)
    assert "corrupt_fit_given" not in reporter.epochs[1]
