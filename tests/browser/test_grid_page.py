"""A grid's page in a real browser: it lives, sorts, filters, stays small, and shows text as text."""

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.sender import Sender, grid_spec

pytestmark = pytest.mark.browser

MAX_PAINT_BYTES = 300_000


def column(page: Page, title: str) -> list[str]:
    """The texts of a column of the run table."""
    titles = [text.strip() for text in page.locator("#runs thead tr:last-child th").all_inner_texts()]
    place = titles.index(title) + 1
    return page.locator(f"#runs tbody td:nth-child({place})").all_inner_texts()


def row(page: Page, run_id: str) -> Locator:
    return page.locator(f'#runs tbody tr[data-run="{run_id}"]')


def opened(page: Page, sender: Sender) -> Page:
    page.goto(sender.page)
    expect(page.locator("#live")).to_have_text("live")
    return page


def test_curve_and_row_grow_without_a_reload(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("grows", 20, [0.4], [0.0, 0.5], [0, 1]))
    opened(page, sender)
    expect(page.locator("#no-curves")).to_be_visible()
    page.evaluate("window.sameDocument = true")
    first, *rest = sender.configs
    expect(row(page, first).locator(".badge")).to_have_text("queued")

    sender.send([sender.started(first), *sender.epochs(first, 1, 3)])
    expect(row(page, first).locator(".badge")).to_have_text("running")
    expect(row(page, first)).to_contain_text("3 / 20")
    expect(page.locator("#curves canvas")).to_have_count(1)
    expect(page.locator("#curves .legend li")).to_have_text([re.compile(r"σ = 0\s*\d+\.\d \(1\)")])
    expect(page.locator("#progress-text")).to_contain_text("3 of 80 epochs")

    for run_id in sender.configs:
        sender.send(sender.whole(run_id))
    expect(page.locator("#state")).to_have_text("done")
    expect(page.locator("#curves .legend li")).to_have_count(2)
    expect(page.locator("#curves .legend")).to_contain_text("± ")
    expect(page.locator("#heatmap .heatmaplayer image")).to_have_count(1)
    expect(page.locator("#accuracy .points path").first).to_be_visible()
    expect(row(page, rest[-1])).to_contain_text("20 / 20")
    assert page.evaluate("window.sameDocument") is True


def test_another_metric_and_condition_can_be_chosen(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("chosen", 8, [0.2, 0.4], [0.0, 0.5], [0]))
    for run_id in sender.configs:
        sender.send(sender.whole(run_id))
    opened(page, sender)
    expect(page.locator("#curves .panel")).to_have_count(2)
    page.locator("#condition").select_option("noise rate = 0.4")
    expect(page.locator("#curves .panel h3")).to_have_text(["noise rate = 0.4"])
    before = page.locator("#curves .legend").inner_text()
    page.locator("#metric").select_option("corrupt_fit_given")
    expect(page.locator("#curves .legend")).not_to_have_text(before)
    page.locator("#model").select_option("ema_test_accuracy")
    page.locator("#selection").select_option("oracle_best")
    expect(page.locator("figcaption").first).to_contain_text("oracle best (chosen on test), EMA model")


def test_a_treatment_is_hidden_in_all_panels(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("hidden", 6, [0.2, 0.4], [0.0, 0.5], [0]))
    for run_id in sender.configs:
        sender.send(sender.whole(run_id))
    opened(page, sender)
    buttons = page.locator("#curves .legend button", has_text="σ = 0.5")
    expect(buttons).to_have_count(2)
    buttons.first.click()
    for position in range(2):
        expect(buttons.nth(position)).to_have_attribute("aria-pressed", "false")


def test_the_table_sorts_and_filters(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("sorts", 10, [0.2, 0.4], [0.0, 0.5], [0, 1]))
    for run_id in list(sender.configs)[:6]:
        sender.send(sender.whole(run_id))
    opened(page, sender)
    expect(page.locator("#runs tbody tr")).to_have_count(8)

    page.locator("#runs thead").get_by_role("button", name="last", exact=True).first.click()
    header = page.locator("#runs th", has=page.locator("text=/^last$/")).first
    expect(header).to_have_attribute("aria-sort", "descending")
    expect(page.locator("#runs tbody tr").last).to_contain_text("queued")
    values = [float(text) for text in column(page, "last") if text != "–"]
    assert len(values) == 6
    assert values == sorted(values, reverse=True)

    page.locator('[data-path="noise.rate"]').select_option("0.4")
    expect(page.locator("#runs tbody tr")).to_have_count(4)
    assert set(column(page, "nominal rate")) == {"40.0"}
    page.locator("#filter-state").select_option("done")
    expect(page.locator("#runs tbody tr")).to_have_count(2)
    expect(page.locator("#run-count")).to_have_text("2 of 8 match")
    page.locator("#filter-state").select_option("failed")
    expect(page.locator("#runs tbody")).to_contain_text("No run matches")


def test_methods_given_whole_are_told_apart_and_filtered(page: Page, service: httpx.Client):
    spec = grid_spec("methods", 23, [0.4], [0.0], [0])
    base = {**spec["base"], "noise": {"name": "symmetric", "rate": 0.4}}
    axes = {"method": ["ce", {"name": "sln", "sigma": 0.2}, {"name": "sln", "sigma": 0.5}]}
    opened(page, Sender(service, {**spec, "base": base, "axes": axes}))
    expect(page.locator("#runs tbody tr")).to_have_count(3)
    assert column(page, "method") == ["ce", "sln, sigma 0.2", "sln, sigma 0.5"]
    page.locator('[data-path="method"]').select_option(label="sln, sigma 0.5")
    expect(page.locator("#runs tbody tr")).to_have_count(1)
    assert column(page, "method") == ["sln, sigma 0.5"]


def test_the_oracle_is_marked(page: Page, service: httpx.Client):
    opened(page, Sender(service, grid_spec("oracle", 5, [0.4], [0.5], [0])))
    marked = page.locator("#runs thead th.oracle")
    expect(marked).to_have_text(["oracle best", "oracle best"])
    assert "which no honest protocol can" in (marked.first.get_attribute("title") or "")


def test_a_name_with_html_is_text(page: Page, service: httpx.Client):
    name = "<img src=x onerror=\"document.title='owned'\"> & <script>document.title='owned'</script>"
    sender = Sender(service, {**grid_spec(name, 4, [0.4], [0.5], [0]), "description": name})
    (run_id,) = sender.configs
    sender.send(sender.failed(run_id, name, name))
    opened(page, sender)
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.goto(f"/runs/{run_id}")
    expect(page.locator("#error-text")).to_have_text(name)
    expect(page.locator("#log")).to_have_text(name)
    page.goto("/")
    expect(page.get_by_role("link", name=name)).to_be_visible()
    assert page.title() != "owned"


def test_a_grid_can_be_cancelled(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("cancels", 9, [0.4], [0.5], [0, 1]))
    opened(page, sender)
    page.locator("#cancel").click()
    page.get_by_role("button", name="Keep running").click()
    expect(page.locator("#state")).to_have_text("queued")
    page.locator("#cancel").click()
    page.locator("dialog").get_by_role("button", name="Cancel grid").click()
    expect(page.locator("#state")).to_have_text("cancelled")
    expect(page.locator("#runs tbody .badge")).to_have_text(["cancelled", "cancelled"])
    expect(page.locator("#cancel")).to_be_hidden()


def test_warnings_are_shown(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("warns", 3, [0.4], [0.0, 0.5], [0]))
    for position, run_id in enumerate(sender.configs):
        card = sender.started(run_id).labels.model_copy(update={"noisy_hash": f"draw-{position}"})
        sender.send([sender.started(run_id, card)])
    opened(page, sender)
    expect(page.locator("#warnings")).to_contain_text("under different labels")


def test_a_thousand_runs_paint_from_few_bytes(page: Page, service: httpx.Client):
    spec = grid_spec("a thousand", 10, [0.1, 0.2, 0.3, 0.4, 0.5], [sigma / 10 for sigma in range(10)], range(20))
    sender = Sender(service, spec)
    sender.send([message for run_id in sender.configs for message in sender.whole(run_id)])
    sizes: list[tuple[str, int]] = []

    def measure(request: Any) -> None:
        if "plotly" not in request.url and "/events" not in request.url:
            sizes.append((request.url, request.sizes()["responseBodySize"]))

    page.on("requestfinished", measure)
    opened(page, sender)
    expect(page.locator("#runs tbody tr")).to_have_count(50)
    expect(page.locator("#pager")).to_contain_text("1–50 of 1,000")
    expect(page.locator("#curves canvas")).to_have_count(5)
    expect(page.locator("#accuracy .points path").first).to_be_visible()
    assert sum(size for _, size in sizes) < MAX_PAINT_BYTES, sizes
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#pager")).to_contain_text("51–100 of 1,000")


def test_dark_is_remembered(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("dark", 2, [0.4], [0.5], [0]))
    opened(page, sender)
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.locator("#theme").click()
    dark = page.evaluate(background)
    assert dark != light
    page.goto("/")
    assert page.evaluate(background) == dark


def test_dark_follows_the_system(page: Page):
    page.emulate_media(color_scheme="dark")
    page.goto("/")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.emulate_media(color_scheme="light")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_the_list_shows_grids_and_their_progress(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("in the list", 7, [0.4], [0.5], [0]))
    page.goto("/")
    listed = page.locator("#grids tbody tr", has_text="in the list")
    expect(listed).to_contain_text("0 / 1")
    (run_id,) = sender.configs
    sender.send(sender.whole(run_id))
    expect(listed).to_contain_text("done")
    listed.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("in the list")


def test_nothing_is_wider_than_a_telephone(page: Page, service: httpx.Client):
    sender = Sender(service, grid_spec("narrow", 11, [0.2, 0.4], [0.0, 0.5], [0]))
    for run_id in sender.configs:
        sender.send(sender.whole(run_id))
    page.set_viewport_size({"width": 400, "height": 800})
    for path in ("/", sender.page, f"/runs/{next(iter(sender.configs))}"):
        page.goto(path)
        page.wait_for_load_state("load")
        expect(page.locator("h1")).to_be_visible()
        page.evaluate("live.hidden = false, live.textContent = 'reconnecting'")  # the longest that it says, whatever it says now
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
