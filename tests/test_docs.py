"""What the documentation says is so."""

import re
from pathlib import Path

import pytest
import yaml

from spec.grid import GridSpec, expand
from trainables.parts import RunConfig

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
GRIDS = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs" / "grids.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("text", GRIDS, ids=lambda text: yaml.safe_load(text)["name"])
def test_example_grids_are_valid_and_have_the_runs_that_they_say(text: str):
    grid = expand(GridSpec.model_validate(yaml.safe_load(text)), RunConfig, max_runs=100)
    if counted := re.match(r"# (\d+) runs", text):
        assert len(grid.cells) == int(counted[1])


def test_grids_page_names_every_key_of_a_run():
    table = (ROOT / "docs" / "grids.md").read_text(encoding="utf-8").split("## A run's configuration")[1].split("## Roles")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(RunConfig.model_fields)


def test_the_readme_s_curl_posts_a_valid_grid():
    body = re.search(r"-d '(\{.*?\})'$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert body
    assert len(expand(GridSpec.model_validate_json(body[1]), RunConfig, max_runs=100).cells) == 12


def test_the_command_line_s_run_is_valid():
    text = re.search(r"^```yaml\n# run.yaml\n(.*?)^```$", (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert text
    assert RunConfig.model_validate(yaml.safe_load(text[1])).epochs == 40


def test_compose_file_names_what_there_is():
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
    used = {volume.split(":")[0] for service in compose["services"].values() for volume in service["volumes"]}
    assert used == set(compose["volumes"])
    waited_for = {name for service in compose["services"].values() for name in service.get("depends_on", {})}
    assert waited_for <= set(compose["services"])


def test_the_image_holds_every_package():
    dockerfile = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")
    copied = set(re.findall(r"^COPY (\w+) \w+$", dockerfile, re.MULTILINE))
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert copied == packages | {"recipes"}
