"""The layout that docs/architecture.md promises: who may import whom, and what no file may hold."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("spec", "noise", "models", "trainables", "server", "dashboard")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# What a module may import of ours and of others; the longest matching prefix of its name decides. Where a package may
# use all that is installed but for a few things, these have fences of their own below.
OURS = {
    "spec": {"spec"},
    "noise": {"spec", "noise"},
    "models": {"spec", "models"},
    "trainables": {"spec", "noise", "models", "trainables"},
    "dashboard": {"spec", "dashboard"},
    "server": {
        "spec",
        "noise",
        "models",
        "dashboard",
        "server",
        "trainables.parts",
        "trainables.grid_files",
        "trainables.image_data",
        "trainables.methods",
        "trainables.optimizers",
        "trainables.measures",
    },
    # `noisegrid noise dependent` trains, too, in its own process.
    "server.cli_noise": {
        "spec",
        "noise",
        "server",
        "trainables.parts",
        "trainables.grid_files",
        "trainables.image_data",
        "trainables.mistakes",
        "trainables.world",
    },
    # `noisegrid train`: the service's own code never trains.
    "server.local": {"spec", "server", "trainables.train", "trainables.record_file", "trainables.world"},
}
THEIRS_ONLY = {
    "spec": {"pydantic", "pydantic_core"},
    "noise": {"pydantic", "torch", "numpy"},
    "models": {"pydantic", "torch", "torchvision"},
}
# A library, and the only modules that may import it.
FENCED = {
    "ray": {"trainables.worker", "trainables.search", "trainables.launch", "server.jobs"},
    "fastapi": {"server"},
    "starlette": {"server"},
    "sqlalchemy": {"server"},
    "alembic": {"server"},
    "uvicorn": {"server"},
    "typer": {"server.cli", "server.cli_compare", "server.cli_figures", "server.cli_noise", "server.cli_tensorboard", "server.terminal"},
    "plotly": {"dashboard.figures", "server.routes"},
    "pandas": {"dashboard.figures", "server.routes"},
}
TORCH_FREE = ("spec", "dashboard")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from trainables import parts` imports a module too.
            if node.module in PACKAGES:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)


def within(name: str, prefixes: set[str] | tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def fence(path: Path) -> list[str]:
    """The imports of a file that go over a fence."""
    name = module_name(path)
    package = name.split(".")[0]
    allowed = OURS[max((prefix for prefix in OURS if within(name, (prefix,))), key=len)]
    wrong = []
    for imported in imports(path):
        library = imported.split(".")[0]
        if library in PACKAGES:
            wrong += [imported] * (not within(imported, allowed))
        elif library in sys.stdlib_module_names:
            continue
        elif package in THEIRS_ONLY:
            wrong += [imported] * (library not in THEIRS_ONLY[package])
        elif library in FENCED:
            wrong += [imported] * (not within(name, FENCED[library]))
        elif library in ("torch", "torchvision"):
            wrong += [imported] * (package in TORCH_FREE)
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_stay_within_the_fences(path: Path):
    assert fence(path) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("spec/x.py", "import torch"),
        ("noise/x.py", "from models._base import MODELS"),
        ("models/x.py", "import noise.symmetric"),
        ("trainables/train.py", "def f():\n    import ray"),
        ("trainables/x.py", "from server import views"),
        ("trainables/x.py", "import fastapi"),
        ("dashboard/figures/x.py", "import torch"),
        ("dashboard/x.py", "from server.views import GridView"),
        ("server/x.py", "from trainables.train import execute"),
        ("server/x.py", "import ray"),
        ("server/store/__init__.py", "import pandas as pd"),
    ],
)
def test_fences_notice_what_they_should(name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert fence(path)


def test_no_module_is_named_like_a_package():
    assert [str(path) for path in MODULES if path.name != "__init__.py" and path.stem in PACKAGES] == []


def test_no_package_is_named_like_one_that_ray_imports():
    assert [
        str(path) for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_dir() and path.name in ("datasets", "data")
    ] == []


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_module_says_what_it_is(path: Path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_with_modules_is_a_package(package: str):
    folders = {path.parent for path in (ROOT / package).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists() and "migrations" not in folder.parts] == []


def test_every_folder_of_tests_is_a_package():
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def files_of_the_project() -> list[Path]:
    """Tracked files, and those that git would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: no list of the project's files")
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


# Put together here, so that this file does not hold them.
REGISTRIES = ["pypi" + ".org", "pythonhosted" + ".org", "download.pytorch" + ".org", "anaconda" + ".org", "docker" + ".io"]
FORBIDDEN = {
    "the host of a package registry": re.compile("|".join(map(re.escape, REGISTRIES))),
    "a path of one machine": re.compile(r"(?<![\w.~])/(?:work|root|home/\w+|Users)/\w"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str):
    found = []
    for path in files_of_the_project():
        # Made by others, byte for byte.
        if "vendor" in path.parts or path.suffix in (".png", ".npz", ".gz"):
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(lines, 1)
            if FORBIDDEN[what].search(line)
        ]
    assert found == []
