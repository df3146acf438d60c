"""CIFAR-10 and CIFAR-100: 60,000 colour images of 32x32 pixels, in torchvision's layout.

Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
Shapes: N examples, C channels, S x S pixels.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from pydantic import Field
from torch import Tensor

from models._base import DataShape
from noise._unpickle import unpickle_arrays
from spec.registry import Params
from trainables.image_data._base import Dataset
from trainables.image_data._pixels import Normalisation, PixelSource

IMAGE_SIZE = 32
PADDING = 4


class CIFARParams(Params):
    """CIFAR in torchvision's layout; random crops after zero-padding by 4, and horizontal flips."""

    verify: bool = Field(True, description="check the files' MD5; false accepts re-encoded batch files")
    download: bool = Field(False, description="fetch missing files through torchvision")


@dataclass(frozen=True)
class CIFARFiles:
    """Where one of the two data sets lies, and what makes it up. MD5 as published with the data, by file name."""

    title: str
    folder: str
    # Name of torchvision's class, which knows the download's address.
    torchvision_class: str
    train_md5: Mapping[str, str]
    test_md5: Mapping[str, str]
    meta_md5: Mapping[str, str]
    labels_key: str
    class_names_key: str
    num_classes: int
    normalisation: Normalisation

    @property
    def md5(self) -> dict[str, str]:
        return {**self.train_md5, **self.test_md5, **self.meta_md5}


def read_cifar(files: CIFARFiles, params: CIFARParams, root: Path) -> Dataset:
    """The data set under `root`.

    Raises:
        FileNotFoundError: files are missing, and were not to be downloaded or could not be.
        ValueError: a file is not the published one (with `verify`), or not a CIFAR batch.
    """
    folder = root / files.folder
    if params.download and _missing(files, folder):
        _download(files, root)
    if missing := _missing(files, folder):
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}: it should hold {files.title}'s Python version ({', '.join(files.md5)}); "
            f"put it there, or set dataset.download to true where there is a network (docs/datasets.md)"
        )
    if params.verify:
        _verify(files, folder)
    train, train_labels_N = _read_images(files, [folder / name for name in files.train_md5])
    test, test_labels_N = _read_images(files, [folder / name for name in files.test_md5])
    return Dataset(
        train=train,
        train_labels_N=train_labels_N,
        test=test,
        test_labels_N=test_labels_N,
        class_names=_class_names(files, folder),
        shape=DataShape(channels=3, image_size=IMAGE_SIZE, num_classes=files.num_classes),
    )


def _missing(files: CIFARFiles, folder: Path) -> list[str]:
    return [name for name in files.md5 if not (folder / name).is_file()]


def _download(files: CIFARFiles, root: Path) -> None:
    # Slow to import, and only needed here.
    from torchvision import datasets

    root.mkdir(parents=True, exist_ok=True)
    # Many runs may start at once: one downloads, the others wait and find the files.
    with FileLock(root / f".{files.folder}.lock"):
        if not _missing(files, root / files.folder):
            return
        try:
            getattr(datasets, files.torchvision_class)(root, download=True)
        except (OSError, RuntimeError) as error:
            raise FileNotFoundError(
                f"{files.title} could not be downloaded to {root} ({error}): "
                f"put its files into {root / files.folder} by hand and set dataset.download to false (docs/datasets.md)"
            ) from error


def _verify(files: CIFARFiles, folder: Path) -> None:
    for name, expected in files.md5.items():
        with (folder / name).open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != expected:
            raise ValueError(
                f"{folder / name} is not the published file (MD5 {found}, published {expected}): get it again, "
                f"or set dataset.verify to false if it was re-encoded on purpose"
            )


def _read_images(files: CIFARFiles, paths: list[Path]) -> tuple[PixelSource, Tensor]:
    batches = [_read_batch(files, path) for path in paths]
    pixels_NCSS = torch.from_numpy(np.concatenate([pixels for pixels, _ in batches]))
    labels_N = torch.tensor([label for _, labels in batches for label in labels], dtype=torch.int64)
    return PixelSource.padded(pixels_NCSS, PADDING, files.normalisation), labels_N


def _read_batch(files: CIFARFiles, path: Path) -> tuple[np.ndarray, list[int]]:
    batch = unpickle_arrays(path)
    expected = f"a dict with 'data' (uint8, N x {3 * IMAGE_SIZE**2}) and {files.labels_key!r} (N integers under {files.num_classes})"
    try:
        rows, labels = batch["data"], batch[files.labels_key]
        well_formed = rows.dtype == np.uint8 and len(rows) == len(labels) and all(0 <= label < files.num_classes for label in labels)
        pixels_NCSS = rows.reshape(len(labels), 3, IMAGE_SIZE, IMAGE_SIZE)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not a {files.title} batch, which is {expected}") from error
    if not well_formed:
        raise ValueError(f"{path} is not a {files.title} batch, which is {expected}")
    return pixels_NCSS, labels


def _class_names(files: CIFARFiles, folder: Path) -> list[str]:
    (path,) = (folder / name for name in files.meta_md5)
    meta = unpickle_arrays(path)
    names = meta.get(files.class_names_key) if isinstance(meta, dict) else None
    if not isinstance(names, list) or len(names) != files.num_classes:
        raise ValueError(f"{path} should name {files.num_classes} classes under {files.class_names_key!r}: get it again")
    return names
