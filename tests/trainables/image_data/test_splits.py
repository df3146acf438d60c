"""Splits are exact, stratified by given label, and a function of their own seed."""

import pytest
import torch
from torch import Tensor

from spec.run import Split
from trainables.image_data.splits import apportion, split_indices

# Class sizes 500, 300, 150, 50: an unbalanced training set of 1,000, classes mixed.
LABELS_N = torch.tensor([0] * 10 + [1] * 6 + [2] * 3 + [3]).repeat(50)


def class_sizes(index: Tensor, labels_N: Tensor = LABELS_N) -> list[int]:
    return labels_N[index].bincount(minlength=4).tolist()


def test_without_validation_every_example_is_trained_on():
    train, validation = split_indices(LABELS_N, Split(), seed=0)
    assert torch.equal(train, torch.arange(1000))
    assert len(validation) == 0
    assert validation.dtype == torch.int64


@pytest.mark.parametrize("share", [0.001, 0.1, 0.1234, 0.5, 0.9])
def test_training_and_validation_share_the_examples_out(share):
    train, validation = split_indices(LABELS_N, Split(validation=share), seed=0)
    assert len(validation) == round(share * 1000)
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(1000))
    assert torch.equal(train, train.sort().values)
    assert torch.equal(validation, validation.sort().values)


def test_both_parts_have_the_classes_shares():
    train, validation = split_indices(LABELS_N, Split(validation=0.1, train_size=180), seed=0)
    assert class_sizes(validation) == [50, 30, 15, 5]
    assert class_sizes(train) == [90, 54, 27, 9]


def test_sizes_are_exact_where_shares_are_no_whole_numbers():
    labels_N = torch.arange(1000) % 7
    train, validation = split_indices(labels_N, Split(validation=0.1, train_size=333), seed=0)
    assert (len(train), len(validation)) == (333, 100)
    assert set(labels_N[validation].bincount().tolist()) == {14, 15}
    assert set(labels_N[train].bincount().tolist()) == {47, 48}


def test_validation_examples_do_not_depend_on_the_size_of_the_training_set():
    whole = split_indices(LABELS_N, Split(validation=0.1), seed=0)[1]
    part = split_indices(LABELS_N, Split(validation=0.1, train_size=100), seed=0)[1]
    assert torch.equal(whole, part)


def test_the_split_seed_and_nothing_else_decides():
    split = Split(validation=0.1, train_size=500)
    torch.manual_seed(1)
    first = split_indices(LABELS_N, split, seed=5)
    torch.manual_seed(2)
    second = split_indices(LABELS_N, split, seed=5)
    assert all(map(torch.equal, first, second))
    assert not torch.equal(split_indices(LABELS_N, split, seed=6)[0], first[0])


def test_the_split_is_the_same_on_every_machine():
    train, validation = split_indices(torch.arange(20) % 2, Split(validation=0.2, train_size=6), seed=7)
    assert train.tolist() == [2, 3, 6, 7, 14, 19]
    assert validation.tolist() == [1, 4, 5, 8]


def test_every_example_is_held_out_equally_often():
    held_out_N = torch.zeros(1000)
    for seed in range(400):
        held_out_N[split_indices(LABELS_N, Split(validation=0.1), seed)[1]] += 1
    # Binomial(400, 0.1): mean 40, standard deviation 6; five of them over 1,000 examples.
    assert held_out_N.mean() == 40
    assert held_out_N.min() > 10
    assert held_out_N.max() < 70


def test_what_is_known_of_an_example_follows_its_index():
    is_corrupted_N = torch.arange(1000) % 4 == 0
    train, validation = split_indices(LABELS_N, Split(validation=0.25), seed=0)
    assert torch.equal(is_corrupted_N[train], train % 4 == 0)
    assert is_corrupted_N[train].sum() + is_corrupted_N[validation].sum() == 250


def test_too_large_a_training_set_is_refused_with_the_sizes():
    with pytest.raises(ValueError, match="train_size is 901, but 1000 training examples less 100 for validation leave 900"):
        split_indices(LABELS_N, Split(validation=0.1, train_size=901), seed=0)


def test_a_split_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(ValueError, match=r"validation 0.9 holds out all 1 training examples"):
        split_indices(torch.tensor([0]), Split(validation=0.9), seed=0)


def test_seats_go_to_the_largest_remainders():
    # Shares 4.17, 3.33 and 2.5 of ten: the tenth goes to the last class.
    assert apportion(10, torch.tensor([50, 40, 30])).tolist() == [4, 3, 3]
    assert apportion(3, torch.tensor([10, 0, 10])).tolist() == [2, 0, 1]
