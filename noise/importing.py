"""Others' label files as our own: read, checked against the data set, with the file's hash as where they come from.

Shapes: N examples.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from noise._base import CleanLabels, Corruption
from noise._file_labels import FileLabels, Wanted, check_clean, read_content
from noise.files import LabelFile, Provenance, parse
from noise.labels import describe
from noise.recorded import read_labels

ORDER_TRUSTED = "The order of the labels was trusted, not checked: the file that they come from had no clean labels."


def import_file(
    file: Path,
    wanted: Wanted,
    clean: CleanLabels,
    dataset: dict[str, Any],
    clean_file: Path | None = None,
    trust_order: bool = False,
) -> LabelFile:
    """A label file of any format as one of our own; `dataset` says what `clean` are the labels of.

    `clean_file` is an `.npy` of the clean labels, for files without any. `trust_order` reads a file that has neither clean
    labels nor paths as it stands; it then says so for ever.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, about something else, or its order cannot be checked.
    """
    labels = read_labels(file, wanted, clean)
    if file.suffix.lower() == ".json":
        return parse(read_content(file), file)
    if clean_file is not None:
        # An array of one column is read as noisy labels; here they are the clean ones.
        labels = replace(labels, clean_N=read_labels(clean_file, Wanted("label_noisy"), clean).noisy_N)
        check_clean(labels, clean, clean_file)
    remarks = [] if labels.by_path or labels.clean_N is not None else [_unchecked(file, trust_order)]
    noise = {"name": "recorded", "path": file.name, "column": wanted.column, "sha256": hashlib.sha256(read_content(file)).hexdigest()}
    provenance = Provenance(dataset=dataset, noise=noise, label_seed=None, remarks=remarks)
    return LabelFile.of(describe(clean, _corruption(labels), "recorded", None), provenance)


def _unchecked(file: Path, trust_order: bool) -> str:
    if not trust_order:
        raise ValueError(
            f"{file} has neither paths nor clean labels, so its order cannot be checked: give the clean labels with --clean FILE.npy, "
            "or say --trust-order"
        )
    return ORDER_TRUSTED


def _corruption(labels: FileLabels) -> Corruption:
    return Corruption(labels.noisy_N, labels.replaced)
