"""`noisegrid noise` on the digits, which need no files."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from server import cli
from server.cli_noise import noise_app
from tests.trainables.image_data.trees import write_animal10n
from trainables.image_data._base import DATASETS
from trainables.image_data.digits import DigitsParams

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(command.name or command.callback.__name__ for command in noise_app.registered_commands if command.callback)
PAIR = "{name: pair, rate: 0.25, count: exact}"


def run_cli(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, ["noise", *map(str, arguments)], env={"COLUMNS": "200"})


def clean_digits() -> torch.Tensor:
    return DATASETS["digits"](DigitsParams(), Path()).train_labels_N


def test_of_labels_that_are_wrong_as_published_make_says_what_it_changed(tmp_path: Path):
    write_animal10n(tmp_path)
    noise, dataset = "{name: symmetric, rate: 0.4, count: exact}", "{name: animal10n, verify: false}"
    result = run_cli("make", "--dataset", dataset, "--noise", noise, "--data", tmp_path, "--out", tmp_path / "worse.json")
    assert result.exit_code == 0, result.stderr
    shown = run_cli("show", tmp_path / "worse.json").stdout
    assert "symmetric, nominal 0.4, changed 12 of 30; nobody knows how many of the published labels are wrong" in shown


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """Labels of the digits of which exactly a quarter is wrong."""
    result = run_cli("make", "--dataset", "digits", "--noise", PAIR, "--seed", "3", "--out", tmp_path / "pair.json")
    assert result.exit_code == 0, result.stderr
    return tmp_path / "pair.json"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_examples(name: str):
    result = run_cli(name, "--help")
    assert result.exit_code == 0
    assert re.search(rf"Examples\s+noisegrid noise {name}\b", result.stdout), result.stdout


def test_the_page_about_the_command_line_has_every_command():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^- `noise (\w+)", page, re.MULTILINE)) == COMMANDS


def test_make_says_what_came_out_and_show_says_all_of_it(pair: Path):
    shown = run_cli("show", pair).stdout
    assert "pair, nominal 0.25, realised 0.24983 (359 of 1,437)" in shown
    assert "label seed 3, generator 1" in shown
    assert json.loads(pair.read_text())["card"]["noisy_hash"] in shown
    # Zeros are called zero or one, and nothing else.
    row = re.search(r"^0 +142 +(\d+\.\d{3}) +(\d+) +(\d+)((?: +0){8})", shown, re.MULTILINE)
    assert row, shown
    assert int(row[2]) + int(row[3]) == 142
    assert float(row[1]) == pytest.approx(100 * int(row[3]) / 142, abs=0.001)


def test_made_labels_are_those_of_a_run(pair: Path, tmp_path: Path):
    import yaml

    from tests.trainables.runs import digits_run
    from trainables.image_data.examples import load_splits

    drawn = digits_run(noise=yaml.safe_load(PAIR), seeds={"label": 3})
    read = digits_run(noise={"name": "recorded", "path": str(pair)})
    cards = [load_splits(run, tmp_path, torch.device("cpu")).label_card for run in (drawn, read)]
    assert cards[0].noisy_hash == cards[1].noisy_hash == json.loads(pair.read_text())["card"]["noisy_hash"]


def test_show_as_csv_is_the_counts(pair: Path):
    lines = run_cli("show", pair, "--csv").stdout.split()
    assert lines[0] == "clean,0,1,2,3,4,5,6,7,8,9"
    counts = np.array([[int(count) for count in line.split(",")[1:]] for line in lines[1:]])
    assert counts.sum() == 1437
    assert counts.trace() == 1437 - 359


def test_export_and_import_go_round(pair: Path, tmp_path: Path):
    assert run_cli("export", pair, "--out", tmp_path / "pair.csv").exit_code == 0
    result = run_cli("import", tmp_path / "pair.csv", "--dataset", "digits", "--out", tmp_path / "again.json")
    assert result.exit_code == 0, result.stderr
    one, other = (json.loads((tmp_path / name).read_text()) for name in ("pair.json", "again.json"))
    assert (one["clean"], one["noisy"]) == (other["clean"], other["noisy"])


def test_a_cifar10n_like_file_is_shown_imported_and_exported(tmp_path: Path):
    clean_N = clean_digits().numpy()
    file = tmp_path / "human.pt"
    labels = {"clean_label": clean_N, "worse_label": (clean_N + 1) % 10}
    torch.save(labels, file, _use_new_zipfile_serialization=False)
    about = ("--dataset", "digits", "--column", "worse_label")
    assert "realised 1.00000 (1,437 of 1,437)" in run_cli("show", file, *about).stdout
    assert run_cli("import", file, *about, "--out", tmp_path / "worse.json").exit_code == 0
    assert run_cli("export", file, *about, "--out", tmp_path / "worse.npy").exit_code == 0
    assert np.load(tmp_path / "worse.npy").tolist() == [[label, (label + 1) % 10] for label in clean_N.tolist()]


def test_a_file_in_another_order_is_refused(tmp_path: Path):
    np.save(tmp_path / "labels.npy", np.stack([clean_digits().numpy()[::-1]] * 2, axis=1))
    result = run_cli("import", tmp_path / "labels.npy", "--dataset", "digits", "--out", tmp_path / "out.json")
    assert result.exit_code == 1
    assert "is in another order, or about another data set" in result.stderr
    assert not (tmp_path / "out.json").exists()


def test_other_labels_are_replaced_only_when_asked(pair: Path):
    arguments = ("make", "--dataset", "digits", "--noise", PAIR, "--out", pair)
    before = pair.read_bytes()
    assert run_cli(*arguments, "--seed", "3").exit_code == 0
    refused = run_cli(*arguments, "--seed", "4")
    assert refused.exit_code == 1
    assert "is there already, with another content: choose another name, or replace it with --force" in refused.stderr
    assert pair.read_bytes() == before
    assert run_cli(*arguments, "--seed", "4", "--force").exit_code == 0
    assert pair.read_bytes() != before


@pytest.mark.parametrize(
    ("dataset", "noise", "code", "said"),
    [
        ("digits", "{name: symetric, rate: 0.4}", 2, "did you mean 'symmetric'"),
        ("digits", "{name: symmetric, rate: 1.4}", 2, "noise.rate: input should be less than or equal to 1, got 1.4"),
        ("digits", "symmetric", 2, "noise.rate: is required"),
        ("digits", "{name: [", 2, "not YAML"),
        ("digts", "clean", 2, "did you mean 'digits'"),
        ("{name: digits, verify: true}", "clean", 2, "unknown key 'verify'"),
        ("digits", "{name: asymmetric, rate: 0.4, map: cifar10}", 1, "use map 'cyclic'"),
        ("cifar10", "clean", 1, "cifar-10-batches-py lacks"),
        ("digits", "{name: recorded, path: nowhere.csv}", 1, "nowhere.csv is missing"),
    ],
)
def test_what_is_wrong_is_said_in_words(tmp_path: Path, dataset: str, noise: str, code: int, said: str):
    result = run_cli("make", "--dataset", dataset, "--noise", noise, "--out", tmp_path / "out.json", "--data", tmp_path)
    assert result.exit_code == code
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out.json").exists()


def test_files_that_cannot_be_shown_or_written_are_named(pair: Path, tmp_path: Path):
    (tmp_path / "labels.csv").write_text("label,label_noisy\n0,1\n")
    assert "say with --dataset what it is about" in run_cli("show", tmp_path / "labels.csv").stderr
    assert "as .csv or .npy, got 'pair.pt'" in run_cli("export", pair, "--out", tmp_path / "pair.pt").stderr
    result = run_cli("export", pair, "--out", tmp_path / "nowhere" / "pair.csv")
    assert result.exit_code == 1
    assert "No such file or directory" in result.stderr


def test_making_labels_needs_neither_ray_nor_the_service(tmp_path: Path):
    arguments = ["noise", "make", "--dataset", "digits", "--noise", "clean", "--out", str(tmp_path / "clean.json")]
    program = f"""
import atexit, sys
atexit.register(lambda: print("imported:", *sorted({{name.split(".")[0] for name in sys.modules}})))
from server.cli import app
app({arguments!r})
"""
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    imported = set(ended.stdout.rpartition("imported: ")[2].split())
    assert imported.isdisjoint({"ray", "fastapi", "sqlalchemy", "plotly", "uvicorn", "httpx"})


def test_dependent_labels_are_made_from_a_run(tmp_path: Path):
    run = {
        "dataset": "digits",
        "noise": "clean",
        "model": {"name": "small_cnn", "width": 4},
        "optimizer": {"name": "sgd", "lr": 0.02},
        "epochs": 1,
    }
    (tmp_path / "run.yaml").write_text(json.dumps(run))
    result = run_cli("dependent", tmp_path / "run.yaml", "--rate", "0.25", "--out", tmp_path / "dependent.json")
    assert result.exit_code == 0, result.stderr
    assert "dependent, nominal 0.25, realised 0.24983 (359 of 1,437)" in result.stdout
    assert "trained again, another machine may flip a few others" in run_cli("show", tmp_path / "dependent.json").stdout
    (tmp_path / "run.yaml").write_text(json.dumps({**run, "noise": {"name": "pair", "rate": 0.1}}))
    refused = run_cli("dependent", tmp_path / "run.yaml", "--rate", "0.25", "--out", tmp_path / "other.json")
    assert refused.exit_code == 1
    assert "noise `clean`" in refused.stderr
