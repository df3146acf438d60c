"""Pages with single examples: a run's, and one run of each treatment of a grid."""

import httpx
import pytest
import torch
from playwright.sync_api import Page, expect

from tests.browser.sender import Sender, grid_spec
from trainables.measures.examples import ExampleFits

pytestmark = pytest.mark.browser


def file() -> bytes:
    """Every third example has a wrong label; the model sees through half of them."""
    number_M = torch.arange(300)
    true_M, is_wrong_M = number_M % 10, number_M % 3 == 0
    given_M = torch.where(is_wrong_M, (true_M + 1) % 10, true_M)
    predicted_M = torch.where(number_M % 2 == 0, true_M, given_M)
    fit_M3 = torch.stack([number_M / 100, predicted_M.float(), 0.2 + number_M / 500], dim=1)
    return ExampleFits.of(number_M, given_M, true_M, {"": fit_M3, "ema_": fit_M3}).to_bytes()


@pytest.fixture(scope="module")
def finished(service: httpx.Client) -> Sender:
    sender = Sender(service, grid_spec("pictures", 27, [0.4], [0.0, 0.5], [0, 1]))
    for run_id in sender.configs:
        sender.send_examples(run_id, file())
        sender.send(sender.whole(run_id))
    return sender


def test_a_run_s_page_shows_its_examples_and_why_it_has_no_sheet(page: Page, finished: Sender):
    page.goto(f"/runs/{next(iter(finished.configs))}")
    expect(page.locator("#probabilities .legendtext")).to_have_text(["label right", "label wrong"])
    expect(page.locator("#dissection .legendtext")).to_have_count(3)
    expect(page.locator("#dissection .annotation-text")).to_have_text(["raw model", "EMA model"])
    expect(page.locator("#samples svg")).to_have_count(0)
    page.locator("#samples-title").click()
    # The sender's labels are made up.
    expect(page.locator("#samples .annotation-text")).to_contain_text("gives other labels")


def test_a_grid_s_page_has_the_table_and_one_run_of_each_treatment(page: Page, finished: Sender):
    page.goto(finished.page)
    cells = page.locator("#table .cell-text")
    expect(cells.filter(has_text="σ = 0.5")).to_have_count(2)
    expect(page.locator("#sigma .legendtext")).to_have_text(["noise rate = 0.4, raw model", "noise rate = 0.4, EMA model"])
    expect(page.locator("#dissection svg")).to_have_count(0)
    page.locator("#examples-title").click()
    expect(page.locator("#dissection .annotation-text")).to_have_count(2)
    expect(page.locator("#dissection .annotation-text").first).to_contain_text("seed = 0")
    with page.expect_download() as download:
        page.get_by_text("Markdown").click()
    assert download.value.path().read_text().startswith("| method | model | noise rate = 0.4 |")


def test_a_run_that_trains_shows_no_examples(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("training", 21, [0.4], [0.5], [0]))
    (run_id,) = sender.configs
    sender.send([sender.started(run_id), *sender.epochs(run_id, 1, 2)])
    page.goto(f"/runs/{run_id}")
    expect(page.locator("#state")).to_have_text("running")
    expect(page.locator("#examples")).to_be_hidden()
