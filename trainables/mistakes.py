"""Feature-dependent label noise: train a network on clean labels, then flip the labels that it is nearest to getting wrong.

Source: Chen et al., "Beyond class-conditional assumption: a primary attempt to combat instance-dependent label noise", AAAI 2021,
algorithm 1: the softmax outputs are averaged over the epochs, so that examples that are learned late count as hard.

Shapes: N examples, K classes.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from noise._base import Corruption
from noise.files import LabelFile, Provenance
from noise.labels import describe
from noise.mistakes import flip_by_mistakes
from spec.run import RunConfig
from trainables.evaluate import predict
from trainables.image_data._base import DATASETS
from trainables.image_data.examples import clean_labels, load_splits
from trainables.learner import build_learner
from trainables.train import train_epoch
from trainables.world import World

Notify = Callable[[int], object]
REMARK = "The labels follow from a trained network: trained again, another machine may flip a few others. This file is the noise."


def dependent_labels(run: RunConfig, rate: float, root: Path, world: World, ended: Notify = lambda epoch: None) -> LabelFile:
    """A label file of which exactly round(rate * N) labels are wrong, by the mistakes of the run's network on clean labels.

    `ended` is called after each epoch.

    Raises:
        ValueError: the run has noisy labels, or does not train on the whole training set.
    """
    if run.noise.name != "clean" or run.split.validation or run.split.train_size is not None:
        raise ValueError(
            "mistakes are those of a network on all training examples with clean labels: give a run with noise `clean` and no split"
        )
    clean = clean_labels(DATASETS[run.dataset.name](run.dataset, root), run.dataset, root)
    noisy_N = flip_by_mistakes(mean_probabilities(run, root, world, ended), clean.labels_N, rate)
    labels = describe(clean, Corruption(noisy_N), "dependent", rate)
    config = run.resolved()
    noise = {"name": "dependent", "rate": rate, "run_id": run.run_id, "run": config}
    return LabelFile.of(labels, Provenance(dataset=config["dataset"], noise=noise, label_seed=None, remarks=[REMARK]))


def mean_probabilities(run: RunConfig, root: Path, world: World, ended: Notify) -> Tensor:
    """The network's probabilities (N, K) for every training image without augmentation, averaged over the epochs; float64, on the CPU."""
    splits = load_splits(run, root, world.device)
    learner = build_learner(run, splits, world)
    sum_NK = torch.zeros(len(splits.train), splits.shape.num_classes, dtype=torch.float64)
    for epoch in range(1, run.epochs + 1):
        train_epoch(run, splits, learner, learner.model, epoch, world)
        (network, *_) = learner.models.values()
        sum_NK += predict(network, splits.train, world).double().softmax(dim=1).cpu()
        ended(epoch)
    return sum_NK / run.epochs
