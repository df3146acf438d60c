"""Labels from files of NumPy arrays: `.npy`, and the `.pt` files of CIFAR-10N and CIFAR-100N. Nothing in them is ever run.

A `.pt` file is a dict of arrays that torch.save wrote, in either of its formats. torch.load refuses the published ones unless it
is told to run what they hold; here, only arrays are rebuilt.

Source: Wei et al., "Learning with Noisy Labels Revisited", ICLR 2022, whose CIFAR-10N has `clean_label`, `aggre_label`,
`worse_label` and `random_label1` to 3, CIFAR-100N `clean_label` and `noisy_label`.
Shapes: N examples.
"""

import io
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from noise._base import CleanLabels
from noise._file_labels import FileLabels, Wanted, check_length
from noise._unpickle import ArrayUnpickler, reading

# How torch.save's older format begins: its magic number, the format's version, facts about the machine; then what was saved.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
NUM_HEADERS = 3
ZIP_MAGIC = b"PK\x03\x04"
# A label file is small; what a zip file unpacks to need not be.
MAX_PICKLE_BYTES = 2**30

Arrays = dict[str, np.ndarray]


def read_torch(file: Path, content: bytes, wanted: Wanted, clean: CleanLabels) -> FileLabels:
    """The labels under a key of a dict of NumPy arrays that torch.save wrote.

    Raises:
        UnsafePickleError: the file holds something else than arrays; nothing of it was run.
        ValueError: it is damaged, lacks a key, or its arrays are not labels of the data set.
    """
    with reading(file):
        saved = _saved_object(content)
    arrays = {str(key): value for key, value in saved.items() if isinstance(value, np.ndarray)} if isinstance(saved, dict) else {}
    if not arrays:
        raise ValueError(f"{file} should hold a dict of NumPy arrays, such as CIFAR-10N's, and holds a {type(saved).__name__}")
    return _labels(arrays, wanted, clean, file)


def read_npy(file: Path, content: bytes, wanted: Wanted, clean: CleanLabels) -> FileLabels:
    """The labels of an array of whole numbers: noisy ones (N,), or columns of clean and noisy ones (N, 2).

    Raises:
        ValueError: it is another kind of array, or not about this data set.
    """
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    # Damaged headers make it fail in many ways.
    except Exception as error:
        raise ValueError(
            f"{file} is not an array that can be read without running it ({error}): save the labels as whole numbers"
        ) from error
    if isinstance(array, np.ndarray) and array.ndim == 1:
        return _labels({"label_noisy": array}, Wanted("label_noisy"), clean, file)
    if isinstance(array, np.ndarray) and array.ndim == 2 and array.shape[1] == 2:
        return _labels({"label": array[:, 0], "label_noisy": array[:, 1]}, Wanted("label_noisy"), clean, file)
    shape = getattr(array, "shape", "no array")
    raise ValueError(f"{file} should be an array of noisy labels (N,), or of clean and noisy labels (N, 2), and is {shape}")


def _saved_object(content: bytes) -> Any:
    file = io.BytesIO(content)
    if content.startswith(ZIP_MAGIC):
        return ArrayUnpickler(io.BytesIO(_pickle_in_zip(file))).load()
    magic, *_ = (ArrayUnpickler(file).load() for _ in range(NUM_HEADERS))
    if magic != LEGACY_MAGIC:
        raise ValueError("it is not a file of torch.save")
    return ArrayUnpickler(file).load()


def _pickle_in_zip(file: IO[bytes]) -> bytes:
    with zipfile.ZipFile(file) as archive:
        (pickled,) = [entry for entry in archive.infolist() if entry.filename.endswith("data.pkl")]
        if pickled.file_size > MAX_PICKLE_BYTES:
            raise ValueError(f"it unpacks to {pickled.file_size} bytes")
        return archive.read(pickled)


def _labels(arrays: Arrays, wanted: Wanted, clean: CleanLabels, file: Path) -> FileLabels:
    column, clean_column = wanted.columns_among(list(arrays), file)
    clean_N = None if clean_column is None else _checked(arrays[clean_column], clean, clean_column, file)
    return FileLabels(_checked(arrays[column], clean, column, file), clean_N)


def _checked(array: np.ndarray, clean: CleanLabels, column: str, file: Path) -> Tensor:
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise ValueError(f"{file} should hold whole numbers of shape (N,) in {column!r}, and holds {array.dtype} of shape {array.shape}")
    check_length(len(array), clean, file)
    # Before they become signed: a large unsigned number must not turn into a small one.
    strange = array[(array < 0) | (array >= clean.num_classes)]
    if len(strange):
        raise ValueError(f"{file} has {strange[0]} in {column!r}: expected class numbers from 0 to {clean.num_classes - 1}")
    return torch.from_numpy(array.astype(np.int64))
