"""re_sln gives the published program's labels, faults included."""

import csv

import pytest
import torch

from noise._base import NOISES, CleanLabels
from noise.labels import NoisyLabels, corrupt

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def re_sln(clean: CleanLabels, mode: str, **params: int) -> NoisyLabels:
    return corrupt(clean, NOISES.params("re_sln")(mode=mode, rate=0.4, **params), seed=0)


@pytest.mark.real_data
@pytest.mark.parametrize("mode", ["sym", "asym"])
def test_seed_123_gives_the_published_file_bit_for_bit(shared_data, mode):
    with (shared_data / f"sln_labels/cifar10-{mode}0.4_custom.csv").open() as file:
        rows_N2 = torch.tensor([[int(row["label"]), int(row["label_noisy"])] for row in csv.DictReader(file)])
    assert torch.equal(re_sln(CleanLabels(rows_N2[:, 0], CIFAR10), mode).noisy_N, rows_N2[:, 1])


def test_all_classes_have_the_same_flips():
    clean = CleanLabels(torch.arange(50_000) % 10, CIFAR10)
    is_corrupted_NK = re_sln(clean, "sym").is_corrupted_N.view(5000, 10)
    assert (is_corrupted_NK == is_corrupted_NK[:, :1]).all()
    assert is_corrupted_NK.sum(0).tolist() == [2017] * 10


def test_cifar100s_rate_is_388_in_every_class_and_its_classes_become_unequal():
    clean = CleanLabels(torch.arange(50_000) % 100, [str(k) for k in range(100)])
    noisy = re_sln(clean, "sym")
    assert torch.tensor(noisy.card.counts).diagonal().tolist() == [500 - 194] * 100
    sizes_K = noisy.noisy_N.bincount()
    assert (sizes_K.min(), sizes_K.max()) == (306, 845)


def test_asymmetric_lacks_deer_to_horse_on_cifar10_and_is_cyclic_elsewhere():
    cifar10 = re_sln(CleanLabels(torch.arange(50_000) % 10, CIFAR10), "asym")
    assert cifar10.card.num_corrupt == 8068
    assert cifar10.card.counts[CIFAR10.index("deer")][CIFAR10.index("deer")] == 5000
    other = re_sln(CleanLabels(torch.arange(300) % 3, ["a", "b", "c"]), "asym")
    assert ((other.noisy_N - other.clean_N) % 3).unique().tolist() == [0, 1]


def test_its_own_seed_decides_and_a_class_may_be_empty():
    clean = CleanLabels(torch.arange(300) % 2, ["a", "b", "none"])
    assert not torch.equal(re_sln(clean, "sym").noisy_N, re_sln(clean, "sym", seed=124).noisy_N)
