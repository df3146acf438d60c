"""The ledger of label vectors, through HTTP, on the pages and on the command line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from noise._base import NOISES
from noise.files import LabelFile, csv_bytes, file_bytes, npy_bytes, parse, read_label_file
from server import cli, cli_noise
from server.app import create_app
from server.client import Client
from server.routes.labels import written
from server.settings import Settings
from spec.problems import InvalidInputError
from tests.server.parts import grid_spec, started
from tests.server.served import serving
from tests.server.world import run_ids, send
from trainables.image_data._base import DATASETS
from trainables.image_data.label_files import draw_labels

Post = Callable[..., dict[str, Any]]


def given(run_id: str, noisy_hash: str, at: float, **changes: Any) -> dict[str, Any]:
    """A run started, and was given these labels."""
    message = started(run_id, at=at)
    return {**message, "labels": {**message["labels"], "noisy_hash": noisy_hash, **changes}}


@pytest.fixture
def ledger(client: TestClient, post: Post) -> dict[str, dict[str, Any]]:
    """Two grids, by name: seeds 0 and 1 under two sigmas, where labels follow the seed; and seed 0 once more, of the same labels."""
    crossed = post(grid_spec("crossed", method__sigma=[0, 1], seed=[0, 1]))
    again = post(grid_spec("again", {"epochs": 6}, method__sigma=[0], seed=[0]))
    zero_0, zero_1, one_0, one_1 = run_ids(client, crossed)
    seed_1 = {"corrupt_by_class": [40, 20], "num_corrupt": 60, "num_replaced": 22, "replaced_from": "others", "realised_rate": 0.6}
    send(client, crossed, given(zero_0, "aa", 1.0), given(one_0, "aa", 2.0))
    send(client, crossed, given(zero_1, "bb", 3.0, **seed_1), given(one_1, "bb", 4.0, **seed_1))
    send(client, again, given(run_ids(client, again)[0], "aa", 5.0))
    return {"crossed": crossed, "again": again}


def test_a_service_without_runs_has_no_labels(client: TestClient):
    assert client.get("/api/labels").json() == {"total": 0, "offset": 0, "limit": 50, "labels": []}


def test_runs_that_have_not_started_have_no_labels(client: TestClient, post: Post):
    post(grid_spec())
    assert client.get("/api/labels").json()["total"] == 0


def test_every_label_vector_is_listed_once_the_last_used_first(client: TestClient, ledger: dict[str, dict[str, Any]]):
    page = client.get("/api/labels").json()
    assert [(entry["noisy_hash"], entry["num_runs"], entry["num_grids"]) for entry in page["labels"]] == [("aa", 3, 2), ("bb", 2, 1)]
    entry = page["labels"][0]
    assert entry["noise"] == {"name": "symmetric", "rate": 0.4}
    assert (entry["label_seed"], entry["realised_rate"], entry["num_corrupt"], entry["num_examples"]) == (0, 0.38, 38, 100)
    assert page["labels"][1]["label_seed"] == 1


def test_the_ledger_is_read_page_by_page(client: TestClient, ledger: dict[str, dict[str, Any]]):
    page = client.get("/api/labels", params={"offset": 1, "limit": 1}).json()
    assert (page["total"], [entry["noisy_hash"] for entry in page["labels"]]) == (2, ["bb"])
    assert client.get("/api/labels", params={"limit": 0}).status_code == 422


def test_a_run_of_two_grids_counts_once_as_a_run_and_twice_as_a_use(client: TestClient, post: Post, ledger: dict[str, dict[str, Any]]):
    post(grid_spec("shares a run", method__sigma=[0], seed=[0]))
    entry = client.get("/api/labels/aa").json()
    assert (entry["num_runs"], entry["num_grids"]) == (3, 3)
    assert {use["name"]: use["num_runs"] for use in entry["grids"]} == {"shares a run": 1, "again": 1, "crossed": 2}


def test_labels_have_a_rate_for_each_class(client: TestClient, ledger: dict[str, dict[str, Any]]):
    assert client.get("/api/labels/aa").json()["rate_by_class"] == [0.38, 0.38]
    # Replaced images keep their labels, so that the counts alone do not know of them.
    assert client.get("/api/labels/bb").json()["rate_by_class"] == [0.8, 0.4]


def test_every_way_that_made_the_same_labels_is_told(client: TestClient, post: Post, ledger: dict[str, dict[str, Any]]):
    other = post(grid_spec("from elsewhere", {"noise": {"name": "pair", "rate": 0.4}}, seed=[7]))
    send(client, other, given(run_ids(client, other)[0], "aa", 9.0))
    origins = client.get("/api/labels/aa").json()["origins"]
    assert [(origin["noise"]["name"], origin["label_seed"], origin["num_runs"]) for origin in origins] == [
        ("symmetric", 0, 3),
        ("pair", 7, 1),
    ]


def test_labels_that_no_run_was_given_are_not_found(client: TestClient):
    answer = client.get("/api/labels/nope")
    assert answer.status_code == 404
    assert "there is no label vector 'nope'" in answer.json()["error"]


def test_the_pages_show_the_ledger(client: TestClient, ledger: dict[str, dict[str, Any]]):
    listed = client.get("/labels").text
    assert '<a href="/labels/aa">' in listed
    assert "symmetric, rate 0.4" in listed
    page = client.get("/labels/bb").text
    assert "22, by others of others" in page
    assert f'<a href="/grids/{ledger["crossed"]["grid_id"]}">crossed</a>' in page
    assert client.get("/labels/nope").status_code == 404


def test_labels_that_are_wrong_as_published_have_no_rate_on_any_page(client: TestClient, post: Post, ledger: dict[str, dict[str, Any]]):
    grid = post(grid_spec("real", seed=[3]))
    send(client, grid, given(run_ids(client, grid)[0], "ff", 9.0, realised_rate=None, num_corrupt=0))
    labels = client.get("/api/labels/ff").json()
    assert (labels["realised_rate"], labels["rate_by_class"]) == (None, [None, None])
    assert client.get(f"/api/grids/{grid['grid_id']}/runs").json()["runs"][0]["realised_rate"] is None
    page = client.get("/labels/ff").text
    assert "nobody knows: the published labels are wrong in places" in page
    assert "<dt>Changed</dt><dd>0 of 100</dd>" in page
    assert client.get("/labels").status_code == 200


def test_an_empty_ledger_has_a_page(client: TestClient):
    assert "No labels yet" in client.get("/labels").text


def test_treatments_under_other_images_are_told_though_their_labels_are_the_same(client: TestClient, post: Post):
    """Open-set noise keeps labels; the hash of what was given is another one, and the comparison is marked."""
    grid = post(grid_spec("openset", method__sigma=[0, 1]))
    one, other = run_ids(client, grid)
    clean = {"counts": [[50, 0], [0, 50]], "clean_hash": "cc", "num_replaced": 40, "replaced_from": "others"}
    send(client, grid, given(one, "dd", 1.0, **clean), given(other, "ee", 1.0, **clean))
    (warning,) = client.get(f"/api/grids/{grid['grid_id']}/warnings").json()["warnings"]
    assert "different labels" in warning


def test_the_command_line_lists_the_ledger(client: TestClient, ledger: dict[str, dict[str, Any]], capsys, monkeypatch):
    service = Client("http://testserver")
    service._http = client
    monkeypatch.setattr(cli_noise, "connected", lambda server: service)
    monkeypatch.setattr(TestClient, "__exit__", lambda *error: None)
    cli_noise.ledger()
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:5] == ["aa", "digits", "symmetric,", "0.4", "0"]
    assert len(lines) == 3


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["noise", *arguments], env={"COLUMNS": "200"})


DIGITS = {
    "dataset": "digits",
    "noise": {"name": "pair", "rate": 0.3},
    "model": "small_cnn",
    "optimizer": {"name": "sgd", "lr": 0.02},
    "epochs": 2,
}


@pytest.fixture
def digits_labels(tmp_path: Path) -> Iterator[tuple[Client, LabelFile]]:
    """A real service where a run was given pairwise wrong labels of digits, and these labels."""
    file = draw_labels(DATASETS.params("digits")(), NOISES.params("pair")(rate=0.3), 5, Path())
    with serving(create_app(Settings(data_dir=tmp_path))) as address, Client(address) as client:
        grid = client.create_foreign_grid({"name": "g", "base": DIGITS, "axes": {"seed": [5]}})
        (run,) = client.runs(grid.grid_id)
        message = started(run.run_id)
        client.add_records(grid, [{**message, "labels": file.card.model_dump(mode="json")}])
        yield client, file


def test_the_labels_of_a_run_can_be_had_as_a_file(digits_labels: tuple[Client, LabelFile]):
    client, file = digits_labels
    assert client.label_file(file.card.noisy_hash, "json") == file_bytes(file)
    assert client.label_file(file.card.noisy_hash, "csv") == csv_bytes(file)
    assert client.label_file(file.card.noisy_hash, "npy") == npy_bytes(file)


@pytest.mark.parametrize("format", ["csv", "npy"])
def test_formats_without_a_place_for_replaced_images_are_refused(format: str):
    params = DATASETS.params("digits")()
    file = draw_labels(params, NOISES.params("openset")(rate=0.3, source="digits"), 5, Path())
    assert parse(written(file, "json"), Path("f.json")) == file
    with pytest.raises(InvalidInputError, match=r"431 images are replaced.*take the \.json"):
        written(file, format)


def test_the_command_line_fetches_labels_by_the_beginning_of_their_hash(digits_labels: tuple[Client, LabelFile], tmp_path: Path):
    client, file = digits_labels
    out = tmp_path / "labels.json"
    assert invoke("fetch", file.card.noisy_hash[:8], "--out", str(out), "--server", client.server).exit_code == 0
    assert read_label_file(out) == file
    missing = invoke("fetch", "xyz", "--out", str(tmp_path / "x.json"), "--server", client.server)
    assert (missing.exit_code, "noisegrid noise ledger" in missing.stderr) == (1, True)
    wrong = invoke("fetch", "xyz", "--out", str(tmp_path / "x.txt"), "--server", client.server)
    assert (wrong.exit_code, "'x.txt'" in wrong.stderr) == (1, True)


def test_labels_that_the_data_does_not_give_are_not_handed_out(client: TestClient, ledger: dict[str, dict[str, Any]]):
    answer = client.get("/api/labels/aa/file")
    assert (answer.status_code, "the service cannot draw these labels again" in answer.json()["error"]) == (409, True)
    assert client.get("/api/labels/nope/file").status_code == 404
    assert client.get("/api/labels/aa/file", params={"format": "xls"}).status_code == 422
