"""CIFAR-100: 50,000 training and 10,000 test images of a hundred classes ("fine" labels)."""

from functools import lru_cache
from pathlib import Path

from trainables.image_data._base import DATASETS, Dataset
from trainables.image_data._cifar import CIFARFiles, CIFARParams, read_cifar
from trainables.image_data._pixels import Normalisation

CIFAR100 = CIFARFiles(
    title="CIFAR-100",
    folder="cifar-100-python",
    torchvision_class="CIFAR100",
    train_md5={"train": "16019d7e3df5f24257cddd939b257f8d"},
    test_md5={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
    meta_md5={"meta": "7973b15100ade9c7d40fb424638fde48"},
    labels_key="fine_labels",
    class_names_key="fine_label_names",
    num_classes=100,
    # Over all pixels of the training set.
    normalisation=Normalisation(mean_C=(0.5071, 0.4865, 0.4409), std_C=(0.2673, 0.2564, 0.2762)),
)


# Small: a worker that goes through many runs reads the files once, and does not hoard data sets.
@DATASETS.register("cifar100", CIFARParams)
@lru_cache(maxsize=1)
def load_cifar100(params: CIFARParams, root: Path) -> Dataset:
    """CIFAR-100 from `root`/cifar-100-python."""
    return read_cifar(CIFAR100, params, root)
