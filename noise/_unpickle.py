"""Reading pickled arrays, of CIFAR's batch files and of label files, without running what they may contain."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np


class UnsafePickleError(pickle.UnpicklingError, ValueError):
    """A pickle that asks for more than numbers, text, containers and NumPy arrays."""


# Arrays are rebuilt by functions whose modules have other names in NumPy 1 and 2; either file reads with either NumPy.
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_FROM_BUFFER: Any = np.empty(0).__reduce_ex__(5)[0]


def _bytes_from_text(text: str, encoding: str) -> bytes:
    """What Python 3 writes for bytes in Python 2's protocol; no other codec may be asked for."""
    if encoding != "latin1":
        raise UnsafePickleError(f"asks for the codec {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("numpy._core.numeric", "_frombuffer"): _FROM_BUFFER,
    ("_codecs", "encode"): _bytes_from_text,
}


class ArrayUnpickler(pickle.Unpickler):
    """Loads numbers, text, containers and NumPy arrays, and refuses everything else before it runs."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UnsafePickleError(f"asks for {module}.{name}, which a file of arrays has no use for")
        return _ALLOWED[module, name]


def unpickle_arrays(path: Path) -> Any:
    """What the file holds: numbers, text, containers and NumPy arrays. Python 2's byte strings become text.

    Raises:
        UnsafePickleError: it holds anything else; nothing of it was run.
        ValueError: it is not a complete pickle.
    """
    with reading(path), path.open("rb") as file:
        return ArrayUnpickler(file).load()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Names the file in what is wrong with its pickles."""
    try:
        yield
    except UnsafePickleError as error:
        raise UnsafePickleError(f"{path} {error}: do not open it, get it again from its source") from error
    # A damaged pickle makes the unpickler fail in almost any way.
    except Exception as error:
        raise ValueError(f"{path} is not a readable pickle ({error}): get it again") from error
