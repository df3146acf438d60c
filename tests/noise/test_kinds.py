"""What each kind of noise does to labels, and rules that hold for all of them."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from noise._base import NOISES, CleanLabels
from noise.labels import NoisyLabels, corrupt
from noise.transition import invert
from spec.registry import NamedParams

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
FIVE_FLIPS = {("truck", "automobile"), ("bird", "airplane"), ("cat", "dog"), ("dog", "cat"), ("deer", "horse")}

SELECTING = ["symmetric", "uniform", "asymmetric", "pair", "permute"]
# Kinds where every selected label changes, so that the realised rate is the share selected.
CHANGING = ["symmetric", "asymmetric", "pair"]


def noise(name: str, **params: Any) -> NamedParams:
    return NOISES.params(name)(**params)


def balanced(num_classes: int = 10, per_class: int = 500, class_names: list[str] | None = None) -> CleanLabels:
    """Classes in turn: example i is of class i mod K."""
    names = class_names or [f"class {k}" for k in range(num_classes)]
    return CleanLabels(torch.arange(num_classes * per_class) % num_classes, names)


def counts(labels: NoisyLabels) -> Tensor:
    return torch.tensor(labels.card.counts)


def example_of(name: str, root: Path) -> tuple[CleanLabels, NamedParams]:
    """Thirty examples of three classes, and ordinary parameters of a kind."""
    labels_N = torch.arange(30) % 3
    rows = "".join(f"{label},{(label + (i % 5 == 0)) % 3}\n" for i, label in enumerate(labels_N.tolist()))
    (root / "labels.csv").write_text("label,label_noisy\n" + rows)
    params: dict[str, dict[str, Any]] = {
        "clean": {},
        "recorded": {"path": "labels.csv"},
        "re_sln": {"mode": "sym", "rate": 0.5},
        "openset": {"rate": 0.5, "source": "others"},
        "transition": {"matrix": [[0.5, 0.25, 0.25], [0, 1, 0], [0.1, 0.2, 0.7]]},
    }
    clean = CleanLabels(
        labels_N, ["a", "b", "c"], root=root, read_features=lambda: iter(torch.eye(30).split(8)), count_images=lambda source: 40
    )
    return clean, noise(name, **params.get(name, {"rate": 0.5}))


# The first 16 hex digits of the noisy labels' hash for `example_of` and seed 7. A change here is a change of
# every recorded experiment: raise RUN_VERSION with it.
GOLDEN = {
    "asymmetric": "7f7d46cbac05a175",
    "clean": "ed509249095e8091",
    "instance": "df28f8b32a59cd55",
    "openset": "154a303a6413ed61",
    "pair": "7f7d46cbac05a175",
    "permute": "cead209a81b061fb",
    "re_sln": "a33c41bb52d666ce",
    "recorded": "ef87325cfbad8159",
    "symmetric": "b7033a1d33ab0b57",
    "transition": "2bfdb2b9fd3d4971",
    "uniform": "a461fd78e532e6e8",
}


def test_every_kind_has_a_golden_hash():
    assert set(GOLDEN) == set(NOISES)


@pytest.mark.parametrize("name", list(NOISES))
def test_labels_are_the_same_on_every_machine(name, tmp_path):
    clean, params = example_of(name, tmp_path)
    assert corrupt(clean, params, seed=7).card.noisy_hash[:16] == GOLDEN[name]


@pytest.mark.parametrize("name", list(NOISES))
def test_clean_labels_are_left_alone(name, tmp_path):
    clean, params = example_of(name, tmp_path)
    before_N = clean.labels_N.clone()
    noisy = corrupt(clean, params, seed=0)
    assert torch.equal(clean.labels_N, before_N)
    assert noisy.noisy_N.data_ptr() != clean.labels_N.data_ptr()


@pytest.mark.parametrize("name", list(NOISES))
def test_global_random_state_is_neither_read_nor_written(name, tmp_path):
    clean, params = example_of(name, tmp_path)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = corrupt(clean, params, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(corrupt(clean, params, seed=0).noisy_N, first.noisy_N)


@pytest.mark.parametrize("name", SELECTING)
def test_another_seed_gives_other_labels(name):
    clean = balanced()
    assert not torch.equal(corrupt(clean, noise(name, rate=0.4), 0).noisy_N, corrupt(clean, noise(name, rate=0.4), 1).noisy_N)


@pytest.mark.parametrize("count", ["bernoulli", "exact", "exact_per_class"])
@pytest.mark.parametrize("name", SELECTING)
def test_rate_zero_changes_nothing(name, count):
    assert corrupt(balanced(), noise(name, rate=0.0, count=count), 0).card.num_corrupt == 0


@pytest.mark.parametrize("count", ["bernoulli", "exact", "exact_per_class"])
@pytest.mark.parametrize("name", CHANGING)
def test_rate_one_changes_every_label(name, count):
    assert corrupt(balanced(), noise(name, rate=1.0, count=count), 0).is_corrupted_N.all()


@pytest.mark.parametrize("name", CHANGING)
def test_realised_rate_is_the_nominal_one_within_chance(name):
    # Four standard deviations of a binomial share: 4 * sqrt(0.4 * 0.6 / 50000).
    assert corrupt(balanced(per_class=5000), noise(name, rate=0.4), 0).card.realised_rate == pytest.approx(0.4, abs=0.0088)


@pytest.mark.parametrize("name", CHANGING)
def test_exact_count_is_exact_overall_but_not_in_each_class(name):
    noisy = corrupt(balanced(), noise(name, rate=0.37, count="exact"), 0)
    assert noisy.card.num_corrupt == 1850
    assert len(set(counts(noisy).diagonal().tolist())) > 1


@pytest.mark.parametrize("name", CHANGING)
def test_exact_count_per_class_is_exact_in_each_class(name):
    noisy = corrupt(balanced(), noise(name, rate=0.37, count="exact_per_class"), 0)
    assert counts(noisy).diagonal().tolist() == [500 - 185] * 10


@pytest.mark.parametrize("count", ["bernoulli", "exact", "exact_per_class"])
@pytest.mark.parametrize("name", sorted({*SELECTING} - {"permute"}))
def test_a_higher_rate_corrupts_the_same_examples_and_more(name, count):
    low, high = (corrupt(balanced(), noise(name, rate=rate, count=count), 3) for rate in (0.2, 0.6))
    assert high.is_corrupted_N[low.is_corrupted_N].all()
    assert torch.equal(high.noisy_N[low.is_corrupted_N], low.noisy_N[low.is_corrupted_N])


@pytest.mark.parametrize("name", SELECTING)
def test_flips_of_one_class_say_nothing_about_another(name):
    """A generator seeded anew for each class gives every class the same flips: agreement 1 instead of chance."""
    is_corrupted_NK = corrupt(balanced(per_class=5000), noise(name, rate=0.4), 0).is_corrupted_N.view(5000, 10)
    rates_K = is_corrupted_NK.double().mean(0)
    agreement = (is_corrupted_NK[:, 0] == is_corrupted_NK[:, 1]).double().mean().item()
    chance = (rates_K[0] * rates_K[1] + (1 - rates_K[0]) * (1 - rates_K[1])).item()
    assert agreement == pytest.approx(chance, abs=0.03)
    assert len(set(is_corrupted_NK.sum(0).tolist())) > 1


def test_clean_keeps_every_label():
    noisy = corrupt(balanced(), noise("clean"), 0)
    assert torch.equal(noisy.noisy_N, noisy.clean_N)
    assert noisy.card.realised_rate == 0


def test_symmetric_draws_all_other_classes_alike():
    wrong_KK = counts(corrupt(balanced(per_class=5000), noise("symmetric", rate=0.9), 0)).double()
    off_diagonal = wrong_KK[~torch.eye(10, dtype=torch.bool)]
    # 500 of each 5,000 are expected; chi-square over 90 cells with 80 degrees of freedom, 99.9 % quantile 124.8.
    expected_K1 = (5000 - wrong_KK.diagonal())[:, None] / 9
    cells_KK = (wrong_KK - expected_K1) ** 2 / expected_K1
    assert cells_KK[~torch.eye(10, dtype=torch.bool)].sum() < 124.8
    assert off_diagonal.min() > 0


def test_symmetric_at_rate_one_with_two_classes_swaps_them():
    clean = balanced(num_classes=2)
    assert torch.equal(corrupt(clean, noise("symmetric", rate=1.0), 0).noisy_N, 1 - clean.labels_N)


@pytest.mark.parametrize(("num_classes", "expected"), [(2, 0.2), (10, 0.36), (100, 0.396)])
def test_uniform_realises_less_than_its_rate_because_it_may_redraw_the_true_class(num_classes, expected):
    clean = balanced(num_classes, per_class=50_000 // num_classes)
    assert corrupt(clean, noise("uniform", rate=0.4), 0).card.realised_rate == pytest.approx(expected, abs=0.0088)


def test_uniform_at_rate_one_keeps_one_label_in_k():
    noisy_KK = counts(corrupt(balanced(num_classes=4, per_class=10_000), noise("uniform", rate=1.0), 0)).double()
    torch.testing.assert_close(noisy_KK / 10_000, torch.full((4, 4), 0.25, dtype=torch.float64), atol=0.02, rtol=0)


def test_asymmetric_makes_cifar10s_five_flips_and_no_other():
    noisy = corrupt(balanced(class_names=CIFAR10), noise("asymmetric", rate=0.4), 0)
    pairs = {(CIFAR10[clean], CIFAR10[given]) for clean, given in counts(noisy).nonzero().tolist() if clean != given}
    assert pairs == FIVE_FLIPS


def test_asymmetric_corrupts_half_its_rate_of_cifar10_because_five_classes_have_no_look_alike():
    noisy = corrupt(balanced(class_names=CIFAR10), noise("asymmetric", rate=0.4, count="exact"), 0)
    assert noisy.card.num_corrupt == 1000
    assert noisy.card.realised_rate == 0.2


def test_asymmetric_at_rate_one_swaps_cat_and_dog_once():
    clean = balanced(class_names=CIFAR10)
    noisy_N = corrupt(clean, noise("asymmetric", rate=1.0), 0).noisy_N
    cat, dog = CIFAR10.index("cat"), CIFAR10.index("dog")
    assert (noisy_N[clean.labels_N == cat] == dog).all()
    assert (noisy_N[clean.labels_N == dog] == cat).all()


def test_asymmetric_finds_cifar10s_classes_by_name_in_any_order():
    names = sorted(CIFAR10, reverse=True)
    noisy_KK = counts(corrupt(balanced(class_names=names), noise("asymmetric", rate=1.0), 0))
    assert noisy_KK[names.index("deer"), names.index("horse")] == 500
    assert noisy_KK[names.index("frog"), names.index("frog")] == 500


def test_asymmetric_is_cyclic_on_other_data_and_on_cifar10_where_asked():
    other = corrupt(balanced(), noise("asymmetric", rate=0.4), 0)
    cifar10 = corrupt(balanced(class_names=CIFAR10), noise("asymmetric", rate=0.4, map="cyclic"), 0)
    pair = corrupt(balanced(), noise("pair", rate=0.4), 0)
    assert torch.equal(other.noisy_N, pair.noisy_N)
    assert torch.equal(cifar10.noisy_N, pair.noisy_N)


def test_asymmetric_refuses_cifar10s_map_on_other_classes():
    with pytest.raises(ValueError, match=r"noise.map 'cifar10' needs the 10 classes airplane.*use map 'cyclic'"):
        corrupt(balanced(), noise("asymmetric", rate=0.4, map="cifar10"), 0)


def test_pair_makes_each_class_the_next_and_the_last_the_first():
    clean = balanced(num_classes=3)
    assert torch.equal(corrupt(clean, noise("pair", rate=1.0), 0).noisy_N, (clean.labels_N + 1) % 3)


def test_permute_keeps_the_class_sizes():
    clean = CleanLabels(torch.tensor([0] * 700 + [1] * 250 + [2] * 50), ["a", "b", "c"])
    noisy = corrupt(clean, noise("permute", rate=0.6), 0)
    assert noisy.noisy_N.bincount().tolist() == [700, 250, 50]
    # Two draws from the class shares differ with probability 1 - (0.7^2 + 0.25^2 + 0.05^2) = 0.445.
    assert noisy.card.realised_rate == pytest.approx(0.6 * 0.445, abs=0.04)


def test_permute_like_uniform_keeps_one_selected_label_in_k():
    noisy = corrupt(balanced(per_class=5000), noise("permute", rate=0.4), 0)
    assert noisy.card.realised_rate == pytest.approx(0.36, abs=0.0088)


def test_permute_per_class_moves_only_the_selected():
    noisy = corrupt(balanced(), noise("permute", rate=0.2, count="exact_per_class"), 0)
    assert counts(noisy).diagonal().min() >= 400


def test_transition_draws_from_each_classs_row():
    matrix = [[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6]]
    noisy_KK = counts(corrupt(balanced(num_classes=3, per_class=20_000), noise("transition", matrix=matrix), 0))
    torch.testing.assert_close(noisy_KK / 20_000, torch.tensor(matrix), atol=0.015, rtol=0)
    assert (noisy_KK[torch.tensor(matrix) == 0] == 0).all()


def test_transition_by_the_identity_changes_nothing_and_by_a_permutation_everything():
    clean = balanced(num_classes=3)
    identity, shift = torch.eye(3).tolist(), torch.eye(3).roll(1, dims=1).tolist()
    assert torch.equal(corrupt(clean, noise("transition", matrix=identity), 0).noisy_N, clean.labels_N)
    assert torch.equal(corrupt(clean, noise("transition", matrix=shift), 0).noisy_N, (clean.labels_N + 1) % 3)


def test_transition_never_draws_a_class_of_probability_zero_even_at_the_ends():
    ends_N = torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64)
    # 0.1 seven times sums to a little less than 0.7; the row's sum misses 1 by rounding.
    assert invert((0.0, *[0.1] * 7, 0.3, 0.0), ends_N).tolist() == [1, 8]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[0.5, 0.5], [1.0]], "must be square: row 1 has 1 of 2 columns"),
        ([[0.5, 0.4], [0.0, 1.0]], "rows must sum to 1: row 0 sums to 0.9"),
        ([[1.0, 0.0], [1.5, -0.5]], "must hold probabilities: row 1 has -0.5"),
        ([[1.0, 0.0], [float("nan"), 1.0]], "finite number"),
        ([], "at least 1"),
    ],
)
def test_matrices_that_are_not_row_stochastic_are_refused(matrix, message):
    with pytest.raises(ValidationError, match=message):
        noise("transition", matrix=matrix)


def test_a_matrix_for_other_classes_is_refused():
    with pytest.raises(ValueError, match="for 2 classes, but the data set has 3"):
        corrupt(balanced(num_classes=3), noise("transition", matrix=[[1, 0], [0, 1]]), 0)


@pytest.mark.parametrize("name", CHANGING)
def test_one_class_cannot_be_mistaken_for_another(name):
    with pytest.raises(ValueError, match="at least 2 classes, the data set has 1"):
        corrupt(balanced(num_classes=1), noise(name, rate=0.4), 0)


@pytest.mark.parametrize("name", SELECTING)
@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "much"])
def test_rates_outside_0_to_1_are_refused(name, rate):
    with pytest.raises(ValidationError, match="rate"):
        noise(name, rate=rate)


@pytest.mark.parametrize(("name", "params"), [("symmetric", {}), ("pair", {"rate": 0.1, "count": "some"}), ("clean", {"rate": 0.1})])
def test_missing_and_unknown_parameters_are_refused(name, params):
    with pytest.raises(ValidationError):
        noise(name, **params)


def test_hash_is_the_sha256_of_little_endian_64_bit_labels():
    noisy = corrupt(CleanLabels(torch.tensor([1, 0, 258]), [str(k) for k in range(300)]), noise("clean"), 0)
    content = bytes([1, 0, 0, 0, 0, 0, 0, 0] + [0] * 8 + [2, 1, 0, 0, 0, 0, 0, 0])
    assert noisy.card.clean_hash == noisy.card.noisy_hash == hashlib.sha256(content).hexdigest()


def test_card_says_what_was_asked_for_and_what_came_out():
    noisy = corrupt(balanced(num_classes=3), noise("pair", rate=0.25, count="exact_per_class"), 0)
    assert noisy.card.noise == "pair"
    assert noisy.card.noise_rate == 0.25
    assert (noisy.card.num_examples, noisy.card.num_corrupt, noisy.card.realised_rate) == (1500, 375, 0.25)
    assert noisy.card.counts == [[375, 125, 0], [0, 375, 125], [125, 0, 375]]
    assert noisy.card.class_names == ["class 0", "class 1", "class 2"]
    assert noisy.card.clean_hash != noisy.card.noisy_hash


@pytest.mark.parametrize("name", ["clean", "recorded", "transition"])
def test_kinds_without_a_rate_have_no_nominal_one(name, tmp_path):
    clean, params = example_of(name, tmp_path)
    assert corrupt(clean, params, 0).card.noise_rate is None


@pytest.mark.parametrize(
    ("labels_N", "message"),
    [
        (torch.tensor([0, 3]), r"must be in \[0, 3\), got 0 to 3"),
        (torch.tensor([-1, 0]), r"must be in \[0, 3\), got -1 to 0"),
        (torch.tensor([0.0, 1.0]), "must be int64"),
        (torch.tensor([], dtype=torch.int64), "are empty"),
    ],
)
def test_labels_that_are_not_class_numbers_are_refused(labels_N, message):
    with pytest.raises(ValueError, match=message):
        corrupt(CleanLabels(labels_N, ["a", "b", "c"]), noise("clean"), 0)


def test_a_kind_that_gives_labels_out_of_range_is_caught(monkeypatch):
    monkeypatch.setitem(NOISES._parts, "clean", lambda clean, params, generator: clean.labels_N + 1)
    with pytest.raises(ValueError, match=r"labels that noise 'clean' gave must be in \[0, 3\), got 1 to 3"):
        corrupt(balanced(num_classes=3), noise("clean"), 0)
