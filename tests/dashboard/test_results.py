"""Accuracy table, heat map: what a finished grid says."""

import math

import pandas as pd
import pytest

from dashboard.figures.accuracy import accuracy_figure, accuracy_table, best_treatments
from dashboard.figures.groups import group_table
from dashboard.figures.heatmap import heatmap_figure, heatmap_table
from spec.summary import Summary, summarise
from spec.summary import TestAccuracy as Accuracy
from tests.dashboard.worlds import ROLES, factors_of_runs, metrics_at

FACTORS = {
    "a0": {"noise.rate": 0.4, "method.sigma": 0.0, "seed": 0},
    "a1": {"noise.rate": 0.4, "method.sigma": 0.0, "seed": 1},
    "b0": {"noise.rate": 0.4, "method.sigma": 0.5, "seed": 0},
    "c0": {"noise.rate": 0.2, "method.sigma": 0.0, "seed": 0},
}
GROUPS = group_table(FACTORS, ROLES)


def ended(last: float, oracle: float | None = None, ema: float | None = None) -> Summary:
    accuracy = Accuracy(last=last, last_ten=last, oracle_best=oracle)
    return Summary(raw=accuracy, ema=Accuracy(last=ema) if ema is not None else None, last_metrics={})


def pick(table: pd.DataFrame, condition: str, treatment: str, selection: str) -> tuple[float, float, int]:
    found = table[(table["condition"] == condition) & (table["treatment"] == treatment) & (table["selection"] == selection)]
    assert len(found) == 1
    return tuple(found.iloc[0][["mean", "sd", "n"]])


def test_mean_and_sample_standard_deviation_over_replicates():
    table = accuracy_table({"a0": ended(0.6), "a1": ended(0.8), "b0": ended(0.9)}, GROUPS)
    assert pick(table, "noise rate = 0.4", "σ = 0", "last") == (pytest.approx(0.7), pytest.approx(0.2 / math.sqrt(2)), 2)
    assert pick(table, "noise rate = 0.4", "σ = 0.5", "last")[2] == 1


def test_a_selection_that_no_run_has_is_left_out():
    table = accuracy_table({"a0": ended(0.6, oracle=0.9), "a1": ended(0.8)}, GROUPS)
    assert set(table["selection"]) == {"last", "last_ten", "oracle_best"}
    assert pick(table, "noise rate = 0.4", "σ = 0", "oracle_best")[2] == 1


def test_runs_without_moving_average_or_summary_do_not_count_for_it():
    table = accuracy_table({"a0": ended(0.6, ema=0.9), "a1": ended(0.8), "b0": None}, GROUPS, "ema")
    assert [(row.treatment, row.selection, row.mean, row.n) for row in table.itertuples()] == [("σ = 0", "last", 0.9, 1)]


def test_best_is_sought_within_a_condition():
    # noise rate 0.2 is easier: its only treatment beats every one at 0.4, and is not "the best" there.
    table = accuracy_table({"a0": ended(0.6), "b0": ended(0.7), "c0": ended(0.95)}, GROUPS)
    assert best_treatments(table, "last") == {"noise rate = 0.2": "σ = 0", "noise rate = 0.4": "σ = 0.5"}


def test_best_is_by_the_mean_and_not_by_the_luckiest_seed():
    table = accuracy_table({"a0": ended(0.99), "a1": ended(0.11), "b0": ended(0.6)}, GROUPS)
    assert best_treatments(table, "last") == {"noise rate = 0.4": "σ = 0.5"}


def test_heat_map_marks_the_best_treatment_of_each_condition():
    table = heatmap_table(accuracy_table({"a0": ended(0.6), "a1": ended(0.8), "b0": ended(0.9), "c0": ended(0.95)}, GROUPS), "last")
    cells = {(row.condition, row.treatment): (row.text, row.best) for row in table.itertuples()}
    assert cells == {
        ("noise rate = 0.2", "σ = 0"): ("95.0 (1)", True),
        ("noise rate = 0.4", "σ = 0"): ("70.0 ± 14.1 (2)", False),
        ("noise rate = 0.4", "σ = 0.5"): ("90.0 (1)", True),
    }


def test_heat_map_has_conditions_down_treatments_across_and_gaps_for_what_is_missing():
    figure = heatmap_figure(heatmap_table(accuracy_table({"b0": ended(0.9), "c0": ended(0.95)}, GROUPS), "last"), "last")
    heat = figure.data[0]
    assert (list(heat.y), list(heat.x)) == (["noise rate = 0.2", "noise rate = 0.4"], ["σ = 0", "σ = 0.5"])
    assert [list(row) for row in heat.z] == [[pytest.approx(95), None], [None, pytest.approx(90)]]


def test_an_oracle_is_called_an_oracle():
    table = heatmap_table(accuracy_table({"a0": ended(0.6, oracle=0.9)}, GROUPS), "oracle_best")
    assert "oracle best (chosen on test)" in heatmap_figure(table, "oracle_best").layout.title.text
    names = [trace.name for trace in accuracy_figure(accuracy_table({"a0": ended(0.6, oracle=0.9)}, GROUPS)).data]
    assert "oracle best (chosen on test)" in names


def test_the_gap_between_honest_and_oracle_is_in_the_table():
    factors = factors_of_runs()
    epochs = {r: {e: metrics_at(e, f["noise.rate"], f["method.sigma"], f["seed"]) for e in range(1, 41)} for r, f in factors.items()}
    table = accuracy_table({run_id: summarise(records) for run_id, records in epochs.items()}, group_table(factors, ROLES))
    last, oracle = (pick(table, "noise rate = 0.4", "σ = 0", selection)[0] for selection in ("last", "oracle_best"))
    assert oracle - last > 0.15


@pytest.mark.parametrize("selection", ["last", "validation_best"])
def test_no_finished_run_is_a_figure_with_a_title(selection: str):
    empty = accuracy_table({}, GROUPS)
    for figure in (heatmap_figure(heatmap_table(empty, selection), selection), accuracy_figure(empty)):
        assert "est accuracy" in figure.layout.title.text
        assert not figure.data
