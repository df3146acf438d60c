"""Images of another data set in place of some, as two arrays of indices."""

import hashlib
from typing import Any

import numpy as np
import pytest
import torch

from noise._base import NOISES, CleanLabels, Corruption, Replacement
from noise.labels import NoisyLabels, corrupt, labels_hash
from noise.re_sln import ReSLNParams, replace_images

SOURCES = {"others": 4000, "few": 100}
CLEAN = CleanLabels(torch.arange(3000) % 3, ["a", "b", "c"], count_images=SOURCES.__getitem__)


def openset(seed: int = 0, clean: CleanLabels = CLEAN, **params: Any) -> NoisyLabels:
    return corrupt(clean, NOISES.params("openset")(**{"rate": 0.4, "source": "others", **params}), seed)


def pairs(labels: NoisyLabels) -> dict[int, int]:
    assert labels.replaced is not None
    return dict(zip(labels.replaced.index_in_train_M.tolist(), labels.replaced.index_in_source_M.tolist(), strict=True))


def test_labels_stay_and_replaced_images_are_the_corrupt_ones():
    labels = openset()
    assert torch.equal(labels.noisy_N, CLEAN.labels_N)
    assert labels.is_corrupted_N.nonzero().squeeze(1).tolist() == list(pairs(labels))
    assert (labels.card.num_corrupt, labels.card.num_replaced, labels.card.realised_rate) == (1200, 1200, 0.4)
    assert labels.card.replaced_from == "others"
    assert labels.card.counts == [[1000, 0, 0], [0, 1000, 0], [0, 0, 1000]]


def test_no_image_is_shown_twice():
    shown = list(pairs(openset(rate=1.0)).values())
    assert len(set(shown)) == 3000
    assert (min(shown) >= 0, max(shown) < 4000) == (True, True)


def test_images_are_drawn_from_all_of_the_source():
    # 3,000 of 4,000: of each quarter 750 are expected, with a standard deviation below 13.
    quarters = torch.tensor(list(pairs(openset(rate=1.0)).values())).div(1000, rounding_mode="floor").bincount()
    assert (quarters - 750).abs().max() < 60


def test_another_seed_replaces_others():
    assert pairs(openset(seed=0)) == pairs(openset(seed=0)) != pairs(openset(seed=1))


@pytest.mark.parametrize("count", ["bernoulli", "exact"])
def test_a_higher_rate_shows_the_same_images_at_the_same_places_and_more(count):
    low, high = (pairs(openset(rate=rate, count=count)) for rate in (0.2, 0.6))
    assert low.items() < high.items()


def test_counts_may_be_by_chance_or_exact_in_each_class():
    assert openset(count="exact_per_class").card.corrupt_by_class == [400] * 3
    by_chance = openset(count="bernoulli").card
    assert by_chance.num_replaced != 1200
    assert by_chance.realised_rate == pytest.approx(0.4, abs=0.036)
    assert [round(rate * 1000) for rate in by_chance.rate_by_class if rate] == by_chance.corrupt_by_class


def test_rate_zero_is_no_noise():
    labels = openset(rate=0.0)
    assert labels.replaced is None
    assert (labels.card.num_replaced, labels.card.noisy_hash) == (0, labels.card.clean_hash)


def test_runs_that_show_other_images_have_other_labels_by_name():
    """The labels are the clean ones in all three; whoever compares runs by this hash must not take them for the same."""
    cards = [openset(seed).card for seed in (0, 1)]
    assert len({cards[0].clean_hash, cards[0].noisy_hash, cards[1].noisy_hash}) == 3
    assert cards[0].replacement_hash != cards[1].replacement_hash


def test_identity_of_replaced_images_is_that_of_the_two_arrays_and_the_source():
    replaced = Replacement("cifar100", torch.tensor([0, 258]), torch.tensor([2, 1]))

    def little_endian(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(8, "little") for number in numbers)

    replacement = hashlib.sha256(b"cifar100\0" + little_endian(0, 258, 2, 1)).digest()
    assert labels_hash(torch.tensor([1, 0]), replaced) == hashlib.sha256(little_endian(1, 0) + replacement).hexdigest()


def test_a_source_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match=r"1200 images are to be replaced, but few has 100: lower noise.rate"):
        openset(source="few")


def test_labels_without_access_to_other_data_are_refused():
    with pytest.raises(ValueError, match="shows images of others, and these labels come without access"):
        openset(clean=CleanLabels(CLEAN.labels_N, CLEAN.class_names))


@pytest.mark.parametrize(
    ("places", "sources", "message"),
    [
        ([0, 0], [1, 2], "ascending places"),
        ([3, 1], [1, 2], "ascending places"),
        ([0, 3000], [1, 2], r"ascending places in \[0, 3000\)"),
        ([0, 1], [1], "one image of others for each place"),
        ([0, 1], [1, 4000], "asks for images 1 to 4000 of others, which has 4000 training images"),
        ([0, 1], [-1, 2], "asks for images -1 to 2"),
    ],
)
def test_a_kind_that_replaces_what_it_cannot_is_caught(monkeypatch, places, sources, message):
    replaced = Replacement("others", torch.tensor(places), torch.tensor(sources))
    monkeypatch.setitem(NOISES._parts, "clean", lambda clean, params, generator: Corruption(clean.labels_N.clone(), replaced))
    with pytest.raises(ValueError, match=message):
        corrupt(CLEAN, NOISES.params("clean")(), 0)


# As in the published program.


def test_re_sln_s_indices_are_numpys():
    replaced = replace_images(50_000, 50_000, ReSLNParams(mode="openset", rate=0.4))
    # The first images that the program's published list for CIFAR-10 at 0.4 has as replaced.
    assert replaced.index_in_train_M[:14].tolist() == [1, 5, 8, 14, 15, 19, 20, 23, 26, 27, 29, 30, 31, 32]
    places = np.random.RandomState(123).choice(50_000, 20_000, replace=False)
    sources = np.random.RandomState(246).choice(50_000, 20_000, replace=False)
    assert dict(zip(replaced.index_in_train_M.tolist(), replaced.index_in_source_M.tolist(), strict=True)) == dict(
        zip(places.tolist(), sources.tolist(), strict=True)
    )


@pytest.mark.real_data
def test_re_sln_replaces_about_the_same_share_of_every_class(shared_data):
    with (shared_data / "sln_labels/cifar10-sym0.4_custom.csv").open() as rows:
        clean_N = torch.tensor([int(row.split(",")[0]) for row in list(rows)[1:]])
    clean = CleanLabels(clean_N, [str(k) for k in range(10)], count_images=lambda source: 50_000)
    card = corrupt(clean, NOISES.params("re_sln")(mode="openset", rate=0.4), seed=9).card
    assert (card.num_replaced, card.replaced_from) == (20_000, "cifar100")
    assert (min(card.rate_by_class), max(card.rate_by_class)) == pytest.approx((0.391, 0.409), abs=0.0005)


@pytest.mark.parametrize(("name", "params"), [("openset", {"source": "cifar100"}), ("re_sln", {"mode": "openset"})])
def test_a_data_set_is_no_source_for_itself(name, params):
    class Run:
        class dataset:
            name = "cifar100"

    with pytest.raises(ValueError, match="the run's own"):
        NOISES.params(name)(rate=0.4, **params).check_run(Run)
