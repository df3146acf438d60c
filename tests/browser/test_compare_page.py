"""The page that puts a grid beside published results."""

from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from dashboard.published.noise_against_noise import LABELS
from tests.browser.sender import Sender, grid_spec
from tests.server.parts import epoch, finished, started

pytestmark = pytest.mark.browser

LABELS_SYM = LABELS["cifar10-sym0.4"]
CLASSES = [str(label) for label in range(10)]
RUN: dict[str, Any] = {
    "dataset": "cifar10",
    "noise": {"name": "recorded", "path": "sln_labels/cifar10-sym0.4.csv", "sha256": LABELS_SYM.sha256},
    "model": {"name": "wide_resnet"},
    "method": {"name": "sln", "sigma": 1},
    "optimizer": {"name": "sgd", "lr": 0.001},
    "ema": {"decay": 0.999},
    "epochs": 300,
}


def post(service: httpx.Client, spec: dict[str, Any], metrics: dict[str, float]) -> str:
    """A grid whose first run is done."""
    grid = service.post("/api/grids", params={"launch": "external"}, json=spec).raise_for_status().json()
    (run, *_) = service.get(f"/api/grids/{grid['grid_id']}/runs").json()["runs"]
    labels = {**started("")["labels"], "noisy_hash": LABELS_SYM.noisy_hash, "class_names": CLASSES, "realised_rate": 0.4}
    start = started(run["run_id"], labels=labels, num_validation=5000)
    body = {"grid_id": grid["grid_id"], "messages": [start, epoch(run["run_id"], 300, **metrics), finished(run["run_id"])]}
    service.post("/api/records", json=body, headers={"Authorization": f"Bearer {grid['token']}"}).raise_for_status()
    return str(grid["grid_id"])


def test_results_stand_beside_published_ones_with_verdict_and_reason(service: httpx.Client, page: Page):
    spec = {"name": "compared", "base": RUN, "axes": {"method.correct_from": [None, 251]}}
    grid_id = post(service, spec, {"test_accuracy": 0.801, "ema_test_accuracy": 0.81})
    page.goto(f"/grids/{grid_id}")
    page.get_by_role("link", name="Compare").click()
    rows = page.locator("#compared tbody tr")
    expect(rows).to_have_count(6)
    expect(rows.nth(0)).to_contain_text("80.00 ± 0.61 (5)")
    expect(rows.nth(0)).to_contain_text("+0.10")
    expect(page.locator("#compared .badge")).to_have_text(["within", "within", "outside", "outside", "waiting", "refused"])
    expect(rows.nth(5)).to_contain_text("method.correct_from: ours 251, published 250")
    expect(page.locator("#unpublished")).to_have_text("1 of our results have no published counterpart.")


def test_claims_between_methods_stand_below_with_difference_and_verdict(service: httpx.Client, page: Page):
    spec = {"name": "claims", "base": RUN, "axes": {"method.correct_from": [None, 251]}}
    grid_id = post(service, spec, {"test_accuracy": 0.801, "ema_test_accuracy": 0.847})
    page.goto(f"/grids/{grid_id}/compare")
    rows = page.locator("#claims tbody tr")
    expect(page.locator("#claims .badge")).to_have_text(["refused", "holds", "waiting"])
    expect(rows.nth(0)).to_contain_text("no run of CE that differs in nothing but method and seeds")
    expect(rows.nth(1)).to_contain_text("+4.60 (1)")
    expect(rows.nth(1)).to_contain_text("paper +4.71, re-sln +4.99")


def test_a_search_shows_choice_ceiling_and_regret(service: httpx.Client, page: Page):
    spec = {"name": "searched", "base": {**RUN, "split": {"validation": 0.1}}, "axes": {"method.sigma": [1, 0.5]}}
    grid_id = post(service, spec, {"test_accuracy": 0.8, "validation_accuracy": 0.48})
    page.goto(f"/grids/{grid_id}/compare")
    first = page.locator("#search tbody tr").first
    expect(first).to_contain_text("48.00 ± 0.71")
    expect(first).to_contain_text("48.89")
    expect(first).to_contain_text("chosen, oracle’s")
    expect(first).to_contain_text("1 of 2 runs are finished")


def test_a_grid_that_nobody_published_says_so(service: httpx.Client, page: Page):
    sender = Sender(service, {**grid_spec("unpublished", 33, [0.4], [0.5], [0]), "description": ""})
    page.goto(f"{sender.page}/compare")
    expect(page.locator("#nothing-published")).to_be_visible()
    expect(page.locator("#compared")).to_be_hidden()
    expect(page.locator("#between")).to_be_hidden()
