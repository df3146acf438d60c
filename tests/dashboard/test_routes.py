"""The dashboard's half of the service, through HTTP and without a browser."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import plotly.graph_objects as go
import pytest
from fastapi.testclient import TestClient

from server.app import create_app
from server.routes._curve_cache import CurveCache
from server.settings import Settings
from tests.browser.sender import Sender, grid_spec

RATES, SIGMAS, SEEDS = (0.2, 0.4), (0.0, 0.5), (0, 1)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), dataset_root=Path("/nowhere"))
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture(scope="module")
def finished(client: TestClient) -> Sender:
    sender = Sender(client, grid_spec("finished", 12, RATES, SIGMAS, SEEDS))
    for run_id in sender.configs:
        sender.send(sender.whole(run_id))
    return sender


def curves(client: TestClient, sender: Sender, metric: str = "test_accuracy") -> dict[tuple[str, str], dict[str, Any]]:
    answer = client.get(f"/api/grids/{sender.grid_id}/curves", params={"metric": metric}).raise_for_status().json()
    return {(curve["condition"], curve["treatment"]): curve for curve in answer["curves"]}


def test_curves_are_averaged_over_seeds(client: TestClient, finished: Sender):
    runs = [r for r, c in finished.configs.items() if c["noise"]["rate"] == 0.4 and c["method"]["sigma"] == 0.5]
    last = [finished.epochs(run_id, 12, 12)[0].metrics["test_accuracy"] for run_id in runs]
    found = curves(client, finished)
    assert set(found) == {(f"noise rate = {rate:g}", f"σ = {sigma:g}") for rate in RATES for sigma in SIGMAS}
    curve = found["noise rate = 0.4", "σ = 0.5"]
    assert curve["epochs"] == list(range(1, 13))
    assert curve["n"] == [2] * 12
    assert curve["mean"][-1] == pytest.approx(mean(last), abs=1e-6)
    assert curve["high"][-1] - curve["mean"][-1] == pytest.approx(stdev(last), abs=2e-6)
    assert curve["group"] == {"noise.rate": 0.4, "method.sigma": 0.5}


def test_curves_follow_new_records(client: TestClient):
    sender = Sender(client, grid_spec("growing", 13, [0.4], [0.0], SEEDS))
    first, second = sender.configs
    assert curves(client, sender) == {}
    lengths = []
    for messages in ([sender.started(first), *sender.epochs(first, 1, 2)], sender.epochs(first, 3, 4), sender.epochs(second, 1, 3)):
        sender.send(messages)
        (curve,) = curves(client, sender).values()
        lengths.append((curve["epochs"], curve["n"]))
    assert lengths == [([1, 2], [1, 1]), ([1, 2, 3, 4], [1] * 4), ([1, 2, 3, 4], [2, 2, 2, 1])]


def test_curves_that_were_read_piece_by_piece_are_those_read_at_once(client: TestClient):
    sender = Sender(client, grid_spec("twice", 14, [0.4], SIGMAS, SEEDS))
    for run_id in sender.configs:
        sender.send([sender.started(run_id), *sender.epochs(run_id, 1, 5)])
        curves(client, sender)
    piecewise = curves(client, sender)
    del client.app.state.noisegrid.kept[CurveCache]
    assert curves(client, sender) == piecewise


def test_the_metrics_that_there_are_are_listed(client: TestClient, finished: Sender):
    metrics = client.get(f"/api/grids/{finished.grid_id}/curves").json()["metrics"]
    assert {"test_accuracy", "ema_test_accuracy", "corrupt_fit_given"} <= set(metrics)


@pytest.mark.parametrize("kind", ["curves", "heatmap", "accuracy", "sigma", "table"])
@pytest.mark.parametrize("metric", ["test_accuracy", "ema_test_accuracy"])
def test_a_grids_figures_are_plotly_figures(client: TestClient, finished: Sender, kind: str, metric: str):
    answer = client.get(f"/api/grids/{finished.grid_id}/figures/{kind}", params={"metric": metric})
    assert answer.status_code == 200
    assert go.Figure(answer.json()).data


@pytest.mark.parametrize("kind", ["curves", "noise"])
def test_a_runs_figures_are_plotly_figures(client: TestClient, finished: Sender, kind: str):
    answer = client.get(f"/api/runs/{next(iter(finished.configs))}/figures/{kind}")
    assert go.Figure(answer.json()).data


def test_unfinished_runs_are_not_results(client: TestClient):
    sender = Sender(client, grid_spec("half-way", 15, [0.4], [0.5], [0]))
    (run_id,) = sender.configs
    sender.send([sender.started(run_id), *sender.epochs(run_id, 1, 3)])
    assert not go.Figure(client.get(f"/api/grids/{sender.grid_id}/figures/heatmap").json()).data


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("figures/heatmap?metric=test_loss", "test_accuracy"),
        ("figures/heatmap?selection=best", "last_ten"),
        ("figures/pie", "heatmap"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_what_can(client: TestClient, finished: Sender, path: str, word: str):
    answer = client.get(f"/api/grids/{finished.grid_id}/{path}")
    assert answer.status_code == 422
    assert word in answer.json()["error"]


@pytest.mark.parametrize("path", ["grids/none/curves", "grids/none/figures/curves", "grids/none/warnings", "runs/none/figures/noise"])
def test_an_unknown_id_is_not_found(client: TestClient, path: str):
    assert client.get(f"/api/{path}").status_code == 404


def test_the_table_is_text_too_and_says_what_its_means_are_over(client: TestClient, finished: Sender):
    path = f"/api/grids/{finished.grid_id}/table"
    table = client.get(path).raise_for_status()
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    # 2 rates, 2 sigmas, 2 models, 4 ways to choose the epoch.
    assert len(table.text.splitlines()) == 1 + 2 * 2 * 2 * 4
    text = client.get(path, params={"format": "markdown", "selection": "validation_best"}).raise_for_status().text
    assert text.startswith("| method | model | noise rate = 0.2 | noise rate = 0.4 |")
    assert "best on validation: mean over seeds, each with labels of its own" in text
    assert client.get(path, params={"format": "xml"}).status_code == 422
    assert client.get("/api/grids/none/table").status_code == 404


def test_different_labels_are_a_warning(client: TestClient):
    sender = Sender(client, grid_spec("labels", 16, [0.4], SIGMAS, [0]))
    for position, run_id in enumerate(sender.configs):
        card = sender.started(run_id).labels.model_copy(update={"noisy_hash": f"draw-{position}"})
        sender.send([sender.started(run_id, card)])
    (text,) = client.get(f"/api/grids/{sender.grid_id}/warnings").json()["warnings"]
    assert "different labels" in text
    assert text in client.get(f"/api/grids/{sender.grid_id}/table", params={"format": "markdown"}).text


@pytest.mark.parametrize(("sample", "said"), [(None, "percent of training labels"), (2500, "percent of up to 2,500 training labels")])
def test_a_runs_page_says_of_how_many_labels_the_fit_is(client: TestClient, sample: int | None, said: str):
    spec = grid_spec(f"sample {sample}", 4, (0.2,), (0.5,), (0,))
    spec["base"] = spec["base"] | {"measure": {"train_sample": sample}}
    assert said in client.get(f"/runs/{next(iter(Sender(client, spec).configs))}").text


def test_pages_answer(client: TestClient, finished: Sender):
    for path in ("/", finished.page, f"/runs/{next(iter(finished.configs))}"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "script-src 'self';" in answer.headers["content-security-policy"]


def test_a_runs_page_is_called_by_what_tells_the_run_from_others(client: TestClient, finished: Sender):
    run_id = next(run_id for run_id, config in finished.configs.items() if config["seed"] == 1)
    assert "<h1>noise rate = 0.2, σ = 0, seed = 1</h1>" in client.get(f"/runs/{run_id}").text
    spec = grid_spec("seeds only", 18, [0.4], [0.5], [0, 1])
    seeds = Sender(client, {**spec, "base": {**spec["base"], "noise": {"name": "symmetric", "rate": 0.4}}, "axes": {"seed": [0, 1]}})
    assert "<h1>seed = 0</h1>" in client.get(f"/runs/{next(iter(seeds.configs))}").text
    single = Sender(client, {**spec, "base": {**spec["base"], "noise": {"name": "symmetric", "rate": 0.3}}, "axes": {}})
    assert "<h1>seeds only</h1>" in client.get(f"/runs/{next(iter(single.configs))}").text


@pytest.mark.parametrize("path", ["/grids/none", "/runs/none"])
def test_a_page_that_is_not_there_says_so_to_people(client: TestClient, path: str):
    answer = client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "there is no" in answer.text


def test_what_a_user_wrote_is_escaped(client: TestClient):
    hostile = "</script><script>alert('x')</script>"
    sender = Sender(client, {**grid_spec(hostile, 17, [0.4], [0.5], [0]), "description": hostile})
    for path in (sender.page, f"/runs/{next(iter(sender.configs))}"):
        assert "<script>alert" not in client.get(path).text


def test_pages_load_nothing_from_other_hosts(client: TestClient, finished: Sender):
    for path in ("/", finished.page, f"/runs/{next(iter(finished.configs))}"):
        addresses = re.findall(r'(?:src|href)="([^"]+)"', client.get(path).text)
        assert addresses
        assert [address for address in addresses if not re.match(r"/(?!/)|#", address)] == []


def test_assets_are_kept_for_ever_under_a_hashed_address(client: TestClient):
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', client.get("/").text)
    for address in addresses:
        answer = client.get(address)
        assert (answer.status_code, "immutable" in answer.headers["cache-control"]) == (200, True)


def test_an_asset_of_an_old_page_leads_to_the_present_one(client: TestClient):
    answer = client.get("/static/000000000000/style.css", follow_redirects=False)
    assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")
    assert client.get(answer.headers["location"]).status_code == 200


@pytest.mark.parametrize("name", ["nothing.js", "../assets.py", "..%2fassets.py", "%2e%2e/assets.py", "/etc/passwd"])
def test_only_assets_are_served(client: TestClient, name: str):
    version = re.findall(r"/static/(\w+)/", client.get("/").text)[0]
    assert client.get(f"/static/{version}/{name}").status_code == 404


def test_plotly_comes_from_its_own_package_and_compressed(client: TestClient, finished: Sender):
    (address,) = re.findall(r'data-plotly="(/static/[^"]+plotly.min.js)"', client.get(finished.page).text)
    with client.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert b"plotly.js" in gzip.decompress(packed)[:200]
    assert len(packed) < 1_600_000
    assert "plotly" not in client.get("/").text


def test_the_compare_page_shows_a_search_only_where_there_is_one(client: TestClient, finished: Sender):
    without = Sender(client, {**grid_spec("no split", 3, [0.4], [0.5], [0]), "base": {**grid_spec()["base"], "split": {}, "epochs": 3}})
    assert 'id="search"' in client.get(f"{finished.page}/compare").text
    assert 'id="search"' not in client.get(f"{without.page}/compare").text
    assert client.get("/grids/none/compare").status_code == 404
