"""Probabilities and dissection: counts made by hand."""

import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from dashboard.figures.examples import (
    KIND_COLORS,
    NO_CLASS,
    NUM_BINS,
    OUTCOME_COLORS,
    dissection_figure,
    dissection_table,
    judged,
    probability_figure,
    probability_table,
)

# given, true, predicted: one of each outcome.
RIGHT_RIGHT, RIGHT_WRONG, WRONG_RIGHT, WRONG_WRONG = (0, 0, 0), (0, 0, 1), (0, 1, 1), (0, 1, 0)
# A label may be wrong and the prediction a third class: wrong, too.
WRONG_THIRD = (0, 1, 2)


def examples(
    labels: list[tuple[int, int, int]], losses: list[float] | None = None, probabilities: list[float] | None = None
) -> pd.DataFrame:
    columns = dict(zip(("given", "true", "predicted"), map(list, zip(*labels, strict=True)), strict=True))
    return pd.DataFrame({**columns, "loss": losses or [0.0] * len(labels), "probability": probabilities or [0.5] * len(labels)})


def hundred() -> pd.DataFrame:
    """100 examples in an order that is not that of their losses: the lower half of the losses pristine and right, the upper memorised."""
    ascending = [RIGHT_RIGHT] * 50 + [WRONG_WRONG] * 25 + [WRONG_RIGHT] * 20 + [RIGHT_WRONG] * 5
    places = [(37 * place) % 100 for place in range(100)]
    return judged(examples([ascending[place] for place in places], [float(place) for place in places]))


def counts(table: pd.DataFrame, outcome: str) -> list[int]:
    return table[table["outcome"] == outcome].sort_values("interval")["count"].tolist()


def test_label_and_prediction_are_judged_against_the_true_label():
    found = judged(examples([RIGHT_RIGHT, RIGHT_WRONG, WRONG_RIGHT, WRONG_WRONG, WRONG_THIRD]))
    assert found["outcome"].tolist() == [
        "label right, prediction right",
        "label right, prediction wrong",
        "label wrong, prediction right",
        "label wrong, prediction wrong",
        "label wrong, prediction wrong",
    ]
    assert found["kind"].tolist() == ["label right"] * 2 + ["label wrong"] * 3


def test_a_replaced_image_has_only_its_label_to_be_held_against():
    found = judged(examples([(0, NO_CLASS, 0), (0, NO_CLASS, 1), (0, 0, 0)]))
    assert found["outcome"].tolist() == [
        "image replaced, predicted as labelled",
        "image replaced, predicted otherwise",
        "label right, prediction right",
    ]


def test_nobody_is_judged_by_a_truth_that_nobody_knows():
    found = judged(examples([RIGHT_RIGHT, WRONG_RIGHT]), truth_is_known=False)
    assert found["outcome"].tolist() == ["every example, predicted as labelled", "every example, predicted otherwise"]


def test_every_kind_and_outcome_has_a_colour():
    labels = [(0, true, predicted) for true in (0, 1, NO_CLASS) for predicted in (0, 1, 2)]
    for known in (True, False):
        found = judged(examples(labels), known)
        assert set(found["outcome"]) <= set(OUTCOME_COLORS)
        assert set(found["kind"]) <= set(KIND_COLORS)


def test_dissection_of_a_hundred_examples_is_that_by_hand():
    table = dissection_table(hundred())
    assert counts(table, "label right, prediction right") == [2] * 25 + [0] * 25
    assert counts(table, "label wrong, prediction wrong") == [0] * 25 + [2] * 12 + [1] + [0] * 12
    assert counts(table, "label wrong, prediction right") == [0] * 37 + [1] + [2] * 9 + [1] + [0] * 2
    assert counts(table, "label right, prediction wrong") == [0] * 47 + [1] + [2] * 2


@pytest.mark.parametrize(("size", "sizes"), [(1000, {20}), (101, {2, 3}), (7, {1})])
def test_intervals_hold_every_example_once_and_differ_by_one_at_most(size: int, sizes: set[int]):
    table = dissection_table(judged(examples([RIGHT_RIGHT, WRONG_WRONG] * size)[:size]))
    by_interval = table.groupby("interval")["count"].sum()
    assert (len(by_interval), by_interval.sum(), set(by_interval)) == (min(50, size), size, sizes)


def test_a_loss_that_is_no_number_comes_last():
    table = dissection_table(judged(examples([WRONG_RIGHT, RIGHT_RIGHT, RIGHT_RIGHT], [math.nan, 3.0, math.inf])))
    assert counts(table, "label wrong, prediction right") == [0, 0, 1]


def test_histogram_has_99_bins_on_0_to_1_and_loses_nobody():
    probabilities = [0.0, 0.5 / NUM_BINS, 1.5 / NUM_BINS, 1.0, math.nan, 0.999]
    table = probability_table(judged(examples([RIGHT_RIGHT] * 5 + [WRONG_RIGHT], None, probabilities)))
    right, wrong = (table[table["kind"] == kind]["count"].to_numpy() for kind in ("label right", "label wrong"))
    assert len(right) == len(wrong) == NUM_BINS == 99
    assert right[:2].tolist() == [2, 1]
    assert (right[-1], wrong[-1]) == (1, 1)
    assert (right.sum(), wrong.sum()) == (4, 1)


def test_histogram_agrees_with_counting():
    rng = np.random.default_rng(0)
    probabilities = rng.random(2000).tolist()
    table = probability_table(judged(examples([RIGHT_RIGHT] * 2000, None, probabilities)))
    for row in table.itertuples():
        assert row.count == sum(row.low <= value < row.high for value in probabilities)


def test_figures_have_a_trace_for_each_kind_and_panel_and_one_legend():
    shown = {title: hundred() for title in ("raw model", "EMA model")}
    histogram = probability_figure({title: probability_table(table) for title, table in shown.items()})
    assert [(trace.name, trace.showlegend) for trace in histogram.data] == [
        ("label right", True),
        ("label wrong", True),
        ("label right", False),
        ("label wrong", False),
    ]
    stacks = dissection_figure({title: dissection_table(table) for title, table in shown.items()}, "of a hundred", 1)
    assert "of a hundred" in stacks.layout.title.text
    assert (len(stacks.data), stacks.layout.barmode) == (8, "stack")


@pytest.mark.parametrize("figure", [probability_figure, dissection_figure])
def test_without_examples_there_is_a_figure_with_a_title(figure):
    empty: go.Figure = figure({})
    assert empty.layout.title.text
    assert not empty.data
