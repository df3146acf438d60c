from typing import Any

from dashboard.comparability import LabelDraw, warnings
from tests.dashboard.worlds import ROLES


def draw(sigma: float, seed: int, noisy_hash: str | None, rate: float = 0.4) -> LabelDraw:
    factors: dict[str, Any] = {"noise.rate": rate, "method.sigma": sigma, "seed": seed}
    return LabelDraw(factors, rate, noisy_hash)


def test_the_same_labels_per_seed_under_every_treatment_are_fine():
    draws = [draw(0.0, 0, "x"), draw(0.5, 0, "x"), draw(0.0, 1, "y"), draw(0.5, 1, "y")]
    assert warnings(draws, ROLES) == []


def test_treatments_under_different_labels_are_told():
    (text,) = warnings([draw(0.0, 0, "x"), draw(0.5, 0, "z")], ROLES)
    assert "different labels" in text


def test_seeds_that_share_one_draw_are_told():
    (text,) = warnings([draw(0.0, 0, "x"), draw(0.0, 1, "x")], ROLES)
    assert "share one draw" in text


def test_clean_labels_are_the_same_for_all_seeds_without_a_warning():
    assert warnings([draw(0.0, 0, "clean", rate=0.0), draw(0.0, 1, "clean", rate=0.0)], ROLES) == []


def test_runs_that_have_not_started_say_nothing():
    assert warnings([draw(0.0, 0, "x"), draw(0.5, 0, None)], ROLES) == []


def test_conditions_have_their_own_labels():
    assert warnings([draw(0.0, 0, "x", rate=0.2), draw(0.0, 0, "y", rate=0.4)], ROLES) == []
