"""Splits: which training examples a run trains on, and which it holds out.

Stratified by given label, because the true one is not known outside experiments: held-out labels are as noisy as
those trained on. What is known about an example (`is_corrupted_N`, the clean label) follows it by index.

Shapes: N examples of the training set, K classes.
"""

import torch
from torch import Tensor

from noise._select import draw, rank_within_groups
from spec.run import Split
from spec.seeds import stream_seed


def split_indices(given_labels_N: Tensor, split: Split, seed: int) -> tuple[Tensor, Tensor]:
    """Indices to train on and to validate on, each ascending; disjoint, and of exact sizes.

    round(validation * N) examples are held out, and all others, or `train_size` of them, trained on. Each class's
    part is proportional to its size, among all for validation and among those left for training, to less than one example.

    Raises:
        ValueError: more training examples are asked for than there are, or none is left.
    """
    num_validation = round(split.validation * len(given_labels_N))
    num_train = _num_train(len(given_labels_N), num_validation, split)
    generator = torch.Generator().manual_seed(stream_seed("split", seed))
    ranks_N = rank_within_groups(given_labels_N, draw(len(given_labels_N), generator))
    sizes_K = given_labels_N.bincount()
    validation_K = apportion(num_validation, sizes_K)
    stop_K = validation_K + apportion(num_train, sizes_K - validation_K)
    is_validation_N = ranks_N < validation_K[given_labels_N]
    is_train_N = ~is_validation_N & (ranks_N < stop_K[given_labels_N])
    return is_train_N.nonzero().squeeze(1), is_validation_N.nonzero().squeeze(1)


def apportion(total: int, sizes_K: Tensor) -> Tensor:
    """`total` shared out in proportion to sizes, in whole numbers: largest remainders first, ties to the lower class."""
    quotas_K = total * sizes_K
    whole = int(sizes_K.sum())
    parts_K = quotas_K // whole
    by_remainder_K = (quotas_K % whole).argsort(descending=True, stable=True)
    parts_K[by_remainder_K[: total - int(parts_K.sum())]] += 1
    return parts_K


def _num_train(num_examples: int, num_validation: int, split: Split) -> int:
    available = num_examples - num_validation
    if available < 1:
        raise ValueError(f"split.validation {split.validation} holds out all {num_examples} training examples: leave at least one")
    if split.train_size is not None and split.train_size > available:
        raise ValueError(
            f"split.train_size is {split.train_size}, but {num_examples} training examples less {num_validation} for validation "
            f"leave {available}: lower train_size or validation"
        )
    return available if split.train_size is None else split.train_size
