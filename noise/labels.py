"""From clean labels to noisy ones, with what is known about the difference.

A pure function of (data set, noise, seed): the same on every platform and for any number of workers.

Shapes: N examples, K classes, M replaced images.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from noise._base import NOISES, CleanLabels, Corruption, Replacement
from spec.records import LabelCard
from spec.registry import NamedParams
from spec.seeds import stream_seed

# Raise it (and RUN_VERSION) when a kind gives other labels than before for the same parameters and seed.
GENERATOR_VERSION = 1


@dataclass(frozen=True)
class NoisyLabels:
    """A training set's labels before and after corruption, in the data set's own order."""

    clean_N: Tensor
    noisy_N: Tensor
    # The label differs, or the image was replaced.
    is_corrupted_N: Tensor
    card: LabelCard
    replaced: Replacement | None = None


def corrupt(clean: CleanLabels, params: NamedParams, seed: int) -> NoisyLabels:
    """The labels that a run with this noise and label seed is given.

    Raises:
        ValueError: the noise does not go with the data set, or a label is not one of its classes.
        FileNotFoundError: a label file is missing.
    """
    _check(clean.labels_N, clean, "the data set's labels")
    generator = torch.Generator().manual_seed(stream_seed("label", seed))
    given = NOISES[params.name](clean, params, generator)
    corruption = given if isinstance(given, Corruption) else Corruption(given)
    _check(corruption.labels_N, clean, f"the labels that noise {params.name!r} gave")
    if corruption.replaced is not None:
        _check_replaced(corruption.replaced, clean, params.name)
    return describe(clean, corruption, params.name, params.model_dump().get("rate"))


def describe(clean: CleanLabels, corruption: Corruption, noise: str, noise_rate: float | None) -> NoisyLabels:
    """The labels with their card: what was measured of them, and their identity."""
    # Nothing replaced is no replacement: the labels are then the same as those of a kind that cannot replace.
    replaced = corruption.replaced if corruption.replaced is not None and len(corruption.replaced) else None
    is_corrupted_N = corruption.labels_N != clean.labels_N
    if replaced is not None:
        is_corrupted_N[replaced.index_in_train_M] = True
    card = LabelCard(
        noise=noise,
        noise_rate=noise_rate,
        realised_rate=is_corrupted_N.double().mean().item() if clean.are_true else None,
        num_examples=len(is_corrupted_N),
        num_corrupt=int(is_corrupted_N.sum()),
        class_names=list(clean.class_names),
        counts=count_pairs(clean.labels_N, corruption.labels_N, clean.num_classes).tolist(),
        clean_hash=labels_hash(clean.labels_N),
        noisy_hash=labels_hash(corruption.labels_N, replaced),
        corrupt_by_class=clean.labels_N[is_corrupted_N].bincount(minlength=clean.num_classes).tolist(),
        num_replaced=0 if replaced is None else len(replaced),
        replaced_from=None if replaced is None else replaced.source,
        replacement_hash=None if replaced is None else replacement_hash(replaced),
    )
    return NoisyLabels(clean.labels_N, corruption.labels_N, is_corrupted_N, card, replaced)


def labels_hash(labels_N: Tensor, replaced: Replacement | None = None) -> str:
    """SHA-256 (64 hex digits) of the labels as little-endian 64-bit integers, in index order.

    Where images were replaced, the 32 bytes of `replacement_hash` follow.
    """
    content = _bytes(labels_N) + (b"" if replaced is None else bytes.fromhex(replacement_hash(replaced)))
    return hashlib.sha256(content).hexdigest()


def replacement_hash(replaced: Replacement) -> str:
    """SHA-256 of the source's name, a zero byte, the places in the training set, and the places in the source."""
    content = replaced.source.encode() + b"\0" + _bytes(replaced.index_in_train_M) + _bytes(replaced.index_in_source_M)
    return hashlib.sha256(content).hexdigest()


def count_pairs(clean_N: Tensor, noisy_N: Tensor, num_classes: int) -> Tensor:
    """Number of examples (K, K) by clean class (row) and noisy class (column)."""
    return (clean_N * num_classes + noisy_N).bincount(minlength=num_classes**2).view(num_classes, num_classes)


def _bytes(numbers_N: Tensor) -> bytes:
    return numbers_N.numpy().astype("<i8").tobytes()


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


def _check_replaced(replaced: Replacement, clean: CleanLabels, kind: str) -> None:
    places_M, num_examples = replaced.index_in_train_M, len(clean.labels_N)
    if places_M.shape != replaced.index_in_source_M.shape or places_M.dim() != 1:
        raise ValueError(f"noise {kind!r} must name one image of {replaced.source} for each place that it replaces")
    if len(places_M) and (places_M[0] < 0 or places_M[-1] >= num_examples or (places_M.diff() <= 0).any()):
        raise ValueError(f"noise {kind!r} must replace images at ascending places in [0, {num_examples}), each once")
    available = clean.num_images_of(replaced.source)
    sources_M = replaced.index_in_source_M
    if len(sources_M) and (sources_M.min() < 0 or sources_M.max() >= available):
        raise ValueError(
            f"noise {kind!r} asks for images {sources_M.min()} to {sources_M.max()} of {replaced.source}, "
            f"which has {available} training images: is it the same version of it?"
        )
