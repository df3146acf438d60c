"""A data set's labels under noise, as a label file that says where they come from."""

from pathlib import Path

from noise.files import LabelFile, Provenance
from noise.labels import corrupt
from spec.registry import NamedParams
from trainables.image_data._base import DATASETS
from trainables.image_data.examples import clean_labels


def draw_labels(dataset: NamedParams, noise: NamedParams, label_seed: int, root: Path) -> LabelFile:
    """The labels that every run with this data set, noise and label seed gets. `root`: the folder that data sets lie in.

    Raises:
        FileNotFoundError: the data set, or a file that the noise reads, is missing.
        ValueError: the noise does not go with the data set.
    """
    clean = clean_labels(DATASETS[dataset.name](dataset, root), dataset, root)
    provenance = Provenance(dataset=dataset.model_dump(mode="json"), noise=noise.model_dump(mode="json"), label_seed=label_seed)
    return LabelFile.of(corrupt(clean, noise, label_seed), provenance)
