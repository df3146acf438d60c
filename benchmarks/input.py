"""Images per second and core of an input pipeline alone: JPEG files at 224 pixels, ours against torchvision's plain loop.

Ours is what `image_folder` streams: decoded at a reduced size where that is large enough, cropped, mirrored and sent as uint8, normalised
in one batch. The plain loop is ImageFolder with Resize, RandomCrop, flip, ToTensor and Normalize, image by image in float32, from the
same files with the same geometry. Both use one loader process, so that a core is what is compared; no model runs.

    python -m benchmarks.input [--quick] [--out input.json]
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.report import interleaved, print_report, ratio_rows
from trainables.image_data._files import FileSource
from trainables.image_data._pixels import Normalisation
from trainables.image_data.image_folder import ImageFolderParams

PARAMS = ImageFolderParams(path="tree")
BATCH_SIZE = 64
# Sides of the files, in pixels: ImageNet's average image, and one from a camera.
SIZES = {"500 x 375": (500, 375), "1600 x 1200": (1600, 1200)}
CPU = torch.device("cpu")


def write_tree(folder: Path, num_images: int, size: tuple[int, int]) -> list[Path]:
    """A class folder of smooth random JPEGs, about as large on disk as photographs are."""
    generator = torch.Generator().manual_seed(0)
    (folder / "class").mkdir(parents=True)
    paths = [folder / "class" / f"{number:05}.jpg" for number in range(num_images)]
    for path in paths:
        coarse_HWC = torch.randint(256, (size[1] // 12, size[0] // 12, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(coarse_HWC.numpy()).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def plain_epochs(folder: Path) -> Iterator[float]:
    """Images per second of one epoch after the other of the plain loop."""
    steps = [
        transforms.Resize(PARAMS.framing.resized),
        transforms.RandomCrop(PARAMS.image_size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(PARAMS.mean, PARAMS.std),
    ]
    data = ImageFolder(str(folder), transforms.Compose(steps))
    while True:
        yield images_per_second(lambda: DataLoader(data, BATCH_SIZE, shuffle=True, num_workers=1), len(data))


def our_epochs(paths: list[Path]) -> Iterator[float]:
    """Images per second of one epoch after the other of ours."""
    source = FileSource(paths, PARAMS.framing, Normalisation(PARAMS.mean, PARAMS.std), num_workers=1)
    batches = torch.randperm(len(paths), generator=torch.Generator().manual_seed(0)).split(BATCH_SIZE)
    epoch = 0
    while True:
        epoch += 1
        yield images_per_second(lambda: source.feed(batches, CPU, augment_seed=epoch), len(paths))  # noqa: B023


def images_per_second(start: Callable[[], Iterable[object]], num_images: int) -> float:
    """Images over wall seconds, the start of the loader process included."""
    began = time.perf_counter()
    for _ in start():
        pass
    return num_images / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512, help="files of each size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a few images, to see that it works")
    parser.add_argument("--out", type=Path, help="write the report as JSON here")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, arguments.rounds = 16, 1
    torch.set_num_threads(1)
    rows = []
    for name, size in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            paths = write_tree(Path(folder), arguments.images, size)
            plain, ours = plain_epochs(Path(folder)), our_epochs(paths)
            next(plain), next(ours)
            contestants = {f"plain loop, {name}": lambda: next(plain), f"image_folder, {name}": lambda: next(ours)}  # noqa: B023
            rows += ratio_rows(interleaved(contestants, arguments.rounds), f"plain loop, {name}", "images_per_second")
    print_report("input pipeline, one loader process", rows, arguments.out, images=arguments.images, rounds=arguments.rounds)


if __name__ == "__main__":
    main()
