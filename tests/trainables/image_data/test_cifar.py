import hashlib
import pickle
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch

from models._base import DataShape
from trainables.image_data._base import DATASETS, Dataset
from trainables.image_data._cifar import CIFARFiles, CIFARParams, read_cifar
from trainables.image_data.cifar10 import CIFAR10
from trainables.image_data.cifar100 import CIFAR100

CPU = torch.device("cpu")
UNVERIFIED = CIFARParams(verify=False)
BOTH = pytest.mark.parametrize("files", [CIFAR10, CIFAR100], ids=lambda files: files.title)


def write(files: CIFARFiles, root: Path, examples_per_file: int = 4) -> None:
    """The data set's files with random pixels and labels; the coarse labels that CIFAR-100 has besides are 99."""
    rng = np.random.default_rng(0)
    folder = root / files.folder
    folder.mkdir(parents=True)
    for name in {**files.train_md5, **files.test_md5}:
        batch = {
            "data": rng.integers(256, size=(examples_per_file, 3072), dtype=np.uint8),
            files.labels_key: rng.integers(files.num_classes, size=examples_per_file).tolist(),
            "coarse_labels": [99] * examples_per_file,
        }
        (folder / name).write_bytes(pickle.dumps(batch))
    (meta,) = files.meta_md5
    (folder / meta).write_bytes(pickle.dumps({files.class_names_key: [f"class {k}" for k in range(files.num_classes)]}))


def change(path: Path, **entries: object) -> None:
    path.write_bytes(pickle.dumps({**pickle.loads(path.read_bytes()), **entries}))


def as_written(files: CIFARFiles, root: Path) -> CIFARFiles:
    """The same data set, published with the sums that its files under `root` have."""

    def sums(names: Mapping[str, str]) -> dict[str, str]:
        return {name: hashlib.md5((root / files.folder / name).read_bytes()).hexdigest() for name in names}

    return replace(files, train_md5=sums(files.train_md5), test_md5=sums(files.test_md5), meta_md5=sums(files.meta_md5))


def images(dataset: Dataset) -> torch.Tensor:
    (all_images,) = dataset.train.feed([torch.arange(len(dataset.train))], CPU)
    return all_images


@BOTH
def test_pixels_and_labels_come_out_in_the_files_order(files, tmp_path):
    write(files, tmp_path)
    dataset = read_cifar(files, UNVERIFIED, tmp_path)
    batches = [pickle.loads((tmp_path / files.folder / name).read_bytes()) for name in files.train_md5]
    assert dataset.train_labels_N.tolist() == [label for batch in batches for label in batch[files.labels_key]]
    # Rows are planes of red, green and blue, line by line.
    unit = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32) / 255
    mean, std = (np.array(values).reshape(3, 1, 1) for values in (files.normalisation.mean_C, files.normalisation.std_C))
    torch.testing.assert_close(images(dataset), torch.from_numpy((unit - mean) / std).float(), rtol=1e-4, atol=1e-5)


@BOTH
def test_shape_and_names(files, tmp_path):
    write(files, tmp_path)
    dataset = read_cifar(files, UNVERIFIED, tmp_path)
    assert dataset.shape == DataShape(channels=3, image_size=32, num_classes=files.num_classes)
    assert dataset.class_names[:2] == ["class 0", "class 1"]
    assert len(dataset.test) == len(dataset.test_labels_N) == 4


@BOTH
def test_the_published_files_pass_and_any_other_is_refused(files, tmp_path):
    write(files, tmp_path)
    published = as_written(files, tmp_path)
    read_cifar(published, CIFARParams(), tmp_path)
    (name,) = files.test_md5
    change(tmp_path / files.folder / name, extra=1)
    with pytest.raises(ValueError, match=rf"{name} is not the published file .*set dataset\.verify to false"):
        read_cifar(published, CIFARParams(), tmp_path)


@BOTH
def test_missing_files_are_named_with_where_they_come_from(files, tmp_path):
    write(files, tmp_path)
    (meta,) = files.meta_md5
    (tmp_path / files.folder / meta).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{files.folder} lacks {meta}: .*dataset\.download.*docs/datasets\.md"):
        read_cifar(files, UNVERIFIED, tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": [0, 1, 2]},
        {"labels": [0, 1, 2, 10]},
        {"labels": [0, 1, 2, -1]},
        {"labels": None},
        {"data": np.zeros((4, 3072))},
        {"data": np.zeros((4, 3071), dtype=np.uint8)},
        {"data": [0] * 4},
    ],
)
def test_what_is_no_batch_is_refused(tmp_path, wrong):
    write(CIFAR10, tmp_path)
    change(tmp_path / CIFAR10.folder / "data_batch_3", **wrong)
    with pytest.raises(ValueError, match=r"data_batch_3 is not a CIFAR-10 batch, which is a dict with 'data'"):
        read_cifar(CIFAR10, UNVERIFIED, tmp_path)


@pytest.mark.parametrize("meta", [{}, {"label_names": ["a", "b"]}, ["a"] * 10])
def test_class_names_must_be_as_many_as_classes(tmp_path, meta):
    write(CIFAR10, tmp_path)
    (tmp_path / CIFAR10.folder / "batches.meta").write_bytes(pickle.dumps(meta))
    with pytest.raises(ValueError, match=r"batches.meta should name 10 classes under 'label_names'"):
        read_cifar(CIFAR10, UNVERIFIED, tmp_path)


def test_our_sums_are_torchvisions():
    torchvision = pytest.importorskip("torchvision")
    for files in (CIFAR10, CIFAR100):
        theirs = getattr(torchvision.datasets, files.torchvision_class)
        assert theirs.base_folder == files.folder
        assert dict(theirs.train_list) == files.train_md5
        assert dict(theirs.test_list) == files.test_md5
        assert {theirs.meta["filename"]: theirs.meta["md5"]} == files.meta_md5
        assert theirs.meta["key"] == files.class_names_key


def test_missing_files_are_downloaded_once_if_wanted(tmp_path, monkeypatch):
    roots = []

    def download(root: Path, download: bool) -> None:
        roots.append(root)
        write(CIFAR10, root)

    monkeypatch.setattr("torchvision.datasets.CIFAR10", download)
    for _ in range(2):
        read_cifar(CIFAR10, CIFARParams(verify=False, download=True), tmp_path / "data")
    assert roots == [tmp_path / "data"]


def test_a_download_without_a_network_says_what_to_do(tmp_path, monkeypatch):
    def download(root: Path, download: bool) -> None:
        raise URLError("Temporary failure in name resolution")

    monkeypatch.setattr("torchvision.datasets.CIFAR10", download)
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded .*name resolution.*by hand and set dataset\.download to false"):
        read_cifar(CIFAR10, CIFARParams(download=True), tmp_path)


def test_a_second_load_in_one_process_reads_no_files(tmp_path):
    write(CIFAR10, tmp_path)
    params = DATASETS.params("cifar10")
    dataset = DATASETS["cifar10"](params(verify=False), tmp_path)
    assert DATASETS["cifar10"](params(verify=False), tmp_path) is dataset


@pytest.mark.real_data
def test_real_images_have_the_published_mean_and_deviation(shared_data, tmp_path):
    subprocess.run([sys.executable, shared_data / "unpack_cifar10.py", "batches", tmp_path, "--limit", "2000"], check=True)
    dataset = read_cifar(CIFAR10, UNVERIFIED, tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (2000, 400)
    assert dataset.class_names[:3] == ["airplane", "automobile", "bird"]
    # The first labels of CIFAR-10: frog, truck, truck, deer, automobile.
    assert dataset.train_labels_N[:5].tolist() == [6, 9, 9, 4, 1]
    normalised = images(dataset)
    # 2,000 of 50,000 images, JPEG-compressed once: the sample's mean is off by a few hundredths.
    assert normalised.mean((0, 2, 3)).abs().max() < 0.06
    # The published deviations are each image's own, averaged.
    torch.testing.assert_close(normalised.std((2, 3)).mean(0), torch.ones(3), rtol=0.03, atol=0)
