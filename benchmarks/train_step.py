"""Training steps per second of `trainables.train` against a plain DataLoader loop, as the published code has it.

The plain loop is re-sln's: PIL images cropped and mirrored one by one by torchvision in DataLoader workers, float64 one-hot
targets, float32. Ours is `train_epoch` with the same network, batch and augmentation. Images are random: their content costs nothing.
Each loop has a process of its own.

Beside the ratio stands the share of the limit: the time that the step's operations take at the rate of a large matrix product or a wide
convolution, whichever is faster, in the same precision on the same threads, or that the bytes which it must move take at the rate of a
copy, whichever is longer, over our step's time.

    python -m benchmarks.train_step --model wide_resnet --threads 4
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from benchmarks.report import Apart, interleaved, print_report, ratio_rows
from models._base import MODELS, DataShape
from spec.records import LabelCard
from spec.run import RunConfig
from trainables.image_data._pixels import Normalisation, PixelSource
from trainables.image_data.examples import Examples, Splits
from trainables.learner import build_learner
from trainables.memory import keep_freed_memory
from trainables.parts import RunConfig as BoundRunConfig
from trainables.precision import make_repeatable
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


def run_of(arguments: argparse.Namespace) -> RunConfig:
    """The run that both loops train."""
    return BoundRunConfig.model_validate(
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


def images_of(arguments: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Random pixels (N, 3, 32, 32) as uint8, and labels (N)."""
    generator = torch.Generator().manual_seed(0)
    size = arguments.steps * arguments.batch_size
    pixels_NCHW = torch.randint(256, (size, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return pixels_NCHW, torch.randint(SHAPE.num_classes, (size,), generator=generator)


def plain_epochs(arguments: argparse.Namespace) -> Iterator[float]:
    """Steps per second of one epoch after the other of the plain loop; its workers live on from epoch to epoch."""
    torch.set_num_threads(arguments.threads)
    run, device = run_of(arguments), World.alone().device
    pixels_NCHW, labels_N = images_of(arguments)
    data, workers = PlainImages(pixels_NCHW.permute(0, 2, 3, 1).numpy(), labels_N), arguments.loader_workers
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


def our_epochs(arguments: argparse.Namespace) -> Iterator[float]:
    """Steps per second of one epoch after the other of ours."""
    run, splits, world = prepared(arguments)
    learner = build_learner(run, splits, world)
    for epoch in itertools.count(1):
        yield steps_per_second(lambda: train_epoch(run, splits, learner, learner.model, epoch, world), arguments.steps)  # noqa: B023


def prepared(arguments: argparse.Namespace) -> tuple[RunConfig, Splits, World]:
    """This process set up as for a run of ours, the run, and the images and labels as it has them."""
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    run, world = run_of(arguments), World.alone()
    make_repeatable(world.device)
    pixels_NCHW, labels_N = images_of(arguments)
    labels_N = labels_N.to(world.device)
    source = PixelSource.padded(pixels_NCHW, padding=4, normalisation=Normalisation(MEAN, STD))
    examples = Examples(source, labels_N, labels_N, torch.arange(len(labels_N)))
    card = LabelCard.model_construct()
    return run, Splits(train=examples, measured=examples, validation=None, test=examples, shape=SHAPE, label_card=card), world


def steps_per_second(epoch: Callable[[], Any], steps: int) -> float:
    """Steps over wall seconds. Both loops end an epoch by bringing the loss to the host, so a GPU is done then."""
    began = time.perf_counter()
    epoch()
    return steps / (time.perf_counter() - began)


def least_seconds(run: RunConfig, device: torch.device) -> dict[str, float]:
    """What a step takes at least: its operations at the measured rate, its bytes at the measured bandwidth."""
    world = World.alone(device)
    labels_N = torch.zeros(run.batch_size, dtype=torch.int64, device=device)
    source = PixelSource.padded(torch.zeros(1, 3, 32, 32, dtype=torch.uint8), padding=4, normalisation=Normalisation(MEAN, STD))
    examples = Examples(source, labels_N, labels_N, labels_N)
    splits = Splits(examples, examples, None, examples, SHAPE, LabelCard.model_construct())
    model = build_learner(run, splits, world).model
    images_BCHW = torch.zeros(run.batch_size, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    saved_bytes = 0

    def count(saved: Tensor) -> Tensor:
        nonlocal saved_bytes
        saved_bytes += saved.nbytes
        return saved

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(count, lambda saved: saved):
        functional.cross_entropy(model(images_BCHW), labels_N).backward()
    parameter_bytes = sum(parameter.nbytes for parameter in model.parameters())
    # What is kept for the way back is written and read; SGD with momentum reads and writes weights and momentum, and reads gradients.
    moved = 2 * saved_bytes + 5 * parameter_bytes
    dtype = getattr(torch, run.precision)
    return {"operations": counter.get_total_flops() / operation_rate(dtype, device), "bytes": moved / bandwidth(device)}


def operation_rate(dtype: torch.dtype, device: torch.device, size: int = 2048, channels: int = 256) -> float:
    """Operations per second of a square matrix product or of a 3x3 convolution with many channels: libraries favour one or the other."""
    matrix = torch.ones(size, size, dtype=dtype, device=device)
    product = 2 * size**3 / shortest(lambda: torch.mm(matrix, matrix), device)
    images_BCHW = torch.ones(32, channels, 16, 16, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    filters = torch.ones(channels, channels, 3, 3, dtype=dtype, device=device).contiguous(memory_format=torch.channels_last)
    operations = 2 * images_BCHW.numel() * channels * 9
    with torch.no_grad():
        return max(product, operations / shortest(lambda: functional.conv2d(images_BCHW, filters, padding=1), device))


def bandwidth(device: torch.device, size: int = 2**28) -> float:
    """Bytes per second of a copy, read and written ones together."""
    source, target = (torch.zeros(size, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * size / shortest(lambda: target.copy_(source), device)


def shortest(work: Callable[[], Any], device: torch.device, times: int = 10) -> float:
    """The least seconds that the work took."""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


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
    with Apart(plain_epochs, arguments) as plain, Apart(our_epochs, arguments) as ours:
        contestants = {"plain DataLoader loop": plain, "trainables.train": ours}
        interleaved(contestants, rounds=1)
        figures = interleaved(contestants, arguments.rounds)
    rows = ratio_rows(figures, "plain DataLoader loop", "steps_per_second")
    torch.set_num_threads(arguments.threads)
    device = World.alone().device
    least = least_seconds(run_of(arguments), device)
    for row in rows:
        row["share_of_limit"] = max(least.values()) * row["steps_per_second"]
    settings = {name: value for name, value in vars(arguments).items() if name != "out"}
    print_report(f"training steps, {arguments.model}, {device}", rows, arguments.out, least_seconds=least, **settings)


if __name__ == "__main__":
    main()
