"""Samples: which images are chosen, that they are the run's, and what is said of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainables.image_data.test_cifar import write
from tests.trainables.image_data.test_image_folder import load
from tests.trainables.image_data.test_image_folder import write as write_colours
from tests.trainables.image_data.trees import write_animal10n
from tests.trainables.runs import CPU, digits_run
from trainables.image_data._base import DATASETS
from trainables.image_data.cifar10 import CIFAR10
from trainables.image_data.cifar100 import CIFAR100
from trainables.image_data.examples import load_splits
from trainables.image_data.samples import choose, draw_samples


@pytest.mark.parametrize(
    ("pristine", "corrupt", "expected"), [(100, 100, (16, 16)), (100, 0, (32, 0)), (100, 3, (29, 3)), (5, 100, (5, 27)), (4, 5, (4, 5))]
)
def test_sixteen_of_each_and_more_of_one_where_the_other_is_short(pristine: int, corrupt: int, expected: tuple[int, int]):
    is_corrupted_N = torch.tensor([False] * pristine + [True] * corrupt)
    index_B = choose(is_corrupted_N, seed=0)
    assert len(set(index_B.tolist())) == sum(expected)
    assert is_corrupted_N[index_B].tolist() == [False] * expected[0] + [True] * expected[1]


def test_the_same_labels_have_the_same_samples_and_other_labels_others(tmp_path: Path):
    def indices(**overrides: object) -> list[int]:
        return [sample.index for sample in draw_samples(digits_run(**overrides), tmp_path).samples]

    assert indices() == indices(seed=3, seeds={"label": 0}, method={"name": "sln", "sigma": 1.0})
    assert indices() != indices(seed=3)


def test_samples_are_the_images_and_labels_that_the_run_is_given(tmp_path: Path):
    run = digits_run()
    drawn, train = draw_samples(run, tmp_path), load_splits(run, tmp_path, CPU).train
    assert [sample.is_corrupt for sample in drawn.samples] == [False] * 16 + [True] * 16
    for sample in drawn.samples:
        assert (sample.given, sample.true) == (str(int(train.given_N[sample.index])), str(int(train.true_N[sample.index])))
        assert sample.is_corrupt == (sample.given != sample.true)
        normalised_SS = next(iter(train.images.feed([torch.tensor([sample.index])], CPU)))[0, 0].numpy()
        pixels = (normalised_SS * 0.3761 + 0.3054) * 255
        np.testing.assert_allclose(sample.image[..., 0], pixels, atol=0.51)
        assert sample.image.shape == (8, 8, 3)


def test_replaced_images_say_where_they_are_from(tmp_path: Path):
    write(CIFAR10, tmp_path, examples_per_file=8)
    write(CIFAR100, tmp_path, examples_per_file=40)
    run = digits_run(dataset={"name": "cifar10", "verify": False}, split={}, noise={"name": "openset", "rate": 0.4}, batch_size=8)
    source = DATASETS["cifar100"](DATASETS.params("cifar100")(verify=False), tmp_path).train
    replaced = [sample for sample in draw_samples(run, tmp_path).samples if sample.is_corrupt]
    assert len(replaced) == 16
    for sample in replaced:
        assert sample.source is not None
        assert (sample.source[0], sample.true) == ("cifar100", None)
        shown_CSS = source.pictures(torch.tensor([sample.source[1]]))[0]
        np.testing.assert_array_equal(sample.image, (255 * shown_CSS).round().permute(1, 2, 0).byte().numpy())


def test_nobody_says_what_is_true_where_published_labels_are_wrong(tmp_path: Path):
    write_animal10n(tmp_path)
    run = digits_run(dataset={"name": "animal10n", "verify": False}, split={}, noise="clean", batch_size=8)
    drawn = draw_samples(run, tmp_path)
    assert not drawn.card.truth_is_known
    assert {sample.true for sample in drawn.samples} == {None}


def test_streamed_images_look_as_those_in_memory(tmp_path: Path):
    write_colours(tmp_path / "colours")
    streamed, kept = (load(tmp_path, cache=cache).train.pictures(torch.tensor([0, 4, 8])) for cache in ("stream", "memory"))
    torch.testing.assert_close(streamed, kept)
    # Blue, green, red, where the framing's black border is not seen.
    assert (2 - streamed.mean((2, 3)).argmax(1)).tolist() == [0, 1, 2]
    assert (streamed.shape, streamed.max() <= 1) == ((3, 3, 14, 14), True)
