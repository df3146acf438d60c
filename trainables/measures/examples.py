"""Example fits: what a run's models make of every single training example, without augmentation, kept as one small file.

Pictures are drawn from it that means cannot give: how sure a model is of pristine and of corrupt examples, and which of them
it fits first.

Shapes: M measured examples.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

# The service reads these files without PyTorch.
if TYPE_CHECKING:
    from torch import Tensor

# Of each model, in the order of `measures.fit.fit_of_each`.
COLUMNS = ("loss", "predicted", "probability")
DTYPES = {"index": "<u4", "given": "<i2", "true": "<i2", "loss": "<f4", "predicted": "<i2", "probability": "<f4"}
SHARED = ("index", "given", "true")
# As everywhere in the project: the true label of an image that is of none of the classes.
NO_CLASS = -1

Column = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ExampleFits:
    """Columns of M values: `index` in the data set (ascending), `given` and `true` label, and for each model `COLUMNS`.

    A true label is `NO_CLASS` where noise replaced the image. Models are known by the prefix of their metrics: "" and "ema_".
    """

    shared: Mapping[str, Column]
    models: Mapping[str, Mapping[str, Column]]

    @classmethod
    def of(cls, index_M: "Tensor", given_M: "Tensor", true_M: "Tensor", fits: "Mapping[str, Tensor]") -> "ExampleFits":
        """From tensors; `fits` has a model's columns, (M, 3), by prefix."""
        shared = dict(zip(SHARED, (index_M, given_M, true_M), strict=True))
        models = {prefix: dict(zip(COLUMNS, fit_M3.unbind(1), strict=True)) for prefix, fit_M3 in fits.items()}
        return cls(_columns(shared), {prefix: _columns(columns) for prefix, columns in models.items()})

    def columns(self, prefix: str = "") -> dict[str, Column]:
        """The shared columns, and those of one model.

        Raises:
            KeyError: the run has no such model.
        """
        return {**self.shared, **self.models[prefix]}

    def to_bytes(self) -> bytes:
        """The file's content (NumPy's .npz, deflated): the same for the same fits."""
        content = io.BytesIO()
        named = {f"{prefix}{name}": column for prefix, columns in self.models.items() for name, column in columns.items()}
        np.savez_compressed(content, **{**self.shared, **named})  # type: ignore[arg-type]  # columns, not the option
        return content.getvalue()

    def write(self, path: Path) -> None:
        """Write the file whole; a kill in the middle leaves none, or the one before."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        with partial.open("wb") as file:
            file.write(self.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


def read_fits(content: bytes, max_bytes: int) -> ExampleFits:
    """The fits that a file holds. Nothing of it is ever unpickled.

    Raises:
        ValueError: it is no such file, its values make no sense, or it unpacks to more than `max_bytes`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > max_bytes:
                raise ValueError(f"it unpacks to {unpacked:,} bytes: at most {max_bytes:,} are taken")
            fits = _read(archive)
    # A zip file may be broken, encrypted or packed in a way that Python does not know, and a column missing.
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, SyntaxError) as error:
        raise ValueError(f"expected an .npz file with {', '.join(DTYPES)}, got one that cannot be read: {error}") from None
    _check(fits)
    return fits


def _columns(tensors: "Mapping[str, Tensor]") -> dict[str, Column]:
    return {name: tensor.cpu().numpy().astype(DTYPES[name]) for name, tensor in tensors.items()}


def _read(archive: zipfile.ZipFile) -> ExampleFits:
    prefixes = ["", "ema_"] if "ema_loss.npy" in archive.namelist() else [""]
    shared = {name: _read_column(archive, name, name) for name in SHARED}
    return ExampleFits(shared, {prefix: {name: _read_column(archive, f"{prefix}{name}", name) for name in COLUMNS} for prefix in prefixes})


def _read_column(archive: zipfile.ZipFile, member: str, name: str) -> Column:
    """One .npy file of the archive. Read by hand, because numpy makes room for what a header claims before it looks."""
    with archive.open(f"{member}.npy") as file:
        version = npy.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{member}: expected version 1.0 of the .npy format, got {version}")
        shape, _, dtype = npy.read_array_header_1_0(file)
        if dtype != np.dtype(DTYPES[name]) or len(shape) != 1:
            raise ValueError(f"{member}: expected {np.dtype(DTYPES[name])} of shape (M,), got {dtype} of shape {shape}")
        content = file.read()
    if len(content) != shape[0] * dtype.itemsize:
        raise ValueError(f"{member}: the header says {shape[0]} values, {len(content)} bytes follow")
    return np.frombuffer(content, dtype)


def _check(fits: ExampleFits) -> None:
    """Refuse values that no run writes. Losses that are no numbers are fine: a run may diverge."""
    every = [*fits.shared.values(), *(column for columns in fits.models.values() for column in columns.values())]
    lengths = {len(column) for column in every}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"every column needs the same number of values, at least one; got {sorted(lengths)}")
    index_M = fits.shared["index"]
    if (index_M[1:] <= index_M[:-1]).any():
        raise ValueError("index must be ascending, each example once")
    if fits.shared["given"].min() < 0 or fits.shared["true"].min() < NO_CLASS:
        raise ValueError(f"given labels must be 0 or more, true ones {NO_CLASS} or more")
    for prefix, columns in fits.models.items():
        if columns["predicted"].min() < 0:
            raise ValueError(f"{prefix}predicted must be 0 or more")
        if ((columns["probability"] < 0) | (columns["probability"] > 1)).any():
            raise ValueError(f"{prefix}probability must be in [0, 1]")
