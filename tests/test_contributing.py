"""The examples in CONTRIBUTING.md: as new files in their packages, they register, train, and pass their tests."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Each package also looks into a folder beside it, as if the new files were there; nothing else is told of them.
PROGRAM = """
import importlib, json, sys
from pathlib import Path

overlay = Path(sys.argv[1])
for name in ("noise", "models", "trainables.methods", "trainables.image_data"):
    importlib.import_module(name).__path__.append(str(overlay.joinpath(*name.split("."))))

from server.local import summary_of
from trainables.grid_files import read_run
from trainables.parts import RunConfig
from trainables.record_file import RecordFile
from trainables.train import Folders, execute
from trainables.world import World

run = read_run(overlay / "run.yaml", RunConfig)
with RecordFile(overlay / "out", run.run_id) as reporter:
    state = execute(run, Folders(overlay, overlay / "out"), reporter, World.alone())

import pytest
tests_exit = pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(overlay), str(overlay / "tests")])
print(json.dumps({"state": state, "tests_exit": tests_exit, "accuracy": summary_of(overlay / "out").raw.last, "config": run.resolved()}))
"""


@pytest.fixture(scope="module")
def overlay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overlay")
    for name, code in BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")
    return folder


def test_there_is_an_example_of_each_part(overlay: Path):
    examples = sorted(path.relative_to(overlay).parts[:-1] for path in overlay.rglob("*.py") if path.parts[len(overlay.parts)] != "tests")
    assert examples == [("models",), ("noise",), ("trainables", "image_data"), ("trainables", "methods")]


def test_the_examples_register_train_and_pass_their_tests(overlay: Path):
    # A process of its own: what registers there is not in the other tests' registries.
    ended = subprocess.run([sys.executable, "-c", PROGRAM, str(overlay)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    answer = json.loads(ended.stdout.splitlines()[-1])
    names = {kind: answer["config"][kind]["name"] for kind in ("dataset", "noise", "model", "method")}
    assert names == {"dataset": "stripes", "noise": "default_answer", "model": "two_layers", "method": "batch_trimming"}
    assert (answer["state"], answer["tests_exit"]) == ("done", 0), ended.stdout
    # Two kinds of stripes are easy to tell apart; that wrong labels cost something is why there is room below 1.
    assert answer["accuracy"] > 0.8


def test_the_examples_are_formatted_like_the_project(overlay: Path):
    command = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), str(overlay)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout
