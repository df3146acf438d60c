"""Reading CIFAR's pickled batch files without running what they may contain."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np


class UnsafePickleError(pickle.UnpicklingError):
    """A pickle that asks for more than numbers, text, containers and NumPy arrays."""


# Arrays are rebuilt by functions whose modules have other names in NumPy 1 and 2; either file reads with either NumPy.
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_FROM_BUFFER: Any = np.empty(0).__reduce_ex__(5)[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UnsafePickleError(f"asks for {module}.{name}, which image data has no use for")
        return _ALLOWED[module, name]


def unpickle_arrays(path: Path) -> Any:
    """What the file holds: numbers, text, containers and NumPy arrays. Python 2's byte strings become text.

    Raises:
        UnsafePickleError: it holds anything else; nothing of it was run.
        ValueError: it is not a complete pickle.
    """
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(file, encoding="latin1").load()
    except UnsafePickleError as error:
        raise UnsafePickleError(f"{path} {error}: do not open it, get the data set again from its source") from error
    # A damaged pickle makes the unpickler fail in almost any way.
    except Exception as error:
        raise ValueError(f"{path} is not a readable pickle ({error}): get it again") from error
