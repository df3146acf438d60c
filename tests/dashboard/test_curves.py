import math
from statistics import mean, stdev
from typing import Any

import pandas as pd
import pytest

from dashboard.figures.curves import curve_figure, curve_table
from dashboard.figures.groups import group_table, treatment_colors
from tests.dashboard.worlds import ROLES, factors_of_runs, metrics_at

FACTORS = {
    "a0": {"noise.rate": 0.4, "method.sigma": 0.0, "seed": 0},
    "a1": {"noise.rate": 0.4, "method.sigma": 0.0, "seed": 1},
    "b0": {"noise.rate": 0.4, "method.sigma": 0.5, "seed": 0},
    "c0": {"noise.rate": 0.2, "method.sigma": 0.0, "seed": 0},
}
GROUPS = group_table(FACTORS, ROLES)


def values(rows: list[tuple[str, int, float | None]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["run_id", "epoch", "value"])


def row(table: pd.DataFrame, condition: str, treatment: str, epoch: int) -> dict[str, Any]:
    found = table[(table["condition"] == condition) & (table["treatment"] == treatment) & (table["epoch"] == epoch)]
    assert len(found) == 1
    return found.iloc[0].to_dict()


def test_band_is_one_sample_standard_deviation():
    table = curve_table(values([("a0", 1, 0.5), ("a1", 1, 0.7)]), GROUPS)
    point = row(table, "noise rate = 0.4", "σ = 0", 1)
    # ddof = 1: sqrt(2 * 0.1**2 / 1), not the 0.1 of a population.
    assert point["sd"] == pytest.approx(0.2 / math.sqrt(2))
    assert (point["mean"], point["n"]) == (pytest.approx(0.6), 2)
    assert (point["low"], point["high"]) == (pytest.approx(0.6 - 0.2 / math.sqrt(2)), pytest.approx(0.6 + 0.2 / math.sqrt(2)))


def test_one_run_has_a_mean_and_no_spread():
    point = row(curve_table(values([("b0", 1, 0.5)]), GROUPS), "noise rate = 0.4", "σ = 0.5", 1)
    assert math.isnan(point["sd"])
    assert point["low"] == point["mean"] == point["high"] == 0.5


def test_only_replicates_are_averaged():
    rows = [("a0", 1, 0.1), ("a1", 1, 0.3), ("b0", 1, 0.9), ("c0", 1, 0.8)]
    table = curve_table(values(rows), GROUPS)
    means = {(point.condition, point.treatment): point.mean for point in table.drop(columns="sd").itertuples()}
    assert means == {
        ("noise rate = 0.2", "σ = 0"): 0.8,
        ("noise rate = 0.4", "σ = 0"): pytest.approx(0.2),
        ("noise rate = 0.4", "σ = 0.5"): 0.9,
    }


def test_a_run_counts_as_far_as_it_came():
    rows = [("a0", 1, 0.2), ("a1", 1, 0.4), ("a0", 2, 0.6)]
    table = curve_table(values(rows), GROUPS)
    assert row(table, "noise rate = 0.4", "σ = 0", 1)["n"] == 2
    assert (row(table, "noise rate = 0.4", "σ = 0", 2)["n"], row(table, "noise rate = 0.4", "σ = 0", 2)["mean"]) == (1, 0.6)


def test_a_diverged_value_is_missing_and_not_zero():
    table = curve_table(values([("a0", 1, None), ("a1", 1, 0.4), ("b0", 1, None)]), GROUPS)
    assert (row(table, "noise rate = 0.4", "σ = 0", 1)["n"], row(table, "noise rate = 0.4", "σ = 0", 1)["mean"]) == (1, 0.4)
    assert row(table, "noise rate = 0.4", "σ = 0.5", 1)["n"] == 0
    assert math.isnan(row(table, "noise rate = 0.4", "σ = 0.5", 1)["mean"])


def test_runs_of_other_grids_do_not_count():
    table = curve_table(values([("stranger", 1, 0.9), ("b0", 1, 0.5)]), GROUPS)
    assert table["mean"].tolist() == [0.5]


def test_table_agrees_with_the_plain_definition():
    factors = factors_of_runs()
    at = {run_id: (run["noise.rate"], run["method.sigma"], run["seed"]) for run_id, run in factors.items()}
    rows = [(run_id, epoch, metrics_at(epoch, *place)["test_accuracy"]) for run_id, place in at.items() for epoch in (1, 20)]
    table = curve_table(values(rows), group_table(factors, ROLES))
    for point in table.itertuples():
        cell = [run_id for run_id, (rate, sigma, _) in at.items() if (f"noise rate = {rate:g}", f"σ = {sigma:g}") == point[1:3]]
        replicates = [value for run_id, epoch, value in rows if epoch == point.epoch and run_id in cell]
        assert (point.mean, point.sd, point.n) == (pytest.approx(mean(replicates)), pytest.approx(stdev(replicates)), 3)


def test_figure_has_a_panel_per_condition_and_a_colour_per_treatment():
    table = curve_table(values([("a0", 1, 0.1), ("a0", 2, 0.3), ("b0", 1, 0.9), ("c0", 1, 0.8)]), GROUPS)
    figure = curve_figure(table, "test_accuracy")
    assert [note.text for note in figure.layout.annotations] == ["noise rate = 0.2", "noise rate = 0.4"]
    lines = [trace for trace in figure.data if trace.name]
    assert {line.name: line.line.color for line in lines} == treatment_colors(GROUPS["treatment"])
    assert [line.name for line in lines if line.showlegend] == ["σ = 0", "σ = 0.5"]
    # Percent for people.
    assert list(next(line for line in lines if line.name == "σ = 0" and len(line.x) == 2).y) == [pytest.approx(10), pytest.approx(30)]


def test_losses_are_not_percent():
    figure = curve_figure(curve_table(values([("b0", 1, 1.5)]), GROUPS), "test_loss")
    assert [list(trace.y) for trace in figure.data if trace.name] == [[1.5]]
    assert figure.layout.yaxis.title.text == "test loss"


@pytest.mark.parametrize("rows", [[], [("a0", 1, None)]])
def test_nothing_to_draw_is_a_figure_with_a_title(rows: list[Any]):
    figure = curve_figure(curve_table(values(rows), GROUPS), "ema_test_accuracy")
    assert figure.layout.title.text.startswith("Test accuracy (EMA)")
    assert not figure.data
    assert figure.layout.annotations[0].text == "nothing recorded yet"
