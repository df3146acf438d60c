"""From clean labels to noisy ones, with what is known about the difference.

A pure function of (data set, noise, seed): the same on every platform and for any number of workers.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from noise._base import NOISES, CleanLabels
from spec.records import LabelCard
from spec.registry import NamedParams
from spec.seeds import stream_seed


@dataclass(frozen=True)
class NoisyLabels:
    """A training set's labels before and after corruption, in the data set's own order."""

    clean_N: Tensor
    noisy_N: Tensor
    is_corrupted_N: Tensor
    card: LabelCard


def corrupt(clean: CleanLabels, params: NamedParams, seed: int) -> NoisyLabels:
    """The labels that a run with this noise and label seed is given.

    Raises:
        ValueError: the noise does not go with the data set, or a label is not one of its classes.
        FileNotFoundError: a label file is missing.
    """
    _check(clean.labels_N, clean, "the data set's labels")
    generator = torch.Generator().manual_seed(stream_seed("label", seed))
    noisy_N = NOISES[params.name](clean, params, generator)
    _check(noisy_N, clean, f"the labels that noise {params.name!r} gave")
    is_corrupted_N = noisy_N != clean.labels_N
    return NoisyLabels(clean.labels_N, noisy_N, is_corrupted_N, _card(clean, noisy_N, is_corrupted_N, params))


def labels_hash(labels_N: Tensor) -> str:
    """SHA-256 (64 hex digits) of the labels as little-endian 64-bit integers, in index order."""
    return hashlib.sha256(labels_N.numpy().astype("<i8").tobytes()).hexdigest()


def _card(clean: CleanLabels, noisy_N: Tensor, is_corrupted_N: Tensor, params: NamedParams) -> LabelCard:
    return LabelCard(
        noise=params.name,
        noise_rate=params.model_dump().get("rate"),
        realised_rate=is_corrupted_N.double().mean().item(),
        num_examples=len(noisy_N),
        num_corrupt=int(is_corrupted_N.sum()),
        class_names=list(clean.class_names),
        counts=count_pairs(clean.labels_N, noisy_N, clean.num_classes).tolist(),
        clean_hash=labels_hash(clean.labels_N),
        noisy_hash=labels_hash(noisy_N),
    )


def count_pairs(clean_N: Tensor, noisy_N: Tensor, num_classes: int) -> Tensor:
    """Number of examples (K, K) by clean class (row) and noisy class (column)."""
    return (clean_N * num_classes + noisy_N).bincount(minlength=num_classes**2).view(num_classes, num_classes)


def _check(labels_N: Tensor, clean: CleanLabels, whose: str) -> None:
    if labels_N.dtype != torch.int64 or labels_N.shape != (len(clean.labels_N),) or labels_N.device.type != "cpu":
        raise ValueError(
            f"{whose} must be int64 of shape ({len(clean.labels_N)},) on the CPU, "
            f"got {labels_N.dtype} of shape {tuple(labels_N.shape)} on {labels_N.device}"
        )
    if len(labels_N) == 0:
        raise ValueError(f"{whose} are empty: a data set needs at least one training example")
    if labels_N.min() < 0 or labels_N.max() >= clean.num_classes:
        raise ValueError(f"{whose} must be in [0, {clean.num_classes}), got {labels_N.min()} to {labels_N.max()}")
