"""re-sln's result folders become foreign grids: on a small folder in exactly its layout."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from tensorboardX import SummaryWriter
from typer.testing import CliRunner, Result

from server import cli
from server.hosting import address, hosted, listen
from server.launcher import NullLauncher
from server.re_sln_files import read_folder, scalars
from server.settings import Settings

NUM_IMAGES = 50
SLN, AVERAGED, OPENSET = "exp_2021-11-25 15:38:09.361059", "exp_2021-11-25 16:46:29.066838", "exp_2021-11-27 13:44:37.885816"
SEARCH = "hp_2021-12-05_10-55-09"
CONFIG: dict[str, Any] = {
    "batch_size": 128,
    "custom_noise": False,
    "dataset_name": "cifar10",
    "lc_n_epoch": -1,
    "lr": 0.001,
    "make_new_custom_noise": False,
    "mo": False,
    "n_epochs": 3,
    "noise_mode": "sym",
    "p": 0.4,
    "seed": 123,
    "sigma": 1.0,
}


def write_labels(folder: Path, name: str, given: list[Any]) -> None:
    file = folder / "data" / "cifar10" / "label_noisy" / f"{name}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{image % 10},{label}" for image, label in enumerate(given)]
    file.write_text("\n".join(["label,label_noisy", *lines]) + "\n")


def write_run(folder: Path, name: str, epochs: int = 3, **changes: Any) -> None:
    """Configuration and events, with test accuracies of 0.1, 0.2, ... and losses that can be told apart."""
    config = folder / "configs" / name / "config.yml"
    config.parent.mkdir(parents=True)
    config.write_text(yaml.safe_dump({**CONFIG, "exp_id": name, **changes}))
    tags = {"": ["accuracy/test", "accuracy/train", "loss/test"], "loss_train_all": ["loss/train"], "loss_train_noisy": ["loss/train"]}
    for below, names in tags.items():
        with SummaryWriter(str(folder / "runs" / name / below)) as writer:
            for epoch in range(1, epochs + 1):
                for place, tag in enumerate(names):
                    writer.add_scalar(tag, epoch / 10 + place, epoch)


def write_trial(folder: Path, sigma: float, accuracy: float) -> None:
    trial = folder / "hp" / SEARCH / f"hp_d09c0_00000_0_sigma={sigma}_2021-12-05_10-55-10"
    trial.mkdir(parents=True)
    with (trial / "progress.csv").open("w", newline="") as file:
        writer = csv.DictWriter(
            file, ["loss_train", "loss_train_noisy", "accuracy_train", "loss_val", "accuracy_val", "training_iteration"]
        )
        writer.writeheader()
        for epoch in range(1, 301):
            values = [1.5, 1.4, 0.5, 2.0, accuracy, epoch]
            writer.writerow(dict(zip(writer.fieldnames, values, strict=True)))
    # Where it was kept, it has sigma alone.
    if sigma == 1.0:
        (trial / "params.json").write_text(json.dumps({"sigma": sigma}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_labels(tmp_path, "sym0.4", [(image + (image % 5 == 0)) % 10 for image in range(NUM_IMAGES)])
    places = np.random.RandomState(123).choice(NUM_IMAGES, 20, replace=False)
    write_labels(tmp_path, "openset0.4_custom", [image in places for image in range(NUM_IMAGES)])
    write_run(tmp_path, SLN)
    write_run(tmp_path, AVERAGED, mo=True, lc_n_epoch=3)
    write_run(tmp_path, OPENSET, noise_mode="openset", custom_noise=True, sigma=0.5)
    return tmp_path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        listen("127.0.0.1", 0) as listener,
        hosted(Settings(data_dir=tmp_path_factory.mktemp("service")), listener, NullLauncher()),
    ):
        yield address("127.0.0.1", listener)


def import_folder(folder: Path, server: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["import-re-sln", str(folder), "--server", server, *arguments], env={"COLUMNS": "300"})


def test_configurations_become_ours(folder: Path):
    runs = {run.name: run for run in read_folder(folder, {}).runs}
    assert set(runs) == {SLN, AVERAGED, OPENSET}
    assert runs[SLN].own["method"] == {"name": "sln", "sigma": 1.0, "correct_from": None}
    assert (runs[SLN].own["ema"], runs[AVERAGED].own["ema"]) == (None, {"decay": 0.999})
    assert runs[AVERAGED].own["method"]["correct_from"] == 3
    assert runs[OPENSET].own["noise"] == {"name": "re_sln", "mode": "openset", "rate": 0.4, "seed": 123}
    assert runs[SLN].shared["optimizer"] == {"name": "sgd", "lr": 0.001, "momentum": 0.9, "weight_decay": 5e-4}


def test_labels_are_measured_from_the_file(folder: Path):
    cards = {run.name: run.labels for run in read_folder(folder, {}).runs}
    assert (cards[SLN].num_corrupt, cards[SLN].realised_rate) == (10, 0.2)
    assert (cards[OPENSET].num_replaced, cards[OPENSET].replaced_from) == (20, "cifar100")


def test_events_become_metrics_of_the_model_that_was_evaluated(folder: Path):
    epochs = {run.name: run.epochs for run in read_folder(folder, {}).runs}
    assert epochs[SLN][2] == pytest.approx(
        {"test_accuracy": 0.2, "augmented_train_accuracy": 1.2, "test_loss": 2.2, "objective": 0.2, "corrupt_objective": 0.2}
    )
    assert epochs[AVERAGED][3]["ema_test_accuracy"] == pytest.approx(0.3)
    assert "test_accuracy" not in epochs[AVERAGED][3]


def test_an_event_file_that_was_cut_off_is_read_as_far_as_it_goes(folder: Path):
    (file,) = (folder / "runs" / SLN).glob("events.*")
    whole = list(scalars(file))
    file.write_bytes(file.read_bytes()[:-5])
    assert list(scalars(file)) == whole[:-1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epochs": 2}, "2 of 3 epochs"),
        ({"dataset_name": "animal-10n"}, "labels runs on 'animal-10n' had"),
        ({"noise_mode": "asym"}, "asym0.4.csv is missing"),
        ({"seed": 7, "noise_mode": "openset", "custom_noise": True}, "other images than its program draws with seed 7"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_taken_over_is_left_out_with_its_reason(folder: Path, changes: dict[str, Any], reason: str):
    write_run(folder, "exp_other", **changes)
    found = read_folder(folder, {})
    assert len(found.runs) == 3
    (said,) = found.left_out
    assert said.startswith("exp_other: ")
    assert reason in said


def test_imported_runs_are_foreign_and_done_and_never_ours(folder: Path, server: str):
    result = import_folder(folder, server)
    assert result.exit_code == 0, result.output
    (grid,) = [grid for grid in httpx.get(f"{server}/api/grids").json()["grids"] if grid["name"] == "re-sln cifar10, 3 epochs"]
    whole = httpx.get(f"{server}/api/grids/{grid['grid_id']}").json()
    assert (whole["state"], whole["num_runs"], whole["description"].split(":")[0]) == ("done", 3, "Foreign")
    runs = httpx.get(f"{server}/api/grids/{grid['grid_id']}/runs").json()["runs"]
    assert runs[0]["summary"]["raw"]["last"] == pytest.approx(0.3)
    assert (runs[1]["summary"]["raw"]["last"], runs[1]["summary"]["ema"]["last"]) == (None, pytest.approx(0.3))
    first = httpx.get(f"{server}/api/runs/{runs[0]['run_id']}").json()
    assert (first["device"], first["host"]) == ("re-sln", SLN)
    ours = {**first["config"], "seed": 123, "seeds": {}}
    posted = httpx.post(f"{server}/api/grids?launch=external", json={"name": "ours", "base": ours}).json()
    assert posted["state"] == "queued"
    again = import_folder(folder, server)
    assert grid["grid_id"] in again.stdout
    assert httpx.get(f"{server}/api/grids/{grid['grid_id']}").json()["epochs_done"] == 9


def test_searches_need_their_labels_and_choose_sigma(folder: Path, server: str):
    write_trial(folder, 0.1, 0.34)
    write_trial(folder, 1.0, 0.48)
    assert f"give --search {SEARCH}=" in import_folder(folder, server).stderr
    assert import_folder(folder, server, "--search", f"{SEARCH}=cifar10-sym0.4").exit_code == 0
    (grid,) = [grid for grid in httpx.get(f"{server}/api/grids").json()["grids"] if grid["name"].endswith("searches")]
    (outcome,) = httpx.get(f"{server}/api/grids/{grid['grid_id']}/search").json()["outcomes"]
    assert [candidate["validation"] for candidate in outcome["candidates"]] == [0.34, 0.48]
    assert "1" in outcome["chosen"]
    assert outcome["regret"] is None


def test_a_folder_without_runs_and_a_search_without_labels_are_refused(tmp_path: Path, server: str):
    assert "no finished run of re-sln" in import_folder(tmp_path, server).stderr
    result = import_folder(tmp_path, server, "--search", "hp_1")
    assert (result.exit_code, "NAME=LABELS" in result.stderr) == (2, True)
