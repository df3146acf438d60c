"""Image folder: any tree of images with one folder for each class, as of Imagenette, ImageNet or one's own.

Shapes: N examples.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from models._base import DataShape
from spec.identity import content_hash
from spec.registry import Params
from trainables.image_data._base import DATASETS, Dataset, ImageSource
from trainables.image_data._files import FileSource, Framing, read_into_memory
from trainables.image_data._pixels import Normalisation

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
TEST_FOLDERS = ("test", "val")

Mean = Annotated[float, Field(ge=0, le=1)]
Std = Annotated[float, Field(gt=0, le=1)]


class ImageFolderParams(Params):
    """Images under PATH/train/CLASS/ and PATH/test/CLASS/ (or PATH/val/CLASS/)."""

    path: str = Field(min_length=1, description="the tree's folder, within the folder of all data sets")
    image_size: int = Field(224, ge=4, le=2048, description="pixels along each side of what the network sees")
    crop_from: Literal["resized", "padded"] = Field(
        "resized",
        description="resized: crops are taken from the image with its shorter side at 8/7 of image_size, as usual for ImageNet; "
        "padded: from the image at image_size with a black edge of 1/8 around it, as usual for CIFAR",
    )
    mean: tuple[Mean, Mean, Mean] = Field((0.485, 0.456, 0.406), description="of red, green and blue, in [0, 1]; default: ImageNet's")
    std: tuple[Std, Std, Std] = Field((0.229, 0.224, 0.225), description="of red, green and blue, in [0, 1]; default: ImageNet's")
    cache: Literal["memory", "stream"] = Field(
        "stream", description="memory: decode all images once and keep their pixels; stream: decode each time. Both give the same numbers"
    )

    @field_validator("path")
    @classmethod
    def _path_stays_inside(cls, path: str) -> str:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError(f"must be relative to the data folder and stay in it, without '..', got {path!r}")
        return path

    @property
    def framing(self) -> Framing:
        if self.crop_from == "padded":
            return Framing(self.image_size, resized=self.image_size, padding=self.image_size // 8)
        return Framing(self.image_size, resized=self.image_size * 8 // 7)


@DATASETS.register("image_folder", ImageFolderParams)
@lru_cache(maxsize=2)
def load_image_folder(params: ImageFolderParams, root: Path) -> Dataset:
    """The tree at `root`/`params.path`. Classes are the folders of train/, by name; training examples are in order of their paths.

    Raises:
        FileNotFoundError: the tree, one of its parts, or a class's images are missing.
        ValueError: the test images have a class that the training images lack.
    """
    tree = root / params.path
    test_folder = next((tree / name for name in TEST_FOLDERS if (tree / name).is_dir()), tree / TEST_FOLDERS[0])
    for folder in (tree / "train", test_folder):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{folder} is missing: an image folder holds train/CLASS/ and test/CLASS/ or val/CLASS/ with images (docs/datasets.md)"
            )
    train, test = _images_of_classes(tree / "train"), _images_of_classes(test_folder)
    class_names = list(train)
    if len(class_names) < 2:
        raise FileNotFoundError(f"{tree / 'train'} has {len(class_names)} class folders, at least 2 are needed (docs/datasets.md)")
    if strange := test.keys() - train.keys():
        raise ValueError(f"{test_folder} has classes that {tree / 'train'} lacks: {', '.join(sorted(strange))}")
    train_paths, train_labels_N = _in_order(train, class_names, key=Path.as_posix)
    # Not by class: the first n test examples should be of all classes. By a hash, so that the order is the same everywhere.
    test_paths, test_labels_N = _in_order(test, class_names, key=lambda path: content_hash(path.relative_to(test_folder).as_posix()))
    return Dataset(
        train=_source(train_paths, params),
        train_labels_N=train_labels_N,
        test=_source(test_paths, params),
        test_labels_N=test_labels_N,
        class_names=class_names,
        shape=DataShape(channels=3, image_size=params.image_size, num_classes=len(class_names)),
        train_paths=[path.relative_to(tree).as_posix() for path in train_paths],
    )


def _images_of_classes(folder: Path) -> dict[str, list[Path]]:
    """Each class's images, classes by name; folders whose names start with a dot are none."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    images = {path.name: [image for image in path.rglob("*") if image.suffix.lower() in SUFFIXES] for path in folders}
    if empty := [name for name, found in images.items() if not found]:
        raise FileNotFoundError(f"{folder / empty[0]} has no images ({', '.join(sorted(SUFFIXES))}): add some, or remove the folder")
    return images


def _in_order(images: dict[str, list[Path]], class_names: list[str], key: Callable[[Path], str]) -> tuple[list[Path], Tensor]:
    """All classes' images, and the labels (N,) that their folders give them."""
    label_of = {path: class_names.index(name) for name, paths in images.items() for path in paths}
    paths = sorted(label_of, key=key)
    return paths, torch.tensor([label_of[path] for path in paths], dtype=torch.int64)


def _source(paths: list[Path], params: ImageFolderParams) -> ImageSource:
    normalisation = Normalisation(params.mean, params.std)
    if params.cache == "memory":
        return read_into_memory(paths, params.framing, normalisation)
    return FileSource(paths, params.framing, normalisation)
