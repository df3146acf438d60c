"""A run's page in a real browser."""

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.sender import Sender, grid_spec

pytestmark = pytest.mark.browser


def test_a_run_grows_without_a_reload(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("one run", 18, [0.4], [0.0], [0]))
    (run_id,) = sender.configs
    page.goto(f"/runs/{run_id}")
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator("#noise-facts")).to_contain_text("not drawn yet")
    page.evaluate("window.sameDocument = true")

    sender.send([sender.started(run_id), *sender.epochs(run_id, 1, 4)])
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("#accuracy-chart canvas")).to_have_count(1)
    expect(page.locator("#fit-legend")).to_contain_text("fit of wrong labels (memorised)")
    expect(page.locator("#noise .heatmaplayer image")).to_have_count(1)

    sender.send(sender.whole(run_id))
    expect(page.locator("#state")).to_have_text("done")
    expect(page.locator("#progress-text")).to_contain_text("18 of 18 epochs")
    expect(page.locator("#summary tbody tr")).to_have_count(2)
    assert page.evaluate("window.sameDocument") is True


def test_nominal_and_realised_rate_stand_beside_each_other(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("rates", 19, [0.4], [0.0], [1]))
    (run_id,) = sender.configs
    started = sender.started(run_id)
    sender.send([started])
    page.goto(f"/runs/{run_id}")
    facts = page.locator("#noise-facts")
    expect(facts).to_contain_text("Nominal rate40.0 %")
    expect(facts).to_contain_text(f"Realised rate{100 * started.labels.realised_rate:.3f} %")
    expect(facts).to_contain_text(started.labels.noisy_hash)


def test_a_failed_run_says_why(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("fails", 21, [0.4], [0.0], [0]))
    (run_id,) = sender.configs
    sender.send(sender.failed(run_id, "RuntimeError: loss is not finite", "epoch 6\nepoch 7"))
    page.goto(f"/runs/{run_id}")
    expect(page.locator("#state")).to_have_text("failed")
    expect(page.locator("#error-text")).to_have_text("RuntimeError: loss is not finite")
    expect(page.locator("#log")).to_contain_text("epoch 7")
    expect(page.locator("#cancel")).to_be_hidden()


def test_the_configuration_is_whole(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("configured", 22, [0.4], [0.5], [0]))
    (run_id,) = sender.configs
    page.goto(f"/runs/{run_id}")
    for word in ("dataset", "digits", "sigma", "0.5", "batch_size", "target_noise"):
        expect(page.locator(".config").first).to_contain_text(word)
