"""Our own label files: what is written is what is read, and what was changed is refused."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noise._base import NOISES, CleanLabels, Corruption, Replacement
from noise._file_labels import Wanted
from noise.files import LabelFile, Provenance, csv_bytes, file_bytes, npy_bytes, read_label_file, write_whole
from noise.importing import ORDER_TRUSTED, import_file
from noise.labels import corrupt, describe, labels_hash

CLEAN = CleanLabels(torch.arange(30) % 3, ["a", "b", "c"])
PAIR = NOISES.params("pair")(rate=0.4)


def made(seed: int = 0) -> LabelFile:
    provenance = Provenance(dataset={"name": "some"}, noise=PAIR.model_dump(), label_seed=seed)
    return LabelFile.of(corrupt(CLEAN, PAIR, seed), provenance)


def with_replacement() -> LabelFile:
    replaced = Replacement("others", torch.tensor([2, 5]), torch.tensor([7, 0]))
    labels = describe(CLEAN, Corruption(CLEAN.labels_N.clone(), replaced), "openset", 0.1)
    return LabelFile.of(labels, Provenance(dataset={}, noise={}, label_seed=0))


def written(root: Path, content: LabelFile, name: str = "labels.json") -> Path:
    write_whole(root / name, file_bytes(content))
    return root / name


def changed(file: Path, **values: Any) -> Path:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    return file


def recorded(root: Path, clean: CleanLabels = CLEAN, name: str = "labels.json", **params: Any):
    clean = CleanLabels(clean.labels_N, clean.class_names, clean.paths, root, count_images=lambda source: 8)
    return corrupt(clean, NOISES.params("recorded")(path=name, **params), seed=5)


def wrong_as_published() -> LabelFile:
    """Of a data set whose published labels are wrong in places."""
    clean = replace(CLEAN, are_true=False)
    return LabelFile.of(corrupt(clean, PAIR, 0), Provenance(dataset={"name": "some"}, noise=PAIR.model_dump(), label_seed=0))


def test_where_nobody_knows_the_true_labels_there_is_no_rate_and_what_was_changed_is_counted():
    card = wrong_as_published().card
    assert (card.truth_is_known, card.realised_rate, card.rate_by_class) == (False, None, [None, None, None])
    assert (card.num_corrupt, card.noisy_hash) == (made().card.num_corrupt, made().card.noisy_hash)


@pytest.mark.parametrize(
    "content", [made(), with_replacement(), wrong_as_published()], ids=["labels", "replaced images", "wrong as published"]
)
def test_a_file_that_is_read_is_the_one_that_was_written(tmp_path, content):
    assert read_label_file(written(tmp_path, content)) == content


@pytest.mark.parametrize("content", [made(), with_replacement()], ids=["labels", "replaced images"])
def test_a_run_with_the_file_has_the_same_labels_as_one_that_draws_them(tmp_path, content):
    written(tmp_path, content)
    card = recorded(tmp_path).card
    assert card.noisy_hash == content.card.noisy_hash
    assert (card.noise, card.noise_rate, card.realised_rate) == ("recorded", None, content.card.realised_rate)
    assert card.replacement_hash == content.card.replacement_hash


def test_the_same_labels_make_the_same_bytes_with_the_facts_on_top():
    assert file_bytes(made()) == file_bytes(made()) != file_bytes(made(seed=1))
    lines = file_bytes(made()).decode().splitlines()
    assert lines[1] == '"format": "noisegrid-labels",'
    assert [line.partition(":")[0] for line in lines[1:-1]] == [f'"{name}"' for name in LabelFile.model_fields]


@pytest.mark.parametrize("key", ["clean", "noisy"])
def test_a_changed_label_is_noticed(tmp_path, key):
    file = written(tmp_path, made())
    labels = json.loads(file.read_text())[key]
    with pytest.raises(
        ValueError, match=rf"labels.json is not a label file.*{key}_hash says \w+, but its labels make that \w+.*was changed"
    ):
        read_label_file(changed(file, **{key: [(labels[0] + 1) % 3, *labels[1:]]}))


@pytest.mark.parametrize(
    "change",
    [{"realised_rate": 0.1}, {"num_corrupt": 3}, {"corrupt_by_class": [0, 0, 0]}, {"counts": [[10, 0, 0], [0, 10, 0], [0, 0, 10]]}],
)
def test_a_changed_fact_is_noticed(tmp_path, change):
    file = written(tmp_path, made())
    card = json.loads(file.read_text())["card"]
    with pytest.raises(ValueError, match=f"its {next(iter(change))} says"):
        read_label_file(changed(file, card={**card, **change}))


def test_a_card_from_before_a_fact_was_measured_is_read(tmp_path):
    file = written(tmp_path, made())
    card = json.loads(file.read_text())["card"]
    del card["corrupt_by_class"]
    assert read_label_file(changed(file, card=card)).card.rate_by_class == made().card.rate_by_class


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index_in_source": [7, 1]}, "its (noisy|replacement)_hash says"),
        ({"source": "elsewhere"}, "its (noisy|replacement)_hash says"),
        ({"index_in_train": [5, 2]}, "ascending"),
        ({"index_in_train": [2]}, "one image of the source for each place"),
        ({"index_in_train": [2, 30]}, "replaces images that are not among its 30"),
    ],
)
def test_a_changed_replacement_is_noticed(tmp_path, change, message):
    file = written(tmp_path, with_replacement())
    replaced = json.loads(file.read_text())["replaced"]
    with pytest.raises(ValueError, match=message):
        read_label_file(changed(file, replaced={**replaced, **change}))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clean": [], "noisy": []}, "at least one"),
        ({"noisy": [0]}, "30 clean and 1 noisy labels"),
        ({"noisy": [3] * 30}, "class numbers from 0 to 2"),
        ({"version": 2}, "version"),
        ({"format": "else"}, "format"),
        ({"more": 1}, "unknown key 'more'"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, values, message):
    with pytest.raises(ValueError, match=message):
        read_label_file(changed(written(tmp_path, made()), **values))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2]", b"\xff\xfe"])
def test_what_is_no_label_file_is_named(tmp_path, content):
    (tmp_path / "labels.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"labels.json is not a label file that `noisegrid noise` wrote"):
        recorded(tmp_path)


@pytest.mark.parametrize(
    ("clean", "message"),
    [
        (CleanLabels(torch.arange(30).flip(0) % 3, ["a", "b", "c"]), "another order"),
        (CleanLabels(torch.arange(30) % 3, ["a", "b", "d"]), "is about the classes"),
        (CleanLabels(torch.arange(33) % 3, ["a", "b", "c"]), "about 30 training images, but the data set has 33"),
    ],
)
def test_a_file_about_another_data_set_is_refused(tmp_path, clean, message):
    written(tmp_path, made())
    with pytest.raises(ValueError, match=message):
        recorded(tmp_path, clean)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = written(tmp_path, made())
    before = file.read_bytes()

    def broken(self: Path, target: Path) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="full"):
        write_whole(file, b"other")
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["labels.json"]


# Others' files.


@pytest.mark.parametrize(("suffix", "write"), [(".csv", csv_bytes), (".npy", npy_bytes)])
def test_what_is_exported_is_imported_as_the_same_labels(tmp_path, suffix, write):
    (tmp_path / f"labels{suffix}").write_bytes(write(made()))
    imported = import_file(tmp_path / f"labels{suffix}", Wanted("label_noisy"), CLEAN, {"name": "some"})
    assert (imported.clean, imported.noisy) == (made().clean, made().noisy)
    assert imported.card.noise == "recorded"
    assert imported.provenance.remarks == []


def test_an_imported_file_says_what_it_was_made_from(tmp_path):
    (tmp_path / "labels.csv").write_bytes(csv_bytes(made()))
    provenance = import_file(tmp_path / "labels.csv", Wanted("label_noisy"), CLEAN, {"name": "some"}).provenance
    params = NOISES.params("recorded")(**provenance.noise)
    clean = CleanLabels(CLEAN.labels_N, CLEAN.class_names, root=tmp_path)
    assert corrupt(clean, params, 0).card.noisy_hash == made().card.noisy_hash
    assert provenance.label_seed is None


def test_labels_alone_need_clean_ones_beside_them_or_somebodys_word(tmp_path):
    np.save(tmp_path / "noisy.npy", np.array(made().noisy))
    np.save(tmp_path / "clean.npy", np.array(made().clean))
    np.save(tmp_path / "wrong.npy", np.array(made().clean[::-1]))
    arguments: Any = (tmp_path / "noisy.npy", Wanted("label_noisy"), CLEAN, {})
    with pytest.raises(ValueError, match=r"--clean FILE.npy, or say --trust-order"):
        import_file(*arguments)
    with pytest.raises(ValueError, match=r"wrong.npy is in another order"):
        import_file(*arguments, clean_file=tmp_path / "wrong.npy")
    checked = import_file(*arguments, clean_file=tmp_path / "clean.npy")
    trusted = import_file(*arguments, trust_order=True)
    assert checked.noisy == trusted.noisy == made().noisy
    assert (checked.provenance.remarks, trusted.provenance.remarks) == ([], [ORDER_TRUSTED])


def test_exported_csv_is_the_published_format():
    assert csv_bytes(made()).decode().splitlines()[:2] == ["label,label_noisy", f"0,{made().noisy[0]}"]
    array = np.load(io.BytesIO(npy_bytes(made())))
    assert array.dtype == np.int64
    assert array.tolist() == [list(pair) for pair in zip(made().clean, made().noisy, strict=True)]


@pytest.mark.real_data
@pytest.mark.parametrize("mode", ["sym0.4", "dependent0.4"])
def test_a_published_file_survives_import_and_export(shared_data, tmp_path, mode):
    published = shared_data / f"sln_labels/cifar10-{mode}.csv"
    rows = [line.split(",") for line in published.read_text().split()[1:]]
    clean = CleanLabels(torch.tensor([int(label) for label, _ in rows]), [str(k) for k in range(10)])
    content = read_label_file(written(tmp_path, import_file(published, Wanted("label_noisy"), clean, {"name": "cifar10"})))
    assert csv_bytes(content).split() == published.read_bytes().split()
    assert content.card.noisy_hash == labels_hash(torch.tensor([int(noisy) for _, noisy in rows]))
