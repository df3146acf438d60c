"""What a run is shown where noise replaced images: CIFAR files with random pixels, four of each."""

from pathlib import Path
from typing import Any

import pytest
import torch

from noise.labels import corrupt
from spec.run import RunConfig
from tests.trainables.image_data.test_cifar import write
from tests.trainables.runs import CPU, digits_run, record
from trainables.image_data._base import DATASETS
from trainables.image_data.cifar10 import CIFAR10
from trainables.image_data.cifar100 import CIFAR100
from trainables.image_data.examples import NO_CLASS, clean_labels, load_splits

UNVERIFIED = {"name": "cifar10", "verify": False}


@pytest.fixture
def root(tmp_path) -> Path:
    write(CIFAR10, tmp_path / "data", examples_per_file=8)
    write(CIFAR100, tmp_path / "data", examples_per_file=40)
    return tmp_path / "data"


def openset_run(**overrides: Any) -> RunConfig:
    base = {"dataset": UNVERIFIED, "split": {}, "noise": {"name": "openset", "rate": 0.4}, "batch_size": 8}
    return digits_run(**(base | overrides))


def stored(name: str, root: Path) -> torch.Tensor:
    params = DATASETS.params(name)(verify=False)
    return DATASETS[name](params, root).train._pixels_NCHW


def test_replaced_images_are_the_other_data_sets_and_all_others_as_they_were(root):
    run = openset_run()
    dataset = DATASETS["cifar10"](run.dataset, root)
    labels = corrupt(clean_labels(dataset, run.dataset, root), run.noise, run.seeds.label)
    shown = load_splits(run, root, CPU).train.images._pixels_NCHW
    assert labels.replaced is not None
    assert len(labels.replaced) == 16
    assert torch.equal(shown[labels.replaced.index_in_train_M], stored("cifar100", root)[labels.replaced.index_in_source_M])
    assert torch.equal(shown[~labels.is_corrupted_N], stored("cifar10", root)[~labels.is_corrupted_N])


def test_the_data_set_itself_is_left_as_it_is(root):
    before = stored("cifar10", root).clone()
    load_splits(openset_run(), root, CPU)
    assert torch.equal(stored("cifar10", root), before)


def test_replaced_images_are_normalised_like_the_data_sets_own(root):
    images = load_splits(openset_run(noise={"name": "openset", "rate": 1.0}), root, CPU).train.images
    assert images.normalisation == CIFAR10.normalisation


def test_replaced_images_are_of_no_class_and_count_as_corrupt(root):
    splits = load_splits(openset_run(split={"validation": 0.25}), root, CPU)
    assert splits.label_card.num_replaced == 16
    assert (splits.train.true_N == NO_CLASS).sum() == 16
    assert (splits.train.true_N != splits.train.given_N).sum() == 16
    assert splits.validation is not None
    assert splits.validation.images is splits.train.images


def test_a_run_measures_how_the_replaced_images_are_fitted(root, tmp_path):
    _, reporter = record(openset_run(epochs=1), tmp_path)
    assert {"pristine_fit_given", "corrupt_fit_given"} <= reporter.epochs[1].keys()
    assert reporter.epochs[1]["corrupt_recovered_true"] == 0
    assert reporter.facts.labels.replaced_from == "cifar100"


def test_images_of_another_size_are_refused(root):
    with pytest.raises(ValueError, match=r"images of 1 x 8 x 8 pixels from 0 to 16.*cannot be shown among images of 3 x 40 x 40"):
        load_splits(openset_run(noise={"name": "openset", "rate": 0.4, "source": "digits"}), root, CPU)


@pytest.mark.parametrize(
    ("source", "message"), [("cifar1000", "unknown dataset 'cifar1000'.*did you mean 'cifar100'"), ("image_folder", "path")]
)
def test_a_source_that_cannot_be_read_is_named(root, source, message):
    with pytest.raises((ValueError, KeyError), match=message):
        load_splits(openset_run(noise={"name": "openset", "rate": 0.4, "source": source}), root, CPU)


def test_features_are_the_images_in_index_order(root):
    run = openset_run()
    dataset = DATASETS["cifar10"](run.dataset, root)
    features_NF = torch.cat(list(clean_labels(dataset, run.dataset, root).features()))
    (images_NCHW,) = dataset.train.feed([torch.arange(40)], CPU)
    torch.testing.assert_close(features_NF, images_NCHW.flatten(1))
