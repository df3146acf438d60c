"""Splits: a run's data, ready to train on. Labels are corrupted here, once, as a pure function of the configuration.

Shapes: N examples of a source, M of them in a split.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from models._base import DataShape
from noise._base import CleanLabels
from noise._select import draw, rank_within_groups
from noise.labels import NoisyLabels, corrupt
from spec.records import LabelCard
from spec.registry import NamedParams
from spec.run import RunConfig
from spec.seeds import stream_seed
from trainables.image_data._base import DATASETS, Dataset, ImageSource
from trainables.image_data._pixels import copied
from trainables.image_data.splits import split_indices

# The true label of an image that is of none of the classes: it never equals a given label, nor a prediction.
NO_CLASS = -1
FEATURE_BATCH_SIZE = 1000


@dataclass(frozen=True)
class Examples:
    """One split: which examples of a source it holds, and the source's labels."""

    images: ImageSource
    given_N: Tensor
    # NO_CLASS for images of another data set. An example is corrupt where this is not its given label.
    true_N: Tensor
    index_M: Tensor
    # See `Dataset.per_class`.
    per_class: int | None = None

    def __len__(self) -> int:
        return len(self.index_M)

    def shuffled(self, seed: int) -> Tensor:
        """The split's indices in random order."""
        return self.index_M[torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))]

    def of_epoch(self, seed: int) -> "Examples":
        """The examples that an epoch trains on: all, or `per_class` of each given class (all of a smaller one), without replacement."""
        if self.per_class is None:
            return self
        generator = torch.Generator().manual_seed(seed)
        ranks_M = rank_within_groups(self.given_N[self.index_M].cpu(), draw(len(self), generator))
        return replace(self, index_M=self.index_M[ranks_M < self.per_class])

    def sample(self, size: int | None, seed: int) -> "Examples":
        """So many of the examples, drawn without replacement; all of them where `size` is None or larger."""
        if size is None or size >= len(self):
            return self
        return Examples(self.images, self.given_N, self.true_N, self.shuffled(seed)[:size].sort().values)

    def images_of(self, batches: list[Tensor], device: torch.device, augment_seed: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """For each batch of indices, the indices and the images, both on the device; the images with channels last in memory."""
        feed = self.images.feed(batches, device, augment_seed)
        for index_B, images_BCHW in zip(copied(batches, device), feed, strict=True):
            yield index_B, images_BCHW.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Splits:
    """A run's data. Only train and validation labels are noisy; `measured` is the part of train that is measured."""

    train: Examples
    measured: Examples
    validation: Examples | None
    test: Examples
    shape: DataShape
    label_card: LabelCard


def load_splits(run: RunConfig, root: Path, device: torch.device) -> Splits:
    """The run's data set with its labels corrupted and its splits drawn; labels lie on the device."""
    dataset = DATASETS[run.dataset.name](run.dataset, root)
    labels = corrupt(clean_labels(dataset, run.dataset, root), run.noise, run.seeds.label)
    train_index, validation_index = split_indices(labels.noisy_N, run.split, run.seeds.split)
    images, given_N, true_N = shown_images(dataset, run.dataset, labels, root), labels.noisy_N.to(device), true_labels(labels).to(device)
    train = Examples(images, given_N, true_N, train_index, dataset.per_class)
    return Splits(
        train=train,
        measured=train.sample(run.measure.train_sample, stream_seed("measure", run.seeds.measure)),
        validation=Examples(images, given_N, true_N, validation_index) if len(validation_index) else _published_validation(dataset, device),
        test=_test(dataset, run.split.test_size, device),
        shape=dataset.shape,
        label_card=labels.card if dataset.validation is None else labels.card.model_copy(update={"validation_labels": "clean"}),
    )


def clean_labels(dataset: Dataset, params: NamedParams, root: Path) -> CleanLabels:
    """What noise may know of a data set. `root` is the folder that data sets lie in."""
    return CleanLabels(
        dataset.train_labels_N,
        dataset.class_names,
        dataset.train_paths,
        root,
        read_features=lambda: _features(dataset.train),
        count_images=lambda source: len(_other(source, params, root).train),
        are_true=dataset.train_labels_are_true,
    )


def shown_images(dataset: Dataset, params: NamedParams, labels: NoisyLabels, root: Path) -> ImageSource:
    """The training images, where noise replaced some with those in their places."""
    replaced = labels.replaced
    if replaced is None:
        return dataset.train
    source = _other(replaced.source, params, root)
    return dataset.train.showing(source.train, replaced.index_in_train_M, replaced.index_in_source_M)


def true_labels(labels: NoisyLabels) -> Tensor:
    """The clean labels, but `NO_CLASS` for images that noise replaced."""
    if labels.replaced is None:
        return labels.clean_N
    return labels.clean_N.index_fill(0, labels.replaced.index_in_train_M, NO_CLASS)


def _other(source: str, params: NamedParams, root: Path) -> Dataset:
    """Another data set, read with those of the first one's parameters that it has too."""
    kind = DATASETS.params(source)
    shared = {key: value for key, value in params if key in kind.model_fields and key != "name"}
    return DATASETS[source](kind(**shared), root)


def _features(images: ImageSource) -> Iterator[Tensor]:
    batches = torch.arange(len(images)).split(FEATURE_BATCH_SIZE)
    return (images_BCHW.flatten(1) for images_BCHW in images.feed(batches, torch.device("cpu")))


def _published_validation(dataset: Dataset, device: torch.device) -> Examples | None:
    if dataset.validation is None or dataset.validation_labels_N is None:
        return None
    labels_N = dataset.validation_labels_N.to(device)
    return Examples(dataset.validation, labels_N, labels_N, torch.arange(len(labels_N)))


def _test(dataset: Dataset, size: int | None, device: torch.device) -> Examples:
    labels_N = dataset.test_labels_N.to(device)
    if size is not None and size > len(labels_N):
        raise ValueError(f"split.test_size must be at most {len(labels_N)}, the size of the test set, got {size}")
    return Examples(dataset.test, labels_N, labels_N, torch.arange(len(labels_N))[:size])
