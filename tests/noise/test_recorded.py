"""Labels from files: found by index or by path, and refused where they are not about the data set."""

import csv
import hashlib
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from noise._base import NOISES, CleanLabels
from noise.labels import NoisyLabels, corrupt

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
BY_INDEX = "label,label_noisy\n0,1\n1,1\n2,0\n"
BY_PATH = """path,noisy_labels_0,noisy_labels_50,is_valid
train/c/3.png,c,a,False
train/a/1.png,a,b,False
train/b/2.png,b,b,False
val/a/4.png,a,a,True
"""


def data_set(root: Path, paths: list[str] | None = None) -> CleanLabels:
    return CleanLabels(torch.tensor([0, 1, 2]), ["a", "b", "c"], paths, root)


def load(clean: CleanLabels, path: str = "labels.csv", **params: Any) -> NoisyLabels:
    return corrupt(clean, NOISES.params("recorded")(path=path, **params), seed=0)


def read(root: Path, text: str, paths: list[str] | None = None, **params: Any) -> list[int]:
    """Noisy labels of `data_set` from a file with this text."""
    (root / "labels.csv").write_text(text)
    return load(data_set(root, paths), **params).noisy_N.tolist()


def test_row_i_is_training_image_i(tmp_path):
    assert read(tmp_path, BY_INDEX) == [1, 1, 0]


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbf" + BY_INDEX.replace("\n", "\r\n").encode())
    assert load(data_set(tmp_path)).noisy_N.tolist() == [1, 1, 0]


def test_an_absolute_path_needs_no_root(tmp_path):
    (tmp_path / "labels.csv").write_text(BY_INDEX)
    assert load(replace(data_set(tmp_path), root=Path("elsewhere")), str(tmp_path / "labels.csv")).card.num_corrupt == 2


def test_class_names_are_read_as_well_as_numbers(tmp_path):
    assert read(tmp_path, "label,label_noisy\na,b\nb,b\nc,a\n") == [1, 1, 0]


def test_numbers_are_numbers_where_only_some_are_also_class_names(tmp_path):
    (tmp_path / "labels.csv").write_text("label,label_noisy\n0,1\n1,1\n2,0\n")
    clean = CleanLabels(torch.tensor([0, 1, 2]), ["1", "10", "2"], root=tmp_path)
    assert load(clean).noisy_N.tolist() == [1, 1, 0]


def test_other_columns_are_read_by_name(tmp_path):
    text = "index,truth,worker_3\n0,0,2\n1,1,1\n2,2,2\n"
    assert read(tmp_path, text, column="worker_3", clean_column="truth") == [2, 1, 2]


@pytest.mark.parametrize("above", ["", "train/", "./train/"])
def test_rows_are_found_by_path_in_any_order_and_validation_rows_left_out(tmp_path, above):
    paths = [f"{above}{name}" for name in ("a/1.png", "b/2.png", "c/3.png")]
    assert read(tmp_path, BY_PATH, paths, column="noisy_labels_50") == [1, 1, 0]


@pytest.mark.parametrize(
    ("text", "params", "message"),
    [
        ("label,label_noisy\n", {}, "has no rows"),
        ("label,label_noisy\n0,1\n1,1\n", {}, "about 2 training images, but the data set has 3"),
        ("label,label_noisy\n1,1\n0,1\n2,0\n", {}, r"another order.*differ for 2 of 3.*image 0 \(b in the file, a in the data set\)"),
        ("label,label_noisy\n0,1\n1,3\n2,0\n", {}, "has '3' in column 'label_noisy': expected 0 to 2, or only class names"),
        ("label,label_noisy\n0,1\n1\n2,0\n", {}, "has '' in column 'label_noisy'"),
        ("label,label_noisy\n0,False\n1,True\n2,False\n", {}, "has 'False' in column 'label_noisy'"),
        (BY_INDEX, {"column": "label_noise"}, "no column 'label_noise': expected one of label, label_noisy; did you mean 'label_noisy'"),
        (BY_INDEX, {"clean_column": "true"}, "no column 'true'"),
        ("label_noisy\n1\n1\n0\n", {}, "neither paths nor clean labels.*order cannot be checked"),
        (BY_PATH, {"column": "noisy_labels_50"}, "names images by path, but this data set's images have none"),
    ],
)
def test_files_about_something_else_are_refused(tmp_path, text, params, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text, **params)


@pytest.mark.parametrize(
    ("text", "paths", "message"),
    [
        (BY_PATH, ["a/1.png", "b/2.png", "c/9.png"], "does not list 1 of 3 training images, e.g. c/9.png"),
        (BY_PATH + "train/c/5.png,c,c,False\n", ["a/1.png", "b/2.png", "c/3.png"], "about 4 training images, but the data set has 3"),
        (BY_PATH + "train/a/1.png,a,c,False\n", ["a/1.png", "b/2.png", "c/3.png"], "lists 1 training images twice"),
        (BY_PATH, ["b/2.png", "a/1.png", "c/3.png"], "differ for 2 of 3"),
    ],
)
def test_files_about_other_paths_are_refused(tmp_path, text, paths, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text, paths, column="noisy_labels_50")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.csv is missing"):
        load(data_set(tmp_path), "nowhere.csv")


def test_a_binary_file_is_not_a_label_file(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"\x80\x04\x95\xff")
    with pytest.raises(ValueError, match="is not a CSV file"):
        load(data_set(tmp_path))


def test_a_pinned_file_is_read_and_a_changed_one_refused(tmp_path):
    pin = hashlib.sha256(BY_INDEX.encode()).hexdigest()
    assert read(tmp_path, BY_INDEX, sha256=pin) == [1, 1, 0]
    with pytest.raises(ValueError, match=f"asks for {pin}"):
        read(tmp_path, BY_INDEX.replace("0,1", "0,2"), sha256=pin)


@pytest.mark.parametrize("params", [{"path": ""}, {"path": "x", "sha256": "abc"}, {"path": "x", "rate": 0.4}, {}])
def test_bad_parameters_are_refused(params):
    with pytest.raises(ValidationError):
        NOISES.params("recorded")(**params)


# Known answers on the published files.


def sln_file(shared_data: Path, name: str, num_classes: int = 10) -> NoisyLabels:
    """A file of Chen et al., its order checked against the clean labels of their dependent-noise file."""
    with (shared_data / f"sln_labels/cifar{num_classes}-dependent0.4.csv").open() as rows:
        clean_N = torch.tensor([int(row["label"]) for row in csv.DictReader(rows)])
    names = CIFAR10 if num_classes == 10 else [str(k) for k in range(num_classes)]
    return load(CleanLabels(clean_N, names, root=shared_data), f"sln_labels/cifar{num_classes}-{name}.csv")


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "num_classes", "num_corrupt"),
    [
        ("sym0.4", 10, 20_013),
        ("asym0.4", 10, 10_159),
        ("dependent0.4", 10, 20_000),
        ("sym0.4_custom", 10, 20_170),
        ("asym0.4_custom", 10, 8_068),
        ("sym0.4", 100, 19_940),
        ("asym0.4", 100, 20_006),
        ("dependent0.4", 100, 20_000),
    ],
)
def test_published_files_have_their_published_rates(shared_data, name, num_classes, num_corrupt):
    card = sln_file(shared_data, name, num_classes).card
    assert (card.num_examples, card.num_corrupt, card.realised_rate) == (50_000, num_corrupt, num_corrupt / 50_000)


@pytest.mark.real_data
def test_published_asymmetric_file_makes_the_five_flips_that_we_make(shared_data):
    published = sln_file(shared_data, "asym0.4")
    ours = corrupt(CleanLabels(published.clean_N, CIFAR10), NOISES.params("asymmetric")(rate=0.4), 0)
    assert torch.equal(torch.tensor(published.card.counts) > 0, torch.tensor(ours.card.counts) > 0)
    assert published.noisy_N.bincount().tolist() == [7033, 7034, 2967, 4979, 2957, 5021, 5000, 7043, 5000, 2966]


@pytest.mark.real_data
def test_published_cifar100_asymmetric_file_is_cyclic(shared_data):
    labels = sln_file(shared_data, "asym0.4", 100)
    step_N = (labels.noisy_N - labels.clean_N) % 100
    assert step_N.unique().tolist() == [0, 1]


@pytest.mark.real_data
def test_dependent_file_spares_some_classes_more_than_others(shared_data):
    right_K = torch.tensor(sln_file(shared_data, "dependent0.4").card.counts).diagonal()
    rates = dict(zip(CIFAR10, (1 - right_K / 5000).tolist(), strict=True))
    assert [round(100 * rates[name], 1) for name in ("cat", "dog", "automobile")] == [65.9, 57.2, 24.2]


@pytest.mark.real_data
def test_a_file_of_another_data_set_is_refused(shared_data):
    labels_N = sln_file(shared_data, "sym0.4").clean_N
    with pytest.raises(ValueError, match=r"another order.*of 50000 training images"):
        load(CleanLabels(labels_N.flip(0), CIFAR10, root=shared_data), "sln_labels/cifar10-sym0.4.csv")


@pytest.mark.real_data
@pytest.mark.parametrize(("percent", "num_corrupt"), [(0, 0), (1, 95), (5, 474), (25, 2368), (50, 4735)])
def test_noisy_imagenette_has_its_published_rates_whatever_the_order_of_the_images(shared_data, percent, num_corrupt):
    with (shared_data / "noisy_imagenette.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["is_valid"] == "False"]
    random.Random(0).shuffle(rows)
    names = sorted({row["noisy_labels_0"] for row in rows})
    clean_N = torch.tensor([names.index(row["noisy_labels_0"]) for row in rows])
    clean = CleanLabels(clean_N, names, [row["path"].removeprefix("train/") for row in rows], shared_data)
    card = load(clean, "noisy_imagenette.csv", column=f"noisy_labels_{percent}").card
    assert (card.num_examples, card.num_corrupt) == (9_469, num_corrupt)
