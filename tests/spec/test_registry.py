"""Registry: one file is a part, and mistakes say what was meant."""

import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from spec.registry import Params, Registry, UnknownPartError, did_you_mean


class Strength(Params):
    amount: float = 1.0


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "parts_for_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.startswith("parts_for_tests")]:
        del sys.modules[name]


@pytest.fixture
def registry(package: Path) -> Registry:
    registry = Registry("thing", package="parts_for_tests")
    registry.register("strong", Strength)(dict)
    registry.register("plain")(list)
    return registry


def test_a_new_file_is_all_that_a_new_part_needs(package: Path):
    (package / "_base.py").write_text('from spec.registry import Registry\nTHINGS = Registry("thing", package="parts_for_tests")\n')
    (package / "fast.py").write_text('from parts_for_tests._base import THINGS\nTHINGS.register("fast")(dict)\n')
    from parts_for_tests._base import THINGS

    assert list(THINGS) == ["fast"]
    assert THINGS["fast"] is dict


def test_a_part_that_fails_to_import_raises_its_own_error(package: Path):
    (package / "broken.py").write_text("1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        list(Registry("thing", package="parts_for_tests"))


def test_a_second_part_of_a_name_is_refused(registry: Registry):
    with pytest.raises(ValueError, match="'plain' is registered twice"):
        registry.register("plain")(set)


def test_an_unknown_name_says_which_there_are_and_which_was_meant(registry: Registry):
    with pytest.raises(UnknownPartError, match=r"unknown thing 'strang': expected one of plain, strong; did you mean 'strong'\?"):
        registry["strang"]


def test_parameters_are_told_apart_by_name_and_a_bare_name_is_enough(registry: Registry):
    class Holder(BaseModel):
        thing: registry.union()

    assert Holder(thing="strong").thing.amount == 1.0
    assert Holder(thing={"name": "strong", "amount": 2}).thing.model_dump() == {"name": "strong", "amount": 2.0}
    with pytest.raises(ValidationError, match="amount"):
        Holder(thing={"name": "plain", "amount": 2})


def test_nothing_is_guessed_from_a_word_that_is_like_none():
    assert did_you_mean("qqqq", ["sigma", "rate"]) == ""
