"""Labels from arrays: CIFAR-10N's files as torch.save writes them, and NumPy's; nothing in them is run."""

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noise._base import NOISES, CleanLabels
from noise._unpickle import UnsafePickleError
from noise.labels import NoisyLabels, corrupt

CLEAN = [0, 1, 2, 0]
# The keys of the published file.
HUMAN = {
    "clean_label": np.array(CLEAN),
    "worse_label": np.array([1, 1, 0, 0]),
    "aggre_label": np.array([0, 1, 2, 1]),
    "random_label1": np.array([0, 2, 2, 0]),
}
EITHER_FORMAT = pytest.mark.parametrize("is_zip", [False, True], ids=["legacy", "zip"])


class Malicious:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def saved(file: Path, content: Any, is_zip: bool = False, pickle_protocol: int = 2) -> None:
    torch.save(content, file, _use_new_zipfile_serialization=is_zip, pickle_protocol=pickle_protocol)


def load(root: Path, name: str, **params: Any) -> NoisyLabels:
    clean = CleanLabels(torch.tensor(CLEAN), ["a", "b", "c"], root=root)
    return corrupt(clean, NOISES.params("recorded")(path=name, **params), seed=0)


@EITHER_FORMAT
@pytest.mark.parametrize("key", ["worse_label", "aggre_label", "random_label1"])
@pytest.mark.parametrize("pickle_protocol", [2, 3, 4, 5])
def test_every_key_of_a_torch_file_is_read_in_either_format(tmp_path, is_zip, key, pickle_protocol):
    saved(tmp_path / "human.pt", HUMAN, is_zip, pickle_protocol)
    assert load(tmp_path, "human.pt", column=key).noisy_N.tolist() == HUMAN[key].tolist()


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64", "uint64", ">i4"])
def test_labels_may_be_whole_numbers_of_any_kind(tmp_path, dtype):
    saved(tmp_path / "human.pt", {key: labels.astype(dtype) for key, labels in HUMAN.items()})
    assert load(tmp_path, "human.pt", column="worse_label").noisy_N.tolist() == [1, 1, 0, 0]


@EITHER_FORMAT
def test_a_file_that_would_run_code_is_refused_before_it_runs(tmp_path, is_zip):
    marker = tmp_path / "was here"
    saved(tmp_path / "human.pt", {**HUMAN, "more": Malicious(marker)}, is_zip)
    with pytest.raises(UnsafePickleError, match=r"human.pt asks for \w+\.mkdir.*do not open it"):
        load(tmp_path, "human.pt", column="worse_label")
    assert not marker.exists()


@EITHER_FORMAT
def test_tensors_are_refused_with_what_is_read_instead(tmp_path, is_zip):
    saved(tmp_path / "human.pt", {"worse_label": torch.tensor(CLEAN)}, is_zip)
    with pytest.raises(UnsafePickleError, match=r"asks for torch._utils._rebuild_tensor_v2, which a file of arrays has no use for"):
        load(tmp_path, "human.pt", column="worse_label")


def test_other_codecs_cannot_be_asked_for(tmp_path):
    (tmp_path / "human.pt").write_bytes(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.")
    with pytest.raises(UnsafePickleError, match="asks for the codec 'rot13'"):
        load(tmp_path, "human.pt")


@pytest.mark.parametrize(
    ("content", "params", "message"),
    [
        (HUMAN, {}, "no column 'label_noisy': expected one of clean_label, worse_label, aggre_label, random_label1"),
        (HUMAN, {"column": "worse_labels"}, "did you mean 'worse_label'"),
        (HUMAN, {"column": "worse_label", "clean_column": "aggre_label"}, r"another order.*differ for 1 of 4.*image 3"),
        ({**HUMAN, "clean_label": np.array([1, 0, 2, 0])}, {"column": "worse_label"}, r"another order.*differ for 2 of 4"),
        (
            {**HUMAN, "worse_label": np.array([0, 1, 3, 0])},
            {"column": "worse_label"},
            "has 3 in 'worse_label': expected class numbers from 0 to 2",
        ),
        (
            {**HUMAN, "worse_label": np.array([2**63 + 1] * 4, dtype=np.uint64)},
            {"column": "worse_label"},
            "expected class numbers from 0 to 2",
        ),
        ({**HUMAN, "worse_label": np.array([0.0, 1, 2, 0])}, {"column": "worse_label"}, "whole numbers.*holds float64"),
        ({**HUMAN, "worse_label": np.eye(4, dtype=int)}, {"column": "worse_label"}, r"shape \(N,\).*of shape \(4, 4\)"),
        ({**HUMAN, "worse_label": np.array([0, 1])}, {"column": "worse_label"}, "about 2 training images, but the data set has 4"),
        ({"worse_label": HUMAN["worse_label"]}, {"column": "worse_label"}, "neither paths nor clean labels.*noisegrid noise import"),
        ({"worse_label": [0, 1, 2, 0]}, {"column": "worse_label"}, "should hold a dict of NumPy arrays"),
        ([1, 2], {}, "should hold a dict of NumPy arrays.*holds a list"),
    ],
)
def test_files_about_something_else_are_refused(tmp_path, content, params, message):
    saved(tmp_path / "human.pt", content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path, "human.pt", **params)


@pytest.mark.parametrize("content", [b"", b"no pickle", b"PK\x03\x04 no zip", pickle.dumps(HUMAN)])
def test_what_torch_did_not_save_is_named(tmp_path, content):
    (tmp_path / "human.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"human.pt is not a readable pickle .*: get it again"):
        load(tmp_path, "human.pt")


@EITHER_FORMAT
def test_a_cut_file_is_named(tmp_path, is_zip):
    saved(tmp_path / "human.pt", HUMAN, is_zip)
    whole = (tmp_path / "human.pt").read_bytes()
    (tmp_path / "human.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"human.pt is not a readable pickle .*: get it again"):
        load(tmp_path, "human.pt")


def test_an_npy_of_clean_and_noisy_columns_is_read_and_its_order_checked(tmp_path):
    np.save(tmp_path / "labels.npy", np.array([CLEAN, [1, 1, 0, 0]]).T)
    assert load(tmp_path, "labels.npy").noisy_N.tolist() == [1, 1, 0, 0]
    np.save(tmp_path / "labels.npy", np.array([CLEAN[::-1], [1, 1, 0, 0]]).T)
    with pytest.raises(ValueError, match="another order"):
        load(tmp_path, "labels.npy")


def test_an_npy_without_clean_labels_is_not_trusted(tmp_path):
    np.save(tmp_path / "labels.npy", np.array([1, 1, 0, 0]))
    with pytest.raises(ValueError, match=r"its order cannot be checked.*noisegrid noise import"):
        load(tmp_path, "labels.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([object()]), "cannot be loaded when allow_pickle=False"),
        (np.zeros((4, 3), dtype=int), r"or of clean and noisy labels \(N, 2\), and is \(4, 3\)"),
        (np.array([0.5] * 4), "whole numbers"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / "labels.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match=message) as refused:
        load(tmp_path, "labels.npy")
    assert "labels.npy" in str(refused.value)


def test_a_zip_of_several_arrays_is_no_npy(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array(CLEAN))
    (tmp_path / "labels.npy").write_bytes(buffer.getvalue())
    with pytest.raises(ValueError, match=r"should be an array of noisy labels \(N,\)"):
        load(tmp_path, "labels.npy")
