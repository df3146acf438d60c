"""Training steps per second of `trainables.train` against a plain DataLoader loop, as the published code has it.

The plain loop is re-sln's: PIL images cropped and mirrored one by one by torchvision in DataLoader workers, float64 one-hot
targets, float32. Ours is `train_epoch` with the same network, batch and augmentation. Images are random: their content costs nothing.

    python -m benchmarks.train_step --model wide_resnet --threads 4
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.report import interleaved, print_report, ratio_rows
from models._base import MODELS, DataShape
from spec.records import LabelCard
from spec.run import RunConfig
from trainables.image_data._pixels import Normalisation, PixelSource
from trainables.image_data.examples import Examples, Splits
from trainables.learner import build_learner
from trainables.parts import RunConfig as BoundRunConfig
from trainables.train import train_epoch
from trainables.world import World

SHAPE = DataShape(channels=3, image_size=32, num_classes=10)
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


class PlainImages(Dataset[tuple[Tensor, Tensor, int]]):
    """re-sln's data set: (image, one-hot row in float64, index)."""

    def __init__(self, pixels_NHWC: numpy.ndarray, labels_N: Tensor) -> None:
        self.pixels_NHWC = pixels_NHWC
        self.one_hot_NK = torch.eye(SHAPE.num_classes, dtype=torch.float64)[labels_N]
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.pixels_NHWC)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        return self.transform(Image.fromarray(self.pixels_NHWC[index])), self.one_hot_NK[index], index


def plain_epochs(run: RunConfig, pixels_NCHW: Tensor, labels_N: Tensor, workers: int, device: torch.device) -> Iterator[float]:
    """Steps per second of one epoch after the other of the plain loop; its workers live on from epoch to epoch."""
    data = PlainImages(pixels_NCHW.permute(0, 2, 3, 1).numpy(), labels_N)
    loader = DataLoader(data, run.batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    model = MODELS[run.model.name](run.model, SHAPE).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
    while True:
        yield steps_per_second(lambda: plain_epoch(model, optimizer, loader, device), len(loader))


def plain_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, loader: DataLoader, device: torch.device) -> None:
    """The published inner loop."""
    for images, targets, _ in loader:
        logits = model(images.to(device))
        loss = -(torch.log_softmax(logits, dim=1) * targets.to(device)).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # The published code adds the loss up on the host.
        loss.item()


def our_epochs(run: RunConfig, pixels_NCHW: Tensor, labels_N: Tensor, device: torch.device) -> Iterator[float]:
    """Steps per second of one epoch after the other of ours."""
    source = PixelSource.padded(pixels_NCHW, padding=4, normalisation=Normalisation(MEAN, STD))
    examples = Examples(source, labels_N.to(device), labels_N.to(device), torch.arange(len(labels_N)))
    card = LabelCard.model_construct()
    splits = Splits(train=examples, measured=examples, validation=None, test=examples, shape=SHAPE, label_card=card)
    world = World.alone(device)
    learner = build_learner(run, splits, world)
    steps = -(-len(labels_N) // run.batch_size)
    epoch = 0
    while True:
        epoch += 1
        yield steps_per_second(lambda: train_epoch(run, splits, learner, learner.model, epoch, world), steps)  # noqa: B023


def steps_per_second(epoch: Callable[[], Any], steps: int) -> float:
    """Steps over wall seconds. Both loops end an epoch by bringing the loss to the host, so a GPU is done then."""
    began = time.perf_counter()
    epoch()
    return steps / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="small_cnn", help="any registered network with its defaults")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"], help="of ours; the plain loop is float32")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=40, help="steps of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loader-workers", type=int, default=2, help="of the plain loop; the published code has 2")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it works")
    parser.add_argument("--out", type=Path, help="write the report as JSON here")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.rounds = 4, 2
    torch.set_num_threads(arguments.threads)
    device = World.alone().device
    generator = torch.Generator().manual_seed(0)
    size = arguments.steps * arguments.batch_size
    pixels_NCHW = torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels_N = torch.randint(SHAPE.num_classes, (size,), generator=generator)
    run = BoundRunConfig.model_validate(
        {
            "dataset": "cifar10",
            "noise": "clean",
            "model": arguments.model,
            "precision": arguments.precision,
            "optimizer": "sgd",
            "method": {"name": "sln", "sigma": 1.0},
            "epochs": 100_000,
            "batch_size": arguments.batch_size,
        }
    )
    plain = plain_epochs(run, pixels_NCHW, labels_N, arguments.loader_workers, device)
    ours = our_epochs(run, pixels_NCHW, labels_N, device)
    next(plain), next(ours)
    figures = interleaved({"plain DataLoader loop": lambda: next(plain), "trainables.train": lambda: next(ours)}, arguments.rounds)
    rows = ratio_rows(figures, "plain DataLoader loop", "steps_per_second")
    settings = {name: value for name, value in vars(arguments).items() if name != "out"}
    print_report(f"training steps, {arguments.model}, {device}", rows, arguments.out, **settings)


if __name__ == "__main__":
    main()
