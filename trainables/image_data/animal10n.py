"""Animal-10N: 50,000 training and 5,000 test images of ten animals, five pairs that look alike.

People labelled the training images and mistook some; about 8 % are wrong by the authors' estimate, and nobody knows which.

Source: Song et al., "SELFIE: refurbishing unclean samples for robust deep learning", ICML 2019. By default images are halved to 32 x 32
as in re-sln (mark-antal-csizmadia/re-sln, 2021), a reproduction of "Noise against noise"; SELFIE's are 64 x 64.

Shapes: N examples, S x S pixels.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from models._base import DataShape
from spec.identity import content_hash
from spec.registry import Params
from trainables.image_data._base import DATASETS, Dataset
from trainables.image_data._files import Framing
from trainables.image_data._pixels import Normalisation, PixelSource

CLASSES = ("cat", "lynx", "wolf", "coyote", "cheetah", "jaguar", "chimpanzee", "orangutan", "hamster", "guinea pig")
FOLDER = "animal10n"
SIZES = {"training": 50_000, "testing": 5_000}
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
PUBLISHED = Framing(image_size=64, resized=64)
WHITE = 255


class Animal10NParams(Params):
    """Ten animals, with the labels of people who mistook some."""

    image_size: Literal[32, 64] = Field(32, description="pixels along each side: 64 as published, or halved to 32")
    verify: bool = Field(True, description="there must be as many images as were published; false for a part of them")


@DATASETS.register("animal10n", Animal10NParams)
@lru_cache(maxsize=1)
def load_animal10n(params: Animal10NParams, root: Path) -> Dataset:
    """The data set under `root`. Training examples are in order of their file names, whatever the file system's.

    Raises:
        FileNotFoundError: a folder is missing or empty.
        ValueError: a file's name or content is not as published, or (with `verify`) there are more or fewer.
    """
    train_paths, test_paths = (_images_in(root / FOLDER / part, params.verify) for part in SIZES)
    # Names begin with the class, and the first n test examples should be of all classes. By a hash: the same order everywhere.
    test_paths.sort(key=lambda path: content_hash(path.name))
    train_N3SS, normalisation = read_pixels(train_paths, params.image_size)
    test_N3SS, _ = read_pixels(test_paths, params.image_size)
    return Dataset(
        train=PixelSource.padded(train_N3SS, params.image_size // 8, normalisation),
        train_labels_N=_labels(train_paths),
        test=PixelSource.padded(test_N3SS, params.image_size // 8, normalisation),
        test_labels_N=_labels(test_paths),
        class_names=CLASSES,
        shape=DataShape(channels=3, image_size=params.image_size, num_classes=len(CLASSES)),
        train_paths=[f"training/{path.name}" for path in train_paths],
        train_labels_are_true=False,
    )


def label_of(path: Path) -> int:
    """The class that a file is named after: `3_img_1553496947496.jpg` is of class 3.

    Raises:
        ValueError: the name does not begin with a class and an underscore.
    """
    digits, underscore, _ = path.name.partition("_")
    if not (underscore and digits.isascii() and digits.isdecimal() and int(digits) < len(CLASSES)):
        raise ValueError(f"{path} should be called CLASS_....jpg, where CLASS is from 0 to {len(CLASSES) - 1}: rename or remove it")
    return int(digits)


def read_pixels(paths: list[Path], image_size: int) -> tuple[Tensor, Normalisation]:
    """The images (N, 3, S, S) as bytes; and their channels' mean and deviation over all pixels as published, before any halving.

    The sums are whole numbers, so that they do not depend on the order in which threads add them.
    """
    pixels_N3SS = torch.empty(len(paths), 3, image_size, image_size, dtype=torch.uint8)
    sums_N32 = torch.empty(len(paths), 3, 2, dtype=torch.int64)

    def read(index: int) -> None:
        published_3SS = PUBLISHED.read(paths[index])
        values_3P = published_3SS.flatten(1).long()
        sums_N32[index] = torch.stack([values_3P.sum(1), (values_3P**2).sum(1)], dim=1)
        pixels_N3SS[index] = resized(published_3SS, image_size)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        # Through list, so that the first error is raised here.
        list(pool.map(read, range(len(paths))))
    means_32 = sums_N32.sum(0).double() / (len(paths) * PUBLISHED.image_size**2)
    mean_3, std_3 = means_32[:, 0], (means_32[:, 1] - means_32[:, 0] ** 2).sqrt()
    return pixels_N3SS, Normalisation(tuple((mean_3 / WHITE).tolist()), tuple((std_3 / WHITE).tolist()), WHITE)


def resized(pixels_3SS: Tensor, image_size: int) -> Tensor:
    """The image at another size, as torchvision's Resize makes it of a Pillow image."""
    if pixels_3SS.shape[-1] == image_size:
        return pixels_3SS
    # Here, so that data sets without image files do not need Pillow.
    from PIL import Image

    image = Image.fromarray(pixels_3SS.permute(1, 2, 0).numpy()).resize((image_size, image_size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def _images_in(folder: Path, verify: bool) -> list[Path]:
    """The folder's images, by name."""
    paths = sorted((path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES), key=lambda path: path.name)
    if not paths:
        raise FileNotFoundError(
            f"{folder} has no images: ask Animal-10N's authors for it (https://dm.kaist.ac.kr/datasets/animal-10n/) and put the images "
            f"into {folder.parent / 'training'} and {folder.parent / 'testing'}, named like 3_img_1553496947496.jpg (docs/datasets.md)"
        )
    published = SIZES[folder.name]
    if verify and len(paths) != published:
        raise ValueError(
            f"{folder} has {len(paths):,} images, {published:,} were published: unpack the archive again, "
            f"or set dataset.verify to false to take a part of them"
        )
    return paths


def _labels(paths: list[Path]) -> Tensor:
    return torch.tensor([label_of(path) for path in paths], dtype=torch.int64)
