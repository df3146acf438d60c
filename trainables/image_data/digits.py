"""Digits: 1,797 handwritten digits of 8x8 grey pixels, shipped with scikit-learn.

Source: the test part of "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak, UCI repository, 1998).
"""

from functools import lru_cache
from pathlib import Path

import torch

from models._base import DataShape
from spec.registry import Params
from trainables.image_data._base import DATASETS, Dataset
from trainables.image_data._pixels import Normalisation, PixelSource

TEST_SHARE = 0.2
# The data set has no published test set; ours is the same for every run, whatever its seeds.
TEST_SEED = 0

# Over the 1,437 training images; pixels go from 0 to 16.
NORMALISATION = Normalisation(mean_C=(0.3054,), std_C=(0.3761,), white=16)


class DigitsParams(Params):
    """Handwritten digits of 8x8 pixels; 1,437 to train on, 360 to test on, no augmentation."""


@DATASETS.register("digits", DigitsParams)
@lru_cache(maxsize=1)
def load_digits(params: DigitsParams, root: Path) -> Dataset:
    """The digits, with a constant stratified test set; needs no files."""
    # Slow to import, and only this data set needs scikit-learn.
    from sklearn import datasets, model_selection

    digits = datasets.load_digits()
    train_index, test_index = model_selection.train_test_split(
        range(len(digits.target)), test_size=TEST_SHARE, stratify=digits.target, random_state=TEST_SEED
    )
    pixels_N1SS = torch.from_numpy(digits.images).to(torch.uint8)[:, None]
    labels_N = torch.from_numpy(digits.target)
    return Dataset(
        train=PixelSource(pixels_N1SS[train_index], image_size=8, normalisation=NORMALISATION, augmented=False),
        train_labels_N=labels_N[train_index],
        test=PixelSource(pixels_N1SS[test_index], image_size=8, normalisation=NORMALISATION, augmented=False),
        test_labels_N=labels_N[test_index],
        class_names=[str(digit) for digit in range(10)],
        shape=DataShape(channels=1, image_size=8, num_classes=10),
    )
