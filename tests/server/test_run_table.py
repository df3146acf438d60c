"""The run table: filters, order, pages, CSV, at the size that grids have."""

import csv
import io
import itertools

import pytest
from fastapi.testclient import TestClient

from tests.server.parts import epoch, finished, grid_spec, started
from tests.server.world import run_ids, send


@pytest.fixture
def grid(client: TestClient, post) -> dict:
    """Six runs, the first of them done, the second failed, the third running."""
    grid = post(grid_spec(method__sigma=[0, 0.5], seed=[0, 1, 2]))
    first, second, third, *_ = run_ids(client, grid)
    send(client, grid, started(first), epoch(first, 1, test_accuracy=0.7), epoch(first, 2, test_accuracy=0.5), finished(first))
    send(client, grid, started(second), epoch(second, 1, test_accuracy=0.9), finished(second, "failed", error='no "memory", alas'))
    send(client, grid, started(third))
    return grid


def table(client: TestClient, grid: dict, query: str = "") -> list[tuple]:
    page = client.get(f"/api/grids/{grid['grid_id']}/runs?{query}").json()
    return [(run["factors"]["method.sigma"], run["factors"]["seed"]) for run in page["runs"]]


ALL = list(itertools.product([0, 0.5], [0, 1, 2]))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ALL),
        ("where=seed=1", [(0, 1), (0.5, 1)]),
        ("where=method.sigma=0.50", [(0.5, 0), (0.5, 1), (0.5, 2)]),
        ("where=method.sigma=0&where=seed=2", [(0, 2)]),
        ("where=seed=7", []),
        ("where=seed=true", []),
        ("where=seed=one", []),
        ("state=done", [(0, 0)]),
        ("state=done&state=running", [(0, 0), (0, 2)]),
        ("state=queued&where=seed=0", [(0.5, 0)]),
        ("sort=-method.sigma", ALL[3:] + ALL[:3]),
        ("sort=-seed&state=queued", [(0.5, 2), (0.5, 1), (0.5, 0)]),
        ("sort=raw.last&limit=3", [(0, 0), (0, 1), (0, 2)]),
        ("sort=-raw.last&limit=3", [(0, 1), (0, 0), (0, 2)]),
        ("sort=-raw.last_ten&limit=1", [(0, 1)]),
        ("sort=-epoch&limit=2", [(0, 0), (0, 1)]),
        ("sort=state&limit=1", [(0.5, 0)]),
        ("sort=-state&limit=2", [(0, 1), (0, 0)]),
        ("sort=realised_rate&limit=4&offset=2", [(0, 2), (0.5, 0), (0.5, 1), (0.5, 2)]),
        ("offset=4", [(0.5, 1), (0.5, 2)]),
        ("offset=1&limit=2", [(0, 1), (0, 2)]),
        ("offset=99", []),
    ],
)
def test_a_query_gives_these_runs_in_this_order(client: TestClient, grid: dict, query: str, expected: list[tuple]):
    assert table(client, grid, query) == expected


@pytest.mark.parametrize(("query", "total"), [("limit=1", 6), ("offset=99", 6), ("where=seed=1&limit=1", 2), ("state=queued&limit=1", 3)])
def test_the_total_counts_all_that_match_not_the_page(client: TestClient, grid: dict, query: str, total: int):
    assert client.get(f"/api/grids/{grid['grid_id']}/runs?{query}").json()["total"] == total


def test_words_and_nothing_can_be_filtered_too(client: TestClient, post):
    grid = post(grid_spec(base={"ema": None}, ema=[None, {"decay": 0.9}], method=["ce", "sln"]))

    def methods(query: str) -> list[str]:
        page = client.get(f"/api/grids/{grid['grid_id']}/runs?{query}").json()
        return [run["factors"]["method"]["name"] for run in page["runs"]]

    assert methods("where=ema=null&sort=method") == ["ce", "sln"]
    assert methods('where=method={"name":"ce"}') == ["ce", "ce"]
    assert methods('where=ema={"decay":0.9}&where=method={"name":"ce"}') == ["ce"]


def test_every_run_is_on_exactly_one_page(client: TestClient, post):
    grid = post(grid_spec(seed=list(range(250))))
    for sort in ("", "&sort=epoch", "&sort=-state"):
        pages = [table_seeds(client, grid, f"limit=100&offset={offset}{sort}") for offset in (0, 100, 200)]
        assert sorted(itertools.chain(*pages)) == list(range(250))


def table_seeds(client: TestClient, grid: dict, query: str) -> list[int]:
    return [run["factors"]["seed"] for run in client.get(f"/api/grids/{grid['grid_id']}/runs?{query}").json()["runs"]]


def test_csv_has_all_runs_that_match_with_their_factors_and_results(client: TestClient, grid: dict):
    answer = client.get(f"/api/grids/{grid['grid_id']}/runs?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 6
    assert (rows[0]["state"], rows[0]["method.sigma"], rows[0]["seed"], rows[0]["epoch"]) == ("done", "0.0", "0", "2")
    assert (rows[0]["raw.last"], rows[0]["raw.oracle_best"], rows[0]["ema.last"], rows[0]["realised_rate"]) == ("0.5", "0.7", "", "0.38")
    assert rows[1]["error"] == 'no "memory", alas'
    filtered = client.get(f"/api/grids/{grid['grid_id']}/runs?format=csv&where=seed=1&sort=-method.sigma").text
    assert [row["method.sigma"] for row in csv.DictReader(io.StringIO(filtered))] == ["0.5", "0.0"]


def test_csv_of_a_grid_larger_than_a_page_is_whole(client: TestClient, post):
    grid = post(grid_spec(seed=list(range(150))))
    assert len(client.get(f"/api/grids/{grid['grid_id']}/runs?format=csv").text.splitlines()) == 151
