"""Recorded noise: labels from a file, as people or a published generator made them.

CSV: by index, columns `label,label_noisy`, where row i is training image i, as in the files of Chen et al., "Noise against
noise", ICLR 2021; or by path, a column `path`, as in fastai's Noisy Imagenette. A label is a class name or the number of a
class. Arrays: `.npy`, and the `.pt` files of Wei et al., "Learning with Noisy Labels Revisited", ICLR 2022 (CIFAR-10N, CIFAR-100N).
`.json`: the files that `noisegrid noise` writes.

The file's clean labels are compared with the data set's, so that a file in another order is refused instead of being read as
more noise.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import Field

from noise._array_files import read_npy, read_torch
from noise._base import NOISES, CleanLabels, Corruption
from noise._csv_files import read_csv
from noise._file_labels import CLEAN_COLUMNS, FileLabels, Wanted, check_clean, read_content
from noise.files import read_own
from spec.registry import Params

# By the end of the file's name; all others are CSV.
READERS: dict[str, Callable[[Path, bytes, Wanted, CleanLabels], FileLabels]] = {
    ".pt": read_torch,
    ".pth": read_torch,
    ".npy": read_npy,
    ".json": read_own,
}


class RecordedParams(Params):
    """Labels as a file gives them. The label seed changes nothing."""

    path: str = Field(
        min_length=1,
        description="CSV file with a header, .pt, .npy, or .json from `noisegrid noise`; relative names start from the data folder",
    )
    column: str = Field("label_noisy", description="column or key of the noisy labels, e.g. noisy_labels_5 or worse_label")
    clean_column: str | None = Field(
        None, description="column or key of the clean labels; `label`, `noisy_labels_0` or `clean_label` where not given"
    )
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="the file's SHA-256; another content is refused")


@NOISES.register("recorded", RecordedParams)
def recorded(clean: CleanLabels, params: RecordedParams, generator: torch.Generator) -> Corruption:
    """The file's noisy labels, in the data set's order, and the images that it says were replaced.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has another content than `sha256`, lacks a column, or is not about this data set.
    """
    file = clean.root / params.path
    labels = read_labels(file, Wanted(params.column, params.clean_column), clean, params.sha256)
    if labels.clean_N is None and not labels.by_path:
        raise ValueError(
            f"{file} has neither paths nor clean labels ({', '.join(CLEAN_COLUMNS)}), so its order cannot be checked: "
            "name the column with the clean labels in noise.clean_column, or make a file that has them with `noisegrid noise import`"
        )
    return Corruption(labels.noisy_N, labels.replaced)


def read_labels(file: Path, wanted: Wanted, clean: CleanLabels, sha256: str | None = None) -> FileLabels:
    """A label file of any known format; clean labels that it has are the data set's.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has another content than `sha256`, lacks a column, or is not about this data set.
    """
    content = read_content(file, sha256)
    labels = READERS.get(file.suffix.lower(), read_csv)(file, content, wanted, clean)
    check_clean(labels, clean, file)
    return labels
