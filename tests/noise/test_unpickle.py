import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from noise._unpickle import UnsafePickleError, unpickle_arrays

BATCH = {"data": np.arange(12, dtype=np.uint8).reshape(2, 6), "labels": [1, 2], "batch_label": "one"}

# {'data': array([[1, 2, 3]], dtype=uint8), 'labels': [7]}, in the words of Python 2 and NumPy 1 (protocol 2, byte strings).
PYTHON_2 = (
    b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"(K\x01K\x01K\x03\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"\x89U\x03\x01\x02\xfftbU\x06labels]K\x07au."
)


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_batches_of_this_numpy_are_read(tmp_path, protocol):
    read = unpickle_arrays(written(tmp_path / "batch", pickle.dumps(BATCH, protocol)))
    np.testing.assert_array_equal(read.pop("data"), BATCH["data"])
    assert read == {"labels": [1, 2], "batch_label": "one"}


@pytest.mark.parametrize(("ours", "theirs"), [(b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy._core")])
def test_batches_of_the_other_numpy_are_read(tmp_path, ours, theirs):
    # Protocol 3 writes module names as plain lines, so that they can be replaced.
    content = pickle.dumps(BATCH, 3).replace(ours + b".multiarray", theirs + b".multiarray")
    np.testing.assert_array_equal(unpickle_arrays(written(tmp_path / "batch", content))["data"], BATCH["data"])


def test_batches_of_python_2_are_read_with_text_keys(tmp_path):
    read = unpickle_arrays(written(tmp_path / "batch", PYTHON_2))
    assert read["data"].tolist() == [[1, 2, 255]]
    assert read["data"].dtype == np.uint8
    assert read["labels"] == [7]


def test_a_pickle_that_runs_code_is_refused_before_it_runs(tmp_path):
    marker = tmp_path / "was here"
    path = written(tmp_path / "batch", pickle.dumps({"data": Malicious(marker)}))
    with pytest.raises(UnsafePickleError, match=r"batch asks for \w+\.mkdir, which a file of arrays has no use for"):
        unpickle_arrays(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", [b"builtins\neval", b"builtins\ngetattr", b"os\nsystem", b"numpy\nload", b"numpy.core.multiarray\nscalar"])
def test_no_other_function_can_be_called(tmp_path, name):
    path = written(tmp_path / "batch", b"\x80\x02c" + name + b"\nU\x011\x85R.")
    with pytest.raises(UnsafePickleError):
        unpickle_arrays(path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps(BATCH)[:-10]])
def test_damaged_files_are_named(tmp_path, content):
    with pytest.raises(ValueError, match=r"batch is not a readable pickle .*: get it again"):
        unpickle_arrays(written(tmp_path / "batch", content))
