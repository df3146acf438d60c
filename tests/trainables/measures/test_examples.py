"""Example fits: known values, and a file format that believes nothing."""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spec.records import EXAMPLES, RunState
from tests.trainables.runs import digits_run, record
from trainables.measures.examples import NO_CLASS, ExampleFits, read_fits
from trainables.measures.fit import fit_of_each

LIMIT = 2**20


def fits(size: int = 4) -> ExampleFits:
    labels_M = torch.arange(size) % 3
    fit_M3 = torch.tensor([[0.5, 1.0, 0.25], [float("nan"), 2.0, 1.0]])[torch.arange(size) % 2]
    return ExampleFits.of(torch.arange(size) * 2, labels_M, labels_M.roll(1), {"": fit_M3, "ema_": fit_M3})


def packed(**columns: Any) -> bytes:
    """A file with some of its columns replaced; None leaves one out."""
    plain = fits()
    content = {**plain.shared, **plain.models[""]} | columns
    file = io.BytesIO()
    np.savez(file, **{name: column for name, column in content.items() if column is not None})
    return file.getvalue()


def test_fit_of_each_is_the_textbooks():
    # Softmax of (0, ln 3) is (1/4, 3/4).
    fit_B3 = fit_of_each(torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0]]), torch.tensor([1, 1]))
    torch.testing.assert_close(fit_B3, torch.tensor([[-math.log(0.75), 1.0, 0.75], [-math.log(0.25), 0.0, 0.75]]))


def test_what_is_written_is_read_again():
    again = read_fits(fits().to_bytes(), LIMIT)
    for prefix in ("", "ema_"):
        for name, column in fits().columns(prefix).items():
            np.testing.assert_array_equal(again.columns(prefix)[name], column)
            assert again.columns(prefix)[name].dtype == column.dtype


def test_the_same_fits_are_the_same_bytes():
    assert fits().to_bytes() == fits().to_bytes()


def test_numpy_reads_the_file_without_pickles(tmp_path: Path):
    fits().write(tmp_path / "examples.npz")
    with np.load(tmp_path / "examples.npz", allow_pickle=False) as file:
        assert file["index"].tolist() == [0, 2, 4, 6]
    assert [path.name for path in tmp_path.iterdir()] == ["examples.npz"]


def test_fifty_thousand_examples_of_one_model_fit_in_half_a_megabyte():
    generator = torch.Generator().manual_seed(0)
    logits_MK = 4 * torch.randn(50_000, 10, generator=generator)
    given_M = torch.randint(10, (50_000,), generator=generator)
    content = ExampleFits.of(torch.arange(50_000), given_M, given_M, {"": fit_of_each(logits_MK, given_M)}).to_bytes()
    assert len(content) < 550_000


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the file was unpickled",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"PK\x03\x04 not a zip file", "cannot be read"),
        (packed(loss=None), "cannot be read"),
        (packed(loss=np.array([Evil()] * 4, dtype=object)), "expected float32"),
        (packed(loss=np.zeros(4)), "expected float32"),
        (packed(loss=np.zeros((4, 1), np.float32)), r"of shape \(M,\)"),
        (packed(loss=np.zeros(3, np.float32)), "same number of values"),
        (packed(index=np.array([0, 1, 1, 2], np.uint32)), "ascending"),
        (packed(given=np.array([0, 1, -1, 2], np.int16)), "given labels"),
        (packed(true=np.array([0, 1, -2, 2], np.int16)), "true ones"),
        (packed(predicted=np.array([0, 1, -1, 2], np.int16)), "predicted"),
        (packed(probability=np.array([0, 1, 1.5, 0], np.float32)), "probability"),
    ],
)
def test_a_file_that_no_run_writes_is_refused(content: bytes, said: str):
    with pytest.raises(ValueError, match=said):
        read_fits(content, LIMIT)


def test_a_file_that_unpacks_to_too_much_is_refused_unread():
    with pytest.raises(ValueError, match="unpacks to"):
        read_fits(fits(1000).to_bytes(), 10_000)


def test_a_header_that_claims_more_than_there_is_makes_no_room_for_it():
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**15,)})
    source, target = zipfile.ZipFile(io.BytesIO(packed())), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, header.getvalue() if name == "loss.npy" else source.read(name))
    with pytest.raises(ValueError, match="the header says"):
        read_fits(target.getvalue(), LIMIT)


def test_a_run_leaves_a_file_that_agrees_with_its_last_record(tmp_path: Path):
    run = digits_run(ema={"decay": 0.9})
    _, said = record(run, tmp_path)
    left = read_fits((tmp_path / "run" / EXAMPLES).read_bytes(), LIMIT)
    for prefix in ("", "ema_"):
        columns = left.columns(prefix)
        is_pristine_M = columns["given"] == columns["true"]
        last = said.epochs[2]
        assert len(columns["index"]) == 200
        assert columns["loss"].mean() == pytest.approx(last[f"{prefix}train_loss"], rel=1e-5)
        assert (columns["predicted"] == columns["given"]).mean() == pytest.approx(last[f"{prefix}train_accuracy"])
        assert (columns["predicted"] == columns["given"])[~is_pristine_M].mean() == pytest.approx(last[f"{prefix}corrupt_fit_given"])


def test_every_training_example_is_kept_however_few_are_measured_after_each_epoch(tmp_path: Path):
    record(digits_run(measure={"train_sample": 50}), tmp_path)
    assert len(read_fits((tmp_path / "run" / EXAMPLES).read_bytes(), LIMIT).shared["index"]) == 200


def test_a_run_that_was_told_not_to_leaves_none(tmp_path: Path):
    state, _ = record(digits_run(measure={"examples": False}), tmp_path)
    assert (state, (tmp_path / "run" / EXAMPLES).exists()) == (RunState.DONE, False)


def test_a_run_killed_before_it_left_them_does_when_it_is_taken_up(tmp_path: Path):
    record(digits_run(), tmp_path)
    content = (tmp_path / "run" / EXAMPLES).read_bytes()
    (tmp_path / "run" / EXAMPLES).unlink()
    state, said = record(digits_run(), tmp_path)
    assert (state, said.epochs) == (RunState.DONE, {})
    assert (tmp_path / "run" / EXAMPLES).read_bytes() == content


def test_a_cancelled_run_leaves_none(tmp_path: Path):
    state, _ = record(digits_run(), tmp_path, stop_after=1)
    assert (state, (tmp_path / "run" / EXAMPLES).exists()) == (RunState.CANCELLED, False)


def test_a_replaced_image_has_no_true_class(tmp_path: Path):
    labels_M, fit_M3 = torch.tensor([0, 1]), torch.tensor([[1.0, 0.0, 0.5], [1.0, 1.0, 0.5]])
    left = read_fits(ExampleFits.of(torch.arange(2), labels_M, torch.tensor([0, NO_CLASS]), {"": fit_M3}).to_bytes(), LIMIT)
    assert left.shared["true"].tolist() == [0, NO_CLASS]
    with pytest.raises(KeyError):
        left.columns("ema_")
