"""`noisegrid figure` of grids and runs, and `noisegrid viz`."""

import json
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.server.test_cli import GRID, RUN, grid_id, run_cli, server, settings, write  # noqa: F401  # fixtures


@pytest.fixture
def run_id(server: str, grid_id: str) -> str:  # noqa: F811
    return str(httpx.get(f"{server}/api/grids/{grid_id}/runs").json()["runs"][0]["run_id"])


@pytest.mark.parametrize("kind", ["sigma", "table", "probabilities", "dissection"])
def test_figures_of_a_grid(server: str, grid_id: str, tmp_path: Path, kind: str):  # noqa: F811
    result = run_cli("figure", grid_id, kind, "--out", tmp_path / "figure.json", server=server)
    assert result.exit_code == 0, result.stderr
    assert {"data", "layout"} <= set(json.loads((tmp_path / "figure.json").read_text()))


@pytest.mark.parametrize("kind", ["curves", "noise", "probabilities", "dissection", "samples"])
def test_figures_of_a_run(server: str, run_id: str, tmp_path: Path, kind: str):  # noqa: F811
    result = run_cli("figure", run_id, kind, "--out", tmp_path / "figure.json", server=server)
    assert result.exit_code == 0, result.stderr
    assert {"data", "layout"} <= set(json.loads((tmp_path / "figure.json").read_text()))


def test_a_table_as_text(server: str, grid_id: str, tmp_path: Path):  # noqa: F811
    for name in ("table.md", "table.csv"):
        result = run_cli("figure", grid_id, "table", "--selection", "last", "--out", tmp_path / name, server=server)
        assert result.exit_code == 0, result.stderr
    # A seed each of two at a noise rate of 0.2: 0.5 and 0.7, EMA 0.6 and 0.8.
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert [line.split("|")[2:4] for line in lines[2:4]] == [[" raw ", " 60.0 ± 14.1 (2) "], [" EMA ", " 70.0 ± 14.1 (2) "]]
    assert (tmp_path / "table.csv").read_text().startswith("condition,treatment,model,selection,mean,sd,n,label_draws\n")


def test_only_a_table_is_text(server: str, grid_id: str, tmp_path: Path):  # noqa: F811
    result = run_cli("figure", grid_id, "heatmap", "--out", tmp_path / "map.md", server=server)
    assert (result.exit_code, "a figure's file ends in .html" in result.stderr) == (1, True)


def test_neither_grid_nor_run_is_said(server: str, tmp_path: Path):  # noqa: F811
    result = run_cli("figure", "none", "curves", "--out", tmp_path / "curves.json", server=server)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: there is no run 'none'")


def test_viz_draws_a_file_s_run_without_a_service(tmp_path: Path):
    for name in ("sheet.png", "sheet.html", "sheet.json"):
        result = run_cli("viz", write(tmp_path / "run.yaml", RUN), "--out", tmp_path / name, server="http://127.0.0.1:1")
        assert result.exit_code == 0, result.stderr
    assert "of 1,437 are corrupt, label seed 0" in result.stdout
    assert Image.open(tmp_path / "sheet.png").size[0] == 1280
    assert "Plotly.newPlot" in (tmp_path / "sheet.html").read_text()
    assert len(json.loads((tmp_path / "sheet.json").read_text())["layout"]["images"]) == 32


def test_viz_of_a_grid_s_file_says_which_run_it_drew(tmp_path: Path):
    result = run_cli("viz", write(tmp_path / "grid.yaml", GRID), "--out", tmp_path / "sheet.png")
    assert (result.exit_code, "drawn for the first of its 4 runs" in result.stdout) == (0, True)


def test_viz_of_a_run_of_the_service_draws_the_same_images(server: str, run_id: str, tmp_path: Path):  # noqa: F811
    config = httpx.get(f"{server}/api/runs/{run_id}").json()["config"]
    for source, name in ((run_id, "a.png"), (write(tmp_path / "run.yaml", config), "b.png")):
        result = run_cli("viz", source, "--out", tmp_path / name, server=server)
        assert result.exit_code == 0, result.stderr
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("run", "said", "code"),
    [
        ({**RUN, "dataset": "cifar10"}, "cifar-10-batches-py lacks", 1),
        ({**RUN, "epochs": 0}, "epochs", 2),
        (None, "there is no file", 2),
    ],
)
def test_what_viz_cannot_draw_is_said_in_a_line(tmp_path: Path, run: dict[str, object] | None, said: str, code: int):
    path = tmp_path / "run.yaml"
    if run is not None:
        write(path, run)
    result = run_cli("viz", path, "--data", tmp_path, "--out", tmp_path / "sheet.png")
    assert (result.exit_code, said in result.stderr.replace("\n", "")) == (code, True), result.stderr
    assert "Traceback" not in result.stderr
