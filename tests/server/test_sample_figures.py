"""A run's sheet of images from the service, or why there is none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from fastapi.testclient import TestClient

from noise.labels import corrupt
from server.app import create_app
from server.routes._sample_figures import SampleCache
from server.settings import Settings
from tests.server.parts import started
from tests.server.world import run_ids, send
from trainables.image_data import samples as samples_module
from trainables.image_data._base import DATASETS
from trainables.image_data.examples import clean_labels
from trainables.parts import RunConfig

BASE: dict[str, Any] = {
    "dataset": "digits",
    "noise": {"name": "symmetric", "rate": 0.4},
    "model": "small_cnn",
    "optimizer": {"name": "sgd", "lr": 0.02},
    "epochs": 2,
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    with TestClient(create_app(settings)) as client:
        yield client


def post(client: TestClient, **base: Any) -> dict[str, Any]:
    spec = {"name": "g", "base": BASE | base, "axes": {"seed": [0]}}
    return client.post("/api/grids", params={"launch": "external"}, json=spec).raise_for_status().json()


def samples(client: TestClient, grid: dict[str, Any], **options: int) -> go.Figure:
    (run_id,) = run_ids(client, grid)
    return go.Figure(client.get(f"/api/runs/{run_id}/figures/samples", params=options).raise_for_status().json())


def test_a_run_that_waits_has_a_sheet_of_16_and_16(client: TestClient):
    figure = samples(client, post(client), columns=4)
    assert len(figure.layout.images) == 32
    assert max(image.x for image in figure.layout.images) == 3.5


def test_what_is_shown_has_the_labels_that_the_run_was_given(client: TestClient):
    grid = post(client, epochs=3)
    (run_id,) = run_ids(client, grid)
    send(client, grid, started(run_id))
    assert "gives other labels" in samples(client, grid).layout.annotations[0].text
    run = RunConfig.model_validate(BASE)
    dataset = DATASETS["digits"](run.dataset, Path())
    card = corrupt(clean_labels(dataset, run.dataset, Path()), run.noise, 0).card
    send(client, grid, started(run_id, attempt=2, labels=card.model_dump(mode="json")))
    assert len(samples(client, grid).layout.images) == 32


def test_a_data_set_that_the_service_lacks_is_said_in_a_sentence(client: TestClient):
    text = samples(client, post(client, dataset="cifar10")).layout.annotations[0].text
    assert "The service cannot read the run's data" in text
    assert "cifar-10-batches-py lacks" in text.replace("<br>", " ")


def test_looking_at_a_page_downloads_nothing_and_reads_no_tree_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked: list[RunConfig] = []
    monkeypatch.setattr(samples_module, "draw_samples", lambda run, root: asked.append(run))
    for dataset in ({"name": "cifar10", "download": True}, {"name": "image_folder", "path": "x", "cache": "memory"}, {"name": "digits"}):
        SampleCache().samples(RunConfig.model_validate(BASE | {"dataset": dataset, "model": "linear"}), tmp_path)
    cifar, tree, digits = (run.dataset for run in asked)
    assert (cifar.download, tree.cache, digits.name) == (False, "stream", "digits")  # type: ignore[attr-defined]


def test_runs_with_the_same_labels_are_drawn_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    asked: list[int] = []
    monkeypatch.setattr(samples_module, "draw_samples", lambda run, root: asked.append(run.seeds.label))
    cache = SampleCache()
    for seed, label in ((0, 0), (1, 0), (1, 1), (0, 0)):
        cache.samples(RunConfig.model_validate(BASE | {"seed": seed, "seeds": {"label": label}}), tmp_path)
    assert asked == [0, 1]
