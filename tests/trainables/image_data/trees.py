"""Small trees of JPEG files, laid out like Animal-10N's and Clothing1M's."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Random colours without detail finer than a few pixels, which JPEG keeps."""
    colours = np.random.default_rng(seed).integers(256, size=(4, 4, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)


def write_animal10n(root: Path, train_per_class: int = 3, test_per_class: int = 2) -> Path:
    """Ten classes of pictures, 64 x 64; written in an order that is not that of their names."""
    for part, per_class in (("training", train_per_class), ("testing", test_per_class)):
        folder = root / "animal10n" / part
        folder.mkdir(parents=True)
        for number in reversed(range(10 * per_class)):
            picture(64, 64, seed=number).save(folder / f"{number % 10}_img_{1553496947496 + number}.jpg")
    return root


def write_clothing1m(
    root: Path, train_labels: list[int], validation_labels: list[int] | None = None, test_labels: list[int] | None = None
) -> Path:
    """Pictures of these classes in this order, larger than what a network sees."""
    lists = {
        "noisy_train": train_labels,
        "clean_val": list(range(14)) if validation_labels is None else validation_labels,
        "clean_test": list(range(14)) if test_labels is None else test_labels,
    }
    folder = root / "clothing1m"
    (folder / "annotations").mkdir(parents=True)
    for name, labels in lists.items():
        (folder / "images" / name).mkdir(parents=True)
        paths = [f"images/{name}/{number},1.jpg" for number in range(len(labels))]
        for number, path in enumerate(paths):
            picture(260 + 10 * (number % 3), 300, seed=number).save(folder / path)
        lines = [f"{path} {label}\n" for path, label in zip(paths, labels, strict=True)]
        (folder / "annotations" / f"{name}.txt").write_text("".join(lines))
    return root
