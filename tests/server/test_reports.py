"""Comparison and search report: from records that a run sent to JSON, a terminal and CSV."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from dashboard.published.noise_against_noise import LABELS
from server import cli
from server.hosting import address, hosted, listen
from server.launcher import NullLauncher
from server.settings import Settings
from tests.server.parts import epoch, finished, started

SYM = LABELS["cifar10-sym0.4"]
RUN: dict[str, Any] = {
    "dataset": "cifar10",
    "noise": {"name": "recorded", "path": "sln_labels/cifar10-sym0.4.csv", "sha256": SYM.sha256},
    "model": {"name": "wide_resnet", "depth": 28, "widen_factor": 2},
    "method": {"name": "sln", "sigma": 1},
    "optimizer": {"name": "sgd", "lr": 0.001},
    "ema": {"decay": 0.999},
    "epochs": 300,
}
CLASSES = [str(label) for label in range(10)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("service"))
    with listen("127.0.0.1", 0) as listener, hosted(settings, listener, NullLauncher()):
        yield address("127.0.0.1", listener)


def post(server: str, spec: dict[str, Any], accuracies: list[dict[str, float]], noisy_hash: str | None, **card: Any) -> str:
    """A grid whose first runs are done, with these metrics after their last epoch."""
    grid = httpx.post(f"{server}/api/grids?launch=external", json=spec).raise_for_status().json()
    runs = httpx.get(f"{server}/api/grids/{grid['grid_id']}/runs").json()["runs"]
    messages = []
    for run, metrics in zip(runs, accuracies, strict=False):
        labels = {**started("")["labels"], "noisy_hash": noisy_hash, "class_names": CLASSES, "realised_rate": 0.4, **card}
        start = started(run["run_id"], labels=labels, num_validation=5000)
        messages += [start, epoch(run["run_id"], run["epochs"], **metrics), finished(run["run_id"])]
    body = {"grid_id": grid["grid_id"], "messages": messages}
    httpx.post(f"{server}/api/records", json=body, headers={"Authorization": f"Bearer {grid['token']}"}).raise_for_status()
    return str(grid["grid_id"])


@pytest.fixture(scope="module")
def compared(server: str) -> str:
    """SLN on the paper's labels, near the paper; its average is far off. The label-correcting run is not finished."""
    spec = {"name": "compared", "base": RUN, "axes": {"method.correct_from": [None, 251]}}
    return post(server, spec, [{"test_accuracy": 0.801, "ema_test_accuracy": 0.81}], SYM.noisy_hash)


@pytest.fixture(scope="module")
def searched(server: str) -> str:
    base = {**RUN, "split": {"validation": 0.1}}
    metrics = [
        {"validation_accuracy": 0.44, "test_accuracy": 0.70, "ema_validation_accuracy": 0.50, "ema_test_accuracy": 0.85},
        {"validation_accuracy": 0.48, "test_accuracy": 0.80, "ema_validation_accuracy": 0.45, "ema_test_accuracy": 0.86},
    ]
    return post(server, {"name": "searched", "base": base, "axes": {"method.sigma": [0.5, 1]}}, metrics, SYM.noisy_hash)


def run_cli(server: str, *arguments: str) -> Result:
    return CliRunner().invoke(cli.app, [*arguments, "--server", server], env={"COLUMNS": "250"})


def verdicts(server: str, grid_id: str) -> dict[tuple[str, str | None], str]:
    answer = httpx.get(f"{server}/api/grids/{grid_id}/compare").raise_for_status().json()
    return {(c["ours"]["method"], (c["published"] or {}).get("source")): c["verdict"] for c in answer["comparisons"]}


def test_results_stand_beside_the_papers_and_re_slns(server: str, compared: str):
    assert verdicts(server, compared) == {
        ("SLN", "paper"): "within",
        ("SLN", "re-sln"): "within",
        ("SLN-MO", "paper"): "outside",
        ("SLN-MO", "re-sln"): "outside",
        ("SLN-LC", None): "unpublished",
        ("SLN-MO-LC", "paper"): "waiting",
        # It began to correct an epoch earlier than the paper's program.
        ("SLN-MO-LC", "re-sln"): "refused",
    }


def test_labels_that_the_service_drew_are_refused(server: str):
    base = {**RUN, "noise": {"name": "symmetric", "rate": 0.4}}
    grid_id = post(
        server, {"name": "own labels", "base": base, "axes": {"seed": [0]}}, [{"test_accuracy": 0.8, "ema_test_accuracy": 0.85}], "d" * 64
    )
    assert set(verdicts(server, grid_id).values()) == {"refused"}


def test_a_terminal_shows_figures_and_reasons(server: str, compared: str):
    result = run_cli(server, "compare", compared)
    assert result.exit_code == 0
    words = " ".join(result.stdout.split())
    assert "SLN 1 80.10 (1) paper 80.00 ± 0.61 (5) +0.10 1.50 within" in words
    assert "SLN-MO 1 81.00 (1) paper 84.71 ± 0.43 (5) -3.71 1.20 outside" in words
    assert "refused method.correct_from: ours 251, published 250" in words
    assert "1 of 7 lines have no published counterpart (SLN-LC)" in words


def test_a_comparison_as_csv_and_json(server: str, compared: str):
    rows = list(csv.DictReader(io.StringIO(run_cli(server, "compare", compared, "--csv").stdout)))
    assert [(row["method"], row["source"], row["verdict"]) for row in rows][:2] == [("SLN", "paper", "within"), ("SLN", "re-sln", "within")]
    assert float(rows[0]["difference"]) == pytest.approx(0.001)
    assert rows[0]["published_labels"] == "cifar10-sym0.4.csv"
    comparisons = json.loads(run_cli(server, "compare", compared, "--json").stdout)["comparisons"]
    assert len(comparisons) == len(rows) == 7


def test_claims_between_methods_are_asked_of_the_same_runs_and_wait_for_others(server: str, compared: str):
    claims = httpx.get(f"{server}/api/grids/{compared}/compare").raise_for_status().json()["claims"]
    assert [(claim["claim"], claim["verdict"]) for claim in claims] == [
        ("SLN > CE", "refused"),
        ("SLN-MO > SLN", "holds"),
        ("SLN-MO-LC − SLN-MO at least +1.5", "waiting"),
    ]
    assert claims[1]["ours"] == {"mean": pytest.approx(0.009), "standard_error": None, "n": 1, "n_than": 1, "is_paired": True}
    assert claims[1]["published"] == [
        {"source": "paper", "difference": pytest.approx(0.0471)},
        {"source": "re-sln", "difference": pytest.approx(0.0499)},
    ]
    # It corrects from epoch 251 on, as the paper's program.
    assert [found["source"] for found in claims[2]["published"]] == ["paper"]


def test_a_terminal_shows_claims_below_the_figures(server: str, compared: str):
    words = " ".join(run_cli(server, "compare", compared).stdout.split())
    assert "Between methods data set noise must hold" in words
    assert "SLN-MO > SLN +0.90 (1) paper +4.71, re-sln +4.99 holds" in words
    assert "SLN > CE – – refused no run of CE that differs in nothing but method and seeds" in words
    alone = run_cli(server, "compare", compared, "--claims").stdout
    assert "holds" in alone
    assert "tolerance" not in alone


def test_claims_as_csv(server: str, compared: str):
    rows = list(csv.DictReader(io.StringIO(run_cli(server, "compare", compared, "--claims", "--csv").stdout)))
    assert [(row["method"], row["than"], row["verdict"]) for row in rows] == [
        ("SLN", "CE", "refused"),
        ("SLN-MO", "SLN", "holds"),
        ("SLN-MO-LC", "SLN-MO", "waiting"),
    ]
    assert (float(rows[1]["difference"]), rows[1]["n"], rows[2]["difference"]) == (pytest.approx(0.009), "1", "")
    assert (float(rows[2]["at_least"]), rows[2]["at_most"]) == (0.015, "")


def test_a_terminal_says_where_there_is_nothing_to_hold(server: str):
    base = {**RUN, "noise": {"name": "uniform", "rate": 0.1}}
    grid_id = post(server, {"name": "unpublished", "base": base, "axes": {"seed": [0]}}, [{"test_accuracy": 0.8}], "e" * 64)
    assert "nobody published two of these methods on these labels" in run_cli(server, "compare", grid_id).stdout


def test_search_report_in_a_terminal(server: str, searched: str):
    words = " ".join(run_cli(server, "search-report", searched).stdout.split())
    # 0.8 * 0.6 + 0.2 * 0.4 / 9 = 0.4889; standard error of 0.48 on 5,000 examples: 0.71 points.
    assert "σ = 1 1/1 48.00 ± 0.71 48.89 80.00 chosen, oracle's chosen σ = 1, regret 0.00 points against σ = 1" in words
    assert "ema model" in words
    assert "chosen σ = 0.5, regret 1.00 points against σ = 1" in words


def test_search_report_as_csv_and_json(server: str, searched: str):
    rows = list(csv.DictReader(io.StringIO(run_cli(server, "search-report", searched, "--csv").stdout)))
    assert [(row["model"], row["treatment"], row["chosen"], row["oracle"]) for row in rows] == [
        ("raw", "σ = 0.5", "False", "False"),
        ("raw", "σ = 1", "True", "True"),
        ("ema", "σ = 0.5", "True", "False"),
        ("ema", "σ = 1", "False", "True"),
    ]
    outcomes = json.loads(run_cli(server, "search-report", searched, "--json").stdout)["outcomes"]
    assert [outcome["regret"] for outcome in outcomes] == [0, pytest.approx(0.01)]


def test_a_grid_without_validation_has_no_search_report(server: str, compared: str):
    result = run_cli(server, "search-report", compared)
    assert result.exit_code == 2
    assert "set split.validation" in result.stderr


def test_a_data_set_that_brings_clean_images_to_validate_on_has_a_search_report(server: str):
    spec = {"name": "clean validation", "base": RUN, "axes": {"method.sigma": [0.2, 0.5]}}
    measured = [{"validation_accuracy": accuracy, "test_accuracy": accuracy} for accuracy in (0.7, 0.8)]
    grid_id = post(server, spec, measured, SYM.noisy_hash, validation_labels="clean", realised_rate=None)
    words = " ".join(run_cli(server, "search-report", grid_id).stdout.split())
    assert "clean validation its ceiling test" in words
    assert "σ = 0.5 1/1 80.00 ± 0.57 – 80.00 chosen, oracle's" in words
    assert "chosen on clean validation labels" in words
    assert "Chosen by validation" in httpx.get(f"{server}/grids/{grid_id}/compare").text


@pytest.mark.parametrize("report", ["compare", "search"])
def test_an_unknown_grid_is_not_found(server: str, report: str):
    assert httpx.get(f"{server}/api/grids/none/{report}").status_code == 404
