"""Noise that depends on the image: against SciPy's truncated normal, and against the formula one example at a time."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from noise import instance as module
from noise._base import NOISES, CleanLabels
from noise.instance import draw_maps, flip_rates, wrong_classes
from noise.labels import NoisyLabels, corrupt


def data_set(num_examples: int = 3000, num_classes: int = 3, num_features: int = 8, batch: int = 512) -> CleanLabels:
    features_NF = torch.randn(num_examples, num_features, generator=torch.Generator().manual_seed(0))
    names = [f"class {k}" for k in range(num_classes)]
    return CleanLabels(torch.arange(num_examples) % num_classes, names, read_features=lambda: iter(features_NF.split(batch)))


def noisy(clean: CleanLabels | None = None, seed: int = 0, **params: Any) -> NoisyLabels:
    return corrupt(clean or data_set(), NOISES.params("instance")(**{"rate": 0.4, **params}), seed)


@pytest.mark.parametrize(("rate", "spread"), [(0.05, 0.1), (0.1, 0.1), (0.4, 0.1), (0.9, 0.3)])
def test_flip_rates_are_quantiles_of_the_truncated_normal(rate, spread):
    scores_N = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1]
    expected = stats.truncnorm(-rate / spread, (1 - rate) / spread, loc=rate, scale=spread).ppf(scores_N.numpy())
    torch.testing.assert_close(flip_rates(scores_N, rate, spread), torch.from_numpy(expected), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("rate", "mean"), [(0.1, 0.129), (0.2, 0.2055), (0.4, 0.4), (0.7, 0.7)])
def test_the_realised_rate_is_the_truncated_normals_mean(rate, mean):
    # Four standard deviations of a share of 40,000.
    assert noisy(data_set(40_000), rate=rate).card.realised_rate == pytest.approx(mean, abs=0.01)


def test_wrong_classes_are_drawn_by_the_softmax_over_the_other_classes():
    maps_KFK = draw_maps(3, 4, torch.Generator().manual_seed(1))
    features_F = torch.tensor([0.3, -0.2, 0.5, 0.1])
    weights_K = np.exp((features_F @ maps_KFK[1]).double().numpy())
    weights_K[1] = 0
    scores_N = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    drawn = wrong_classes(features_F.expand(10_000, -1), torch.ones(10_000, dtype=torch.int64), maps_KFK, scores_N)
    np.testing.assert_allclose(drawn.bincount(minlength=3).numpy() / 10_000, weights_K / weights_K.sum(), atol=2e-4)


def test_images_of_cifars_size_all_but_decide_what_they_become():
    """One of the other classes then has nearly all of the probability."""
    clean, maps_KFK = data_set(200, num_features=3072), draw_maps(3, 3072, torch.Generator().manual_seed(1))
    features_NF = torch.cat(list(clean.features()))
    low, high = (wrong_classes(features_NF, clean.labels_N, maps_KFK, torch.full((200,), end, dtype=torch.float64)) for end in (0.05, 0.95))
    assert (low == high).double().mean() > 0.9
    assert len(low[clean.labels_N == 0].unique()) == 2


def test_like_images_of_a_class_become_the_same_class():
    features_NF = torch.cat([torch.ones(500, 300), -torch.ones(500, 300)])
    clean = CleanLabels(torch.zeros(1000, dtype=torch.int64), ["a", "b", "c"], read_features=lambda: iter([features_NF]))
    labels = noisy(clean)
    one, other = labels.noisy_N[:500], labels.noisy_N[500:]
    assert set(one.tolist()) | set(other.tolist()) == {0, 1, 2}
    assert (len(one.unique()), len(other.unique())) == (2, 2)


def test_batches_do_not_matter():
    assert torch.equal(noisy(data_set(batch=3000)).noisy_N, noisy(data_set(batch=7)).noisy_N)


def test_another_seed_gives_other_labels_and_rate_zero_none():
    assert not torch.equal(noisy(seed=0).noisy_N, noisy(seed=1).noisy_N)
    assert noisy(rate=0.0).card.num_corrupt == 0


def test_a_class_may_be_empty():
    clean = data_set(300)
    clean = CleanLabels(clean.labels_N, [*clean.class_names, "none"], read_features=clean.read_features)
    assert noisy(clean).card.rate_by_class[3] is None


def test_images_that_are_not_at_hand_or_too_large_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="looks at the images, and these labels come without them"):
        noisy(CleanLabels(torch.arange(30) % 3, ["a", "b", "c"]))
    monkeypatch.setattr(module, "MAX_MAP_BYTES", 100)
    with pytest.raises(ValueError, match=r"map of 8 x 3 numbers for each of 3 classes.*use smaller images"):
        noisy()


@pytest.mark.parametrize("params", [{"rate": 1.1}, {"rate": 0.4, "spread": 0}, {}])
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValueError, match=r"rate|spread"):
        NOISES.params("instance")(**params)
