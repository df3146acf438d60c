"""A run's figures: its curves and its label noise."""

import math

import pytest

from dashboard.figures.label_noise import noise_figure, noise_table, noise_title
from dashboard.figures.run_curves import RUN_METRICS, run_curve_figure, run_curve_table
from spec.records import LabelCard
from tests.dashboard.worlds import label_card

CARD = LabelCard(
    noise="symmetric",
    noise_rate=0.4,
    realised_rate=0.375,
    num_examples=8,
    num_corrupt=3,
    class_names=["cat", "dog"],
    counts=[[3, 1], [2, 2]],
    clean_hash="c" * 16,
    noisy_hash="n" * 16,
)


def test_noise_table_has_counts_and_shares_of_the_clean_class():
    table = noise_table(CARD)
    assert [tuple(row) for row in table.itertuples(index=False)] == [
        ("cat", "cat", 3, 0.75),
        ("cat", "dog", 1, 0.25),
        ("dog", "cat", 2, 0.5),
        ("dog", "dog", 2, 0.5),
    ]


def test_a_class_without_examples_has_shares_of_zero():
    card = CARD.model_copy(update={"counts": [[0, 0], [2, 2]]})
    assert noise_table(card)["share"].tolist() == [0, 0, 0.5, 0.5]


def test_title_says_nominal_and_realised():
    assert noise_title(CARD).startswith("symmetric: nominal 40 %, realised 37.500 %")
    assert "3 of 8" in noise_title(CARD)
    assert noise_title(CARD.model_copy(update={"noise_rate": None})).startswith("symmetric: recorded, realised")


def test_no_rate_is_said_of_labels_that_are_wrong_as_published():
    title = noise_title(CARD.model_copy(update={"noise": "clean", "noise_rate": None, "realised_rate": None}))
    assert title.startswith("clean<br>")
    assert "3 of 8 labels changed; nobody knows how many of the published ones are wrong" in title


def test_noise_figure_has_the_matrix_with_clean_classes_down():
    heat = noise_figure(noise_table(CARD), noise_title(CARD)).data[0]
    assert [list(row) for row in heat.z] == [[75, 25], [50, 50]]
    assert [list(row) for row in heat.text] == [["3<br>75.0 %", "1<br>25.0 %"], ["2<br>50.0 %", "2<br>50.0 %"]]


def test_classes_of_one_name_stay_apart():
    table = noise_table(CARD.model_copy(update={"class_names": ["cat", "cat"]}))
    assert len(table) == 4


def test_a_hundred_classes_are_drawn_without_text():
    card = label_card(0.4, 0, classes=100)
    heat = noise_figure(noise_table(card), noise_title(card)).data[0]
    assert (len(heat.z), heat.texttemplate) == (100, None)


def test_run_curves_are_those_that_the_run_has():
    table = run_curve_table([1, 2], {"test_accuracy": [0.5, 0.75], "ema_test_accuracy": [0.25, None], "test_loss": [1.0, 2.0]})
    assert [(row.panel, row.metric, row.model, row.epoch) for row in table.itertuples()] == [
        ("accuracy", "test_accuracy", "raw", 1),
        ("accuracy", "test_accuracy", "raw", 2),
        ("accuracy", "test_accuracy", "ema", 1),
        ("accuracy", "test_accuracy", "ema", 2),
    ]
    assert table["value"].tolist()[:3] == [0.5, 0.75, 0.25]
    assert math.isnan(table["value"].tolist()[3])


def test_run_curve_figure_is_in_percent_with_gaps():
    figure = run_curve_figure(run_curve_table([1, 2], {"ema_test_accuracy": [0.25, None], "corrupt_fit_given": [0.125, 1.0]}))
    assert [(trace.name, list(trace.y), trace.line.dash) for trace in figure.data] == [
        ("test accuracy (EMA)", [25, None], "dot"),
        ("fit of wrong labels (memorised)", [12.5, 100], "solid"),
    ]


@pytest.mark.parametrize("metrics", [{}, {"test_accuracy": []}, {name: [None] for name in RUN_METRICS}])
def test_a_run_without_values_has_a_figure_with_a_title(metrics: dict[str, list[None]]):
    figure = run_curve_figure(run_curve_table([1], metrics))
    assert figure.layout.title.text.startswith("Accuracy and memorisation")
    assert not figure.data
