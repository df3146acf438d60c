"""Samples: a few training images with right and with wrong labels, for people to look at.

Source: after the `viz` program of the re-sln replication (2021) of Chen et al., "Noise against noise", ICLR 2021.
Shapes: N training examples, B chosen ones, S x S pixels.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noise.labels import NoisyLabels, corrupt
from spec.records import LabelCard
from spec.run import RunConfig
from spec.seeds import stream_seed
from trainables.image_data._base import DATASETS
from trainables.image_data.examples import NO_CLASS, clean_labels, shown_images, true_labels

NUM_OF_KIND = 16


@dataclass(frozen=True)
class Sample:
    """A training image and its labels, by the names of their classes."""

    index: int
    image: np.ndarray[Any, Any]  # (S, S, 3) of uint8
    given: str
    # None where nobody knows it, or the image is of none of the classes.
    true: str | None
    is_corrupt: bool
    # Where the image comes from, if noise put it there: data set and place in it.
    source: tuple[str, int] | None = None


@dataclass(frozen=True)
class Samples:
    """Pristine samples, then corrupt ones, and what is known of the labels that they are from."""

    samples: list[Sample]
    card: LabelCard


def draw_samples(run: RunConfig, root: Path) -> Samples:
    """16 pristine and 16 corrupt training examples of the run's labels; more of one kind where the other is short of examples.

    They are drawn with the label seed, from the whole training set: runs with the same labels have the same samples.

    Raises:
        FileNotFoundError: the data set, or a label file, is missing.
        ValueError: the noise does not go with the data set.
    """
    dataset = DATASETS[run.dataset.name](run.dataset, root)
    labels = corrupt(clean_labels(dataset, run.dataset, root), run.noise, run.seeds.label)
    index_B = choose(labels.is_corrupted_N, stream_seed("samples", run.seeds.label))
    images_BCSS = shown_images(dataset, run.dataset, labels, root).pictures(index_B)
    return Samples(_samples(index_B, images_BCSS, labels), labels.card)


def choose(is_corrupted_N: Tensor, seed: int) -> Tensor:
    """Indices of pristine, then of corrupt examples, without replacement; each kind ascending."""
    order_N = torch.randperm(len(is_corrupted_N), generator=torch.Generator().manual_seed(seed))
    pristine, corrupt = order_N[~is_corrupted_N[order_N]], order_N[is_corrupted_N[order_N]]
    num_corrupt = min(len(corrupt), max(NUM_OF_KIND, 2 * NUM_OF_KIND - len(pristine)))
    return torch.cat([pristine[: 2 * NUM_OF_KIND - num_corrupt].sort().values, corrupt[:num_corrupt].sort().values])


def _samples(index_B: Tensor, images_BCSS: Tensor, labels: NoisyLabels) -> list[Sample]:
    names, true_N = labels.card.class_names, true_labels(labels)
    sources = _sources(labels)
    return [
        Sample(
            index=index,
            image=_pixels(image_CSS),
            given=names[int(labels.noisy_N[index])],
            true=names[int(true_N[index])] if labels.card.truth_is_known and true_N[index] != NO_CLASS else None,
            is_corrupt=bool(labels.is_corrupted_N[index]),
            source=sources.get(index),
        )
        for index, image_CSS in zip(index_B.tolist(), images_BCSS, strict=True)
    ]


def _sources(labels: NoisyLabels) -> dict[int, tuple[str, int]]:
    if (replaced := labels.replaced) is None:
        return {}
    pairs = zip(replaced.index_in_train_M.tolist(), replaced.index_in_source_M.tolist(), strict=True)
    return {index: (replaced.source, index_in_source) for index, index_in_source in pairs}


def _pixels(image_CSS: Tensor) -> np.ndarray[Any, Any]:
    """Bytes (S, S, 3); grey images in three equal channels."""
    pixels: np.ndarray[Any, Any] = (image_CSS * 255).round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).numpy()
    return pixels
