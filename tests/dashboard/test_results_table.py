"""The table of results and the sigma ablation: hand numbers."""

import csv
import io
from typing import Any

import pandas as pd
import pytest

from dashboard.figures.groups import group_table
from dashboard.figures.results import averaging_notes, result_csv, result_figure, result_markdown, result_table
from dashboard.figures.sigma import sigma_figure, sigma_of, sigma_table
from spec.grid import Role
from spec.summary import Summary
from spec.summary import TestAccuracy as Accuracies

ROLES = {"noise.rate": Role.CONDITION, "method.sigma": Role.TREATMENT, "seed": Role.REPLICATE}


def summary(last: float, ema: float | None = None) -> Summary:
    models = [Accuracies(last=value, last_ten=value, oracle_best=value) if value is not None else None for value in (last, ema)]
    return Summary(raw=models[0], ema=models[1], last_metrics={})


FACTORS = {
    name: {"noise.rate": rate, "method.sigma": sigma, "seed": seed}
    for name, rate, sigma, seed in [("a", 0.2, 0.0, 0), ("b", 0.2, 0.0, 1), ("c", 0.2, 1.0, 0), ("d", 0.4, 0.0, 0), ("e", 0.4, 1.0, 0)]
}
# 0.5 and 0.7: mean 0.6, sample standard deviation 0.1414.
SUMMARIES = {"a": summary(0.5), "b": summary(0.7), "c": summary(0.9, 0.95), "d": summary(0.25)}
HASHES = {"a": "x", "b": "y", "c": "x", "d": "z", "e": None}


@pytest.fixture
def table() -> pd.DataFrame:
    return result_table(SUMMARIES, group_table(FACTORS, ROLES), HASHES)


def test_cells_are_mean_and_sample_sd_over_seeds_of_one_condition_and_treatment(table: pd.DataFrame):
    (row,) = table[
        (table["condition"] == "noise rate = 0.2") & (table["treatment"] == "σ = 0") & (table["selection"] == "last")
    ].itertuples()
    assert (row.model, row.mean, row.n, row.label_draws) == ("raw", pytest.approx(0.6), 2, 2)
    assert row.sd == pytest.approx(0.1 * 2**0.5)


def test_markdown_has_methods_down_and_noise_across(table: pd.DataFrame):
    lines = result_markdown(table, "last", ["a note"]).splitlines()
    assert lines[:5] == [
        "| method | model | noise rate = 0.2 | noise rate = 0.4 |",
        "| :-- | :-- | --: | --: |",
        "| σ = 0 | raw | 60.0 ± 14.1 (2) | 25.0 (1) |",
        "| σ = 1 | raw | 90.0 (1) | – |",
        "| σ = 1 | EMA | 95.0 (1) | – |",
    ]
    assert lines[-1] == "Test accuracy (%), last epoch: a note."


def test_figure_holds_what_the_markdown_holds(table: pd.DataFrame):
    figure = result_figure(table, "last", ["a note"])
    assert [list(column) for column in figure.data[0].cells["values"]] == [
        ["σ = 0", "σ = 1", "σ = 1"],
        ["raw", "raw", "EMA"],
        ["60.0 ± 14.1 (2)", "90.0 (1)", "95.0 (1)"],
        ["25.0 (1)", "–", "–"],
    ]
    assert "a note" in figure.layout.title.text


def test_csv_has_every_selection_in_shares(table: pd.DataFrame):
    rows = list(csv.DictReader(io.StringIO(result_csv(table))))
    assert len(rows) == 4 * 3
    (first, *_) = [row for row in rows if row["selection"] == "last_ten"]
    assert first | {"sd": ""} == {
        **{"condition": "noise rate = 0.2", "treatment": "σ = 0", "model": "raw", "selection": "last_ten"},
        **{"mean": "0.6", "sd": "", "n": "2", "label_draws": "2"},
    }
    assert float(first["sd"]) == pytest.approx(0.1 * 2**0.5)
    assert rows[-1]["sd"] == ""


@pytest.mark.parametrize(
    ("hashes", "said"),
    [({"a": "x", "b": "y"}, "each with labels of its own"), ({"a": "x", "b": "x"}, "all with the same labels")],
)
def test_what_a_mean_is_over_is_said(hashes: dict[str, str], said: str):
    table = result_table(SUMMARIES, group_table(FACTORS, ROLES), hashes)
    (note,) = averaging_notes(table, "last")
    assert said in note
    assert "sample standard deviation" in note


def test_single_runs_have_no_spread():
    table = result_table({"c": SUMMARIES["c"]}, group_table(FACTORS, ROLES), HASHES)
    assert averaging_notes(table, "last") == ["one run in each cell: no spread is known"]


def test_without_finished_runs_there_is_a_table_without_rows():
    table = result_table({}, group_table(FACTORS, ROLES), HASHES)
    assert not result_figure(table, "last", averaging_notes(table, "last")).data
    assert result_csv(table).splitlines() == ["condition,treatment,model,selection,mean,sd,n,label_draws"]
    assert result_markdown(table, "last", []).startswith("| method | model |")


@pytest.mark.parametrize(
    ("method", "sigma"), [({"name": "sln", "sigma": 0.2}, 0.2), ({"name": "ce"}, 0.0), ({"name": "gce", "q": 0.7}, None)]
)
def test_cross_entropy_is_sigma_0(method: dict[str, Any], sigma: float | None):
    assert sigma_of(method) == sigma


def lines(methods: dict[str, Any], factors: dict[str, Any], roles: dict[str, Role]) -> list[tuple[Any, ...]]:
    table = sigma_table({run_id: summary(0.5) for run_id in methods}, methods, factors, roles, "last")
    return list(table[["line", "model", "sigma", "n"]].itertuples(index=False, name=None))


def test_sigma_has_a_line_per_condition():
    methods = {name: {"name": "sln", "sigma": factors["method.sigma"], "correct_from": None} for name, factors in FACTORS.items()}
    found = sigma_table(SUMMARIES, methods, FACTORS, ROLES, "last")
    raw = found[found["model"] == "raw"]
    assert raw[["line", "sigma", "n"]].values.tolist() == [
        ["noise rate = 0.2", 0, 2],
        ["noise rate = 0.2", 1, 1],
        ["noise rate = 0.4", 0, 1],
    ]
    assert raw["mean"].tolist() == pytest.approx([0.6, 0.9, 0.25])
    figure = sigma_figure(found, "last")
    assert [(trace.name, trace.line.dash) for trace in figure.data] == [
        ("noise rate = 0.2, raw model", "solid"),
        ("noise rate = 0.4, raw model", "solid"),
        ("noise rate = 0.2, EMA model", "dot"),
    ]
    assert list(figure.data[0].error_y.array) == pytest.approx([100 * 0.1 * 2**0.5, 0])


def test_methods_given_whole_lie_on_one_line_with_cross_entropy():
    sln = {"name": "sln", "sigma": 1.0, "variant": None, "correct_from": None, "correction": "hard", "weigh_against": "corrected"}
    methods = {"a": {"name": "ce"}, "b": sln, "c": {"name": "gce", "q": 0.7}}
    factors = {name: {"method": method, "seed": 0} for name, method in methods.items()}
    roles = {"method": Role.TREATMENT, "seed": Role.REPLICATE}
    assert lines(methods, factors, roles) == [("all runs", "raw", 0.0, 1), ("all runs", "raw", 1.0, 1)]


def test_label_correction_and_other_treatments_are_lines_of_their_own():
    plain = {"name": "sln", "sigma": 1.0, "variant": None, "correct_from": None, "correction": "hard", "weigh_against": "corrected"}
    methods = {"a": plain, "b": {**plain, "correct_from": 10}, "c": plain}
    factors = {name: {"method": method, "optimizer.lr": 0.1, "seed": 0} for name, method in methods.items()}
    factors["c"]["optimizer.lr"] = 0.2
    roles = {"method": Role.TREATMENT, "optimizer.lr": Role.NUISANCE, "seed": Role.REPLICATE}
    found = lines(methods, factors, roles)
    assert len({line for line, *_ in found}) == 3
    assert [n for *_, n in found] == [1, 1, 1]


def test_a_grid_without_sigma_has_a_figure_that_says_so():
    table = sigma_table({}, {"a": {"name": "gce"}}, {"a": {"seed": 0}}, {"seed": Role.REPLICATE}, "last")
    figure = sigma_figure(table, "last")
    assert not figure.data
    assert "cross-entropy" in figure.layout.annotations[0].text
