"""CIFAR-10: 50,000 training and 10,000 test images of ten classes."""

from functools import lru_cache
from pathlib import Path

from trainables.image_data._base import DATASETS, Dataset
from trainables.image_data._cifar import CIFARFiles, CIFARParams, read_cifar
from trainables.image_data._pixels import Normalisation

CIFAR10 = CIFARFiles(
    title="CIFAR-10",
    folder="cifar-10-batches-py",
    torchvision_class="CIFAR10",
    train_md5={
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test_md5={"test_batch": "40351d587109b95175f43aff81a1287e"},
    meta_md5={"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
    labels_key="labels",
    class_names_key="label_names",
    num_classes=10,
    # The standard deviations are the mean of each image's own, a quirk that most of the field shares; over all pixels they
    # are (0.2470, 0.2435, 0.2616).
    normalisation=Normalisation(mean_C=(0.4914, 0.4822, 0.4465), std_C=(0.2023, 0.1994, 0.2010)),
)


# Small: a worker that goes through many runs reads the files once, and does not hoard data sets.
@DATASETS.register("cifar10", CIFARParams)
@lru_cache(maxsize=1)
def load_cifar10(params: CIFARParams, root: Path) -> Dataset:
    """CIFAR-10 from `root`/cifar-10-batches-py."""
    return read_cifar(CIFAR10, params, root)
