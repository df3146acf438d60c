"""Every recipe is a grid of as many runs as its first line says."""

import re
from pathlib import Path

import pytest

from dashboard.compare import OurRun, Verdict, compare
from dashboard.published.noise_against_noise import CELLS
from spec.grid import expand
from spec.records import RunState
from spec.run import RunConfig as Run
from trainables.grid_files import read_spec
from trainables.parts import RunConfig

RECIPES = sorted(Path(__file__).parents[1].joinpath("recipes").rglob("*.yaml"))
NOISE_AGAINST_NOISE = [path for path in RECIPES if path.parent.name == "noise-against-noise"]


def test_there_are_recipes():
    assert "demo.yaml" in [path.name for path in RECIPES]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_valid_and_has_the_runs_that_its_header_says(path: Path):
    grid = expand(read_spec(path), RunConfig, max_runs=10_000)
    header = re.match(r"# ([\d,]+) runs: ", path.read_text())
    assert header, f"{path.name} must begin with '# N runs: ...'"
    assert len(grid.cells) == int(header[1].replace(",", ""))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_named_like_its_file(path: Path):
    assert read_spec(path).name == path.stem


def test_the_demo_asks_what_the_readme_says():
    cells = expand(read_spec(Path(__file__).parents[1] / "recipes" / "demo.yaml"), RunConfig, max_runs=100).cells
    assert {(cell.factors["noise.rate"], cell.factors["method.sigma"], cell.factors["seed"]) for cell in cells} == {
        (rate, sigma, seed) for rate in (0.2, 0.4, 0.6) for sigma in (0.0, 0.2, 0.5) for seed in (0, 1, 2)
    }
    assert {(c.run.epochs, c.run.batch_size, c.run.ema and c.run.ema.decay) for c in cells} == {(40, 64, 0.99)}


def runs_replaced(run: Run) -> int:
    """Runs with one evaluated model each that this one stands for: SLN and SLN-MO are two; CE and LC are reported of one model."""
    method = run.method.model_dump()
    is_sln = method["sigma"] > 0 and method["correct_from"] is None
    return 2 if is_sln else 1


@pytest.mark.parametrize("path", NOISE_AGAINST_NOISE, ids=lambda path: path.stem)
def test_recipe_replaces_the_published_runs_that_its_header_says(path: Path):
    runs = [cell.run for cell in expand(read_spec(path), RunConfig, max_runs=100).cells]
    header = re.match(r"# .*, in place of (\d+) (runs|trials) of", path.read_text())
    assert header, f"{path.name} must begin with '# N runs: ..., in place of M runs of ...'"
    # The ablation and the searches looked at the raw model alone.
    one_model = "correct_from" not in path.read_text()
    assert int(header[1]) == (len(runs) if one_model else sum(map(runs_replaced, runs)))


def test_every_published_result_has_a_run_with_its_protocol_and_labels():
    grids = [expand(read_spec(path), RunConfig, max_runs=100) for path in NOISE_AGAINST_NOISE]
    runs = [OurRun(cell.run.resolved(), RunState.QUEUED, None, None) for grid in grids for cell in grid.cells]
    awaited = [comparison.published for comparison in compare(runs, CELLS) if comparison.verdict is Verdict.WAITING]
    assert [cell for cell in CELLS if cell not in awaited] == []
