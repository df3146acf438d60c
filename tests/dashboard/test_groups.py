import pandas as pd
import pytest

from dashboard.figures.groups import factor_text, group_table, group_values, sequential_colors, short_name, treatment_colors
from spec.grid import Role
from tests.dashboard.worlds import ROLES, factors_of_runs


def labels(groups: pd.DataFrame, run_id: str) -> tuple[str, str]:
    return groups.loc[run_id, "condition"], groups.loc[run_id, "treatment"]


def test_replicates_share_condition_and_treatment():
    factors = {"a": {"noise.rate": 0.4, "method.sigma": 0.5, "seed": 0}, "b": {"noise.rate": 0.4, "method.sigma": 0.5, "seed": 1}}
    groups = group_table({**factors, "c": {"noise.rate": 0.2, "method.sigma": 0.0, "seed": 0}}, ROLES)
    assert labels(groups, "a") == labels(groups, "b") == ("noise rate = 0.4", "σ = 0.5")
    assert labels(groups, "c") == ("noise rate = 0.2", "σ = 0")


def test_numbers_are_ordered_as_numbers_and_none_comes_first():
    sigmas = [10.0, 2.0, 0.5, None]
    groups = group_table({f"run-{s}": {"method.sigma": s} for s in sigmas}, {"method.sigma": Role.TREATMENT})
    assert list(groups["treatment"].cat.categories) == ["σ = none", "σ = 0.5", "σ = 2", "σ = 10"]


def test_a_nuisance_separates_treatments_but_not_conditions():
    factors = {"a": {"noise.rate": 0.4, "optimizer.lr": 0.1}, "b": {"noise.rate": 0.4, "optimizer.lr": 0.01}}
    groups = group_table(factors, {"noise.rate": Role.CONDITION, "optimizer.lr": Role.NUISANCE})
    assert labels(groups, "a") == ("noise rate = 0.4", "lr = 0.1")
    assert labels(groups, "b") == ("noise rate = 0.4", "lr = 0.01")


def test_whole_parts_are_named_by_what_differs():
    methods = [{"name": "ce", "correct_from": None}, {"name": "sln", "sigma": 0.5, "correct_from": None}, {"name": "sln", "sigma": 1.0}]
    groups = group_table({str(i): {"method": method} for i, method in enumerate(methods)}, {"method": Role.TREATMENT})
    assert list(groups["treatment"]) == ["ce", "sln, σ = 0.5", "sln, σ = 1"]


def test_a_parameter_that_only_one_method_has_is_left_out_of_its_name():
    methods = [{"name": "ce"}, {"name": "sln", "correction": "hard", "sigma": 0.2}, {"name": "sln", "correction": "hard", "sigma": 0.5}]
    factors = {f"{i} {lr}": {"method": method, "optimizer.lr": lr} for i, method in enumerate(methods) for lr in (0.1, 0.02)}
    groups = group_table(factors, {"method": Role.TREATMENT, "optimizer.lr": Role.NUISANCE})
    assert list(groups["treatment"].cat.categories) == [
        "ce, lr = 0.02",
        "ce, lr = 0.1",
        "sln, σ = 0.2, lr = 0.02",
        "sln, σ = 0.2, lr = 0.1",
        "sln, σ = 0.5, lr = 0.02",
        "sln, σ = 0.5, lr = 0.1",
    ]


def test_with_and_without_a_part_are_two_treatments():
    groups = group_table({"off": {"ema": None}, "on": {"ema": {"decay": 0.99}}}, {"ema": Role.TREATMENT})
    assert list(groups["treatment"]) == ["EMA decay = none", "EMA decay = 0.99"]


def test_a_grid_of_replicates_alone_is_one_group():
    groups = group_table({"a": {"seed": 0}, "b": {"seed": 1}}, {"seed": Role.REPLICATE})
    assert set(groups["treatment"]) == set(groups["condition"]) == {"all runs"}


def test_no_runs_give_an_empty_table():
    groups = group_table({}, ROLES)
    assert list(groups.columns) == ["condition", "treatment"]
    assert groups.empty


def test_a_treatment_keeps_its_colour_when_others_are_filtered_away():
    groups = group_table(factors_of_runs(), ROLES)
    alone = groups[groups["treatment"] == "σ = 0.5"]
    assert treatment_colors(alone["treatment"]) == treatment_colors(groups["treatment"])
    assert len(set(treatment_colors(groups["treatment"]).values())) == 3


def luminance(color: str) -> float:
    """Relative luminance as in WCAG 2.2."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 50])
def test_every_colour_stands_out_from_white_and_from_the_dark_card(count: int):
    colors = sequential_colors(count)
    assert len(set(colors)) == count
    assert min(contrast(color, background) for color in colors for background in ("#ffffff", "#191f27")) >= 3


def test_two_paths_that_end_alike_are_written_out():
    assert short_name("a.lr", ["a.lr", "b.lr"]) == "a.lr"
    assert short_name("a.weight_decay", ["a.weight_decay", "seed"]) == "weight decay"


def test_floats_are_written_without_noise():
    assert [factor_text(value) for value in (0.0, 0.1 + 0.2, 1e-5, 3, "sln", None)] == ["0", "0.3", "1e-05", "3", "sln", "none"]


def test_group_values_leave_the_replicate_out():
    assert group_values({"noise.rate": 0.4, "method.sigma": 0.5, "seed": 3}, ROLES) == {"noise.rate": 0.4, "method.sigma": 0.5}
