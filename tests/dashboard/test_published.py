"""The published figures are those that were published."""

import csv
import hashlib
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest
import torch

from dashboard.published.cells import Claim, PublishedCell, PublishedPair
from dashboard.published.noise_against_noise import CELLS, CLAIMS, CORRECTION_GAINS, LABELS
from noise._base import NOISES, CleanLabels
from noise.labels import corrupt, labels_hash

PAPER = [cell for cell in CELLS if cell.source == "paper"]
RE_SLN = [cell for cell in CELLS if cell.source == "re-sln"]
REAL = [cell for cell in RE_SLN if cell.labels.noise == "real"]
CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
NOISES_OF_RE_SLN = {"sym": "symmetric", "asym": "asymmetric", "dependent": "dependent", "openset": "openset"}


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def find(cells: list[PublishedCell], dataset: str, noise: str, method: str, sigma: float) -> list[PublishedCell]:
    return [c for c in cells if (c.dataset, c.labels.noise, c.method, c.sigma) == (dataset, noise, method, sigma)]


def test_every_cell_stands_once():
    assert len({(cell.source, cell.dataset, cell.labels.name, cell.method, cell.sigma) for cell in CELLS}) == len(CELLS)
    assert (len(PAPER), len(RE_SLN)) == (28, 66)


def test_accuracies_are_shares():
    assert all(0.3 < cell.last < 0.9 and 0.3 < cell.expected < 0.9 for cell in CELLS)


def difference(pair: PublishedPair, figure: str) -> float:
    return float(getattr(pair.method, figure) - getattr(pair.than, figure))


@pytest.mark.parametrize("figure", ["last", "expected"])
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.method.labels.name} {claim.text}")
def test_published_figures_are_as_claimed(claim: Claim, figure: str):
    """By every source, after the last epoch and over the last ten."""
    assert claim.pairs
    assert all(claim.holds(difference(pair, figure)) for pair in claim.pairs)


def test_every_published_setting_is_in_a_claim():
    """Each source's CE, SLN and SLN-MO with the authors' sigma stands in order, on each of its sets of labels."""
    ordered = {
        (pair.method.source, pair.method.labels.name, pair.method.method) for claim in CLAIMS for pair in claim.pairs if not claim.bounds
    }
    assert ordered == {(cell.source, cell.labels.name, cell.method) for cell in CELLS if cell.method in ("SLN", "SLN-MO")}


def test_a_claim_is_about_two_methods_of_one_source_on_the_same_labels():
    for pair in [pair for claim in CLAIMS for pair in claim.pairs]:
        assert (pair.method.source, pair.method.labels, pair.method.dataset) == (pair.than.source, pair.than.labels, pair.than.dataset)
        assert pair.than.sigma in (0.0, pair.method.sigma)


@pytest.mark.parametrize(
    ("labels", "text", "paper", "re_sln"),
    [
        ("cifar10-sym0.4", "at least +1.5", 2.29, 2.28),
        ("cifar10-asym0.4", "at least +1.5", 3.05, 2.95),
        ("cifar10-openset0.4", "from -1.5 to +0.5", -0.69, None),
        ("cifar10-openset0.4_custom", "from -1.5 to +0.5", None, -0.60),
        ("cifar100-asym0.4", "at least +10", 13.31, 14.20),
        ("cifar100-dependent0.4", "from -1.5 to +0.5", -0.10, 0.29),
    ],
)
def test_what_label_correction_adds(labels: str, text: str, paper: float | None, re_sln: float | None):
    (claim,) = [claim for claim in CLAIMS if claim.method.method == "SLN-MO-LC" and claim.method.labels == LABELS[labels]]
    assert claim.text == f"SLN-MO-LC − SLN-MO {text}"
    found = {pair.method.source: 100 * difference(pair, "last") for pair in claim.pairs}
    assert found == pytest.approx({source: gain for source, gain in (("paper", paper), ("re-sln", re_sln)) if gain is not None})


def test_nothing_is_claimed_of_label_correction_elsewhere():
    assert sum(bool(claim.bounds) for claim in CLAIMS) == len(CORRECTION_GAINS)
    assert "cifar10-asym0.4_custom" not in CORRECTION_GAINS


@pytest.mark.real_data
def test_the_papers_tables(shared_data: Path):
    rows = [row for row in read(shared_data / "published/sln_tables.csv") if row["paper_mean"]]
    assert len(rows) == len(PAPER)
    for row in rows:
        (cell,) = find(PAPER, row["dataset"], row["noise"], row["method"], float(row["sigma"]))
        assert [100 * cell.last, 100 * (cell.sd or 0), cell.n] == pytest.approx(
            [float(row[f"paper_{key}"]) for key in ("mean", "sd", "runs")]
        )
        assert 100 * cell.tolerance == pytest.approx(float(row["tolerance_one_seed"]))
        assert cell.labels.rate == float(row["rate"])


@pytest.mark.real_data
def test_re_slns_tables_are_means_over_two_sets_of_labels(shared_data: Path):
    """Its ± is half of the difference between them, or nothing where there is one set: it says nothing about seeds."""
    for row in read(shared_data / "published/sln_tables.csv"):
        if row["dataset"] == "animal10n":
            continue
        last = [100 * cell.last for cell in find(RE_SLN, row["dataset"], row["noise"], row["method"], float(row["sigma"]))]
        assert fmean(last) == pytest.approx(float(row["re_sln_mean"]), abs=0.0101)
        if row["re_sln_sd"]:
            assert abs(last[0] - last[1]) / 2 == pytest.approx(float(row["re_sln_sd"]), abs=0.0101)
        else:
            assert len(last) == 1


@pytest.mark.real_data
def test_every_cifar_run_of_re_sln(shared_data: Path):
    published = defaultdict(list)
    for row in read(shared_data / "published/re_sln_runs.csv"):
        if row["dataset_name"] == "animal-10n":
            continue
        is_averaged, is_corrected = row["mo"] == "True", int(row["lc_n_epoch"]) > 0
        method = "SLN-MO-LC" if is_corrected else "SLN-MO" if is_averaged else "SLN" if float(row["sigma"]) else "CE"
        key = (row["dataset_name"], NOISES_OF_RE_SLN[row["noise_mode"]], row["custom_noise"] == "True", method, float(row["sigma"]))
        published[key].append((float(row["final"]), float(row["last10"])))
        assert (row["n_epochs"], row["batch_size"], row["lr"], row["seed"]) == ("300", "128", "0.001", "123")
    found = {
        (c.dataset, c.labels.noise, "custom" in c.labels.name, c.method, c.sigma): (100 * c.last, 100 * (c.last_ten or 0))
        for c in RE_SLN
        if c not in REAL
    }
    assert found.keys() == published.keys()
    for key, figures in found.items():
        ((last, last_ten),) = published[key]
        assert figures == pytest.approx((last, last_ten), abs=0.0051)


@pytest.mark.real_data
def test_re_slns_runs_on_animal10n_are_two_of_each_method_with_one_seed(shared_data: Path):
    """Its table prints their mean ± half of their difference: by sqrt(2) less than the sample standard deviation here."""
    runs = [row for row in read(shared_data / "published/re_sln_runs.csv") if row["dataset_name"] == "animal-10n"]
    table = [row for row in read(shared_data / "published/sln_tables.csv") if row["dataset"] == "animal10n"]
    assert len(runs) == 2 * len(REAL) == 2 * len(table)
    for row in table:
        (cell,) = find(REAL, "animal10n", "real", row["method"], float(row["sigma"]))
        is_averaged, is_corrected = "MO" in cell.method, "LC" in cell.method
        own = [
            run
            for run in runs
            if (run["mo"] == "True", int(run["lc_n_epoch"]) > 0, float(run["sigma"])) == (is_averaged, is_corrected, cell.sigma)
        ]
        assert {(run["n_epochs"], run["batch_size"], run["lr"], run["seed"]) for run in own} == {("300", "128", "0.001", "123")}
        last, last_ten = (fmean(float(run[column]) for run in own) for column in ("final", "last10"))
        assert (100 * cell.last, 100 * cell.expected) == pytest.approx((last, last_ten), abs=0.0051)
        assert (100 * cell.last, cell.n) == (pytest.approx(float(row["re_sln_mean"]), abs=0.0101), len(own))
        assert 100 * (cell.sd or 0) / 2**0.5 == pytest.approx(float(row["re_sln_sd"]), abs=0.0101)
        assert 100 * cell.tolerance == pytest.approx(float(row["tolerance_one_seed"]))


@pytest.mark.real_data
@pytest.mark.parametrize("name", [name for name, labels in LABELS.items() if labels.sha256])
def test_label_files_are_those_that_are_named(name: str, shared_data: Path):
    file = shared_data / "sln_labels" / f"{name}.csv"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == LABELS[name].sha256
    assert labels_hash(torch.tensor([int(row["label_noisy"]) for row in read(file)])) == LABELS[name].noisy_hash


@pytest.mark.real_data
@pytest.mark.parametrize("name", [name for name, labels in LABELS.items() if labels.generator and labels.noisy_hash])
def test_custom_labels_are_those_that_noise_re_sln_draws(name: str, shared_data: Path):
    dataset, labels = name.partition("-")[0], LABELS[name]
    rows = read(shared_data / "sln_labels" / f"{dataset}-sym0.4.csv")
    names = CIFAR10 if dataset == "cifar10" else [str(label) for label in range(100)]
    clean = CleanLabels(torch.tensor([int(row["label"]) for row in rows]), names, count_images=lambda source: 50_000)
    params = NOISES.params("re_sln").model_validate(labels.generator)
    assert corrupt(clean, params, seed=0).card.noisy_hash == labels.noisy_hash
    assert params.model_dump() == labels.generator
