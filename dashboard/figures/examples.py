"""Example by example: how sure a model is of its predictions, and which examples it fits first.

Source: the two plots of the re-sln replication (2021) of Chen et al., "Noise against noise", ICLR 2021: prediction probabilities,
and "sample dissection". Theirs are drawn with augmentation; these are not.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.figures.style import TEMPLATE, empty_figure, panel_titles, translucent

NUM_BINS = 99
NUM_INTERVALS = 50
MAX_COLUMNS = 4
ROW_HEIGHT = 250
# The true label of an image that is of none of the classes: noise put it there.
NO_CLASS = -1

KIND_COLORS = {"label right": "#2f6fe0", "label wrong": "#d1572b", "image replaced": "#8b5cd6", "every example": "#7b8794"}
OUTCOME_COLORS = {
    "label right, prediction right": "#2f6fe0",
    "label right, prediction wrong": "#9dbcf2",
    "label wrong, prediction right": "#15936b",
    "label wrong, prediction wrong": "#d1572b",
    # A replaced image has no true class that a prediction could meet.
    "image replaced, predicted otherwise": "#8b5cd6",
    "image replaced, predicted as labelled": "#d1572b",
    "every example, predicted as labelled": "#7b8794",
    "every example, predicted otherwise": "#c9ced6",
}


def judged(examples: pd.DataFrame, truth_is_known: bool = True) -> pd.DataFrame:
    """The examples (columns given, true, predicted, loss, probability) with their `kind` and `outcome`, as named above.

    Label and prediction are both judged against the true label. Where nobody knows that, or the image was replaced,
    the prediction is held against the given label.
    """
    given, true, predicted = (examples[name].to_numpy() for name in ("given", "true", "predicted"))
    kind = np.select([true == NO_CLASS, given != true], ["image replaced", "label wrong"], "label right")
    if not truth_is_known:
        kind = np.full(len(examples), "every example")
    has_truth = np.isin(kind, ["label right", "label wrong"])
    met_truth = np.where(predicted == true, "prediction right", "prediction wrong")
    met_label = np.where(predicted == given, "predicted as labelled", "predicted otherwise")
    outcome = [f"{first}, {second}" for first, second in zip(kind, np.where(has_truth, met_truth, met_label), strict=True)]
    return examples.assign(kind=kind, outcome=outcome)


def probability_table(examples: pd.DataFrame) -> pd.DataFrame:
    """One row per `kind` and bin: `low` and `high` ends and `count` of the largest softmax probability, in 99 bins from 0 to 1.

    `examples` are `judged`. A probability that is no number (the run diverged) is in no bin.
    """
    edges = np.linspace(0, 1, NUM_BINS + 1)
    tables = [
        pd.DataFrame({"kind": kind, "low": edges[:-1], "high": edges[1:], "count": np.histogram(rows["probability"].dropna(), edges)[0]})
        for kind in KIND_COLORS
        if len(rows := examples[examples["kind"] == kind])
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["kind", "low", "high", "count"])


def dissection_table(examples: pd.DataFrame) -> pd.DataFrame:
    """One row per `interval` (from 1) and outcome: how many of the interval's examples have it.

    The `judged` examples are sorted by ascending loss against the given label, ties by index, and cut into 50 intervals whose sizes
    differ by one at most. A loss that is no number comes last.
    """
    ascending = np.argsort(examples["loss"].to_numpy(), kind="stable")
    cuts = min(NUM_INTERVALS, len(examples))
    interval = np.arange(len(examples)) * cuts // max(1, len(examples)) + 1
    placed = pd.DataFrame({"interval": interval, "outcome": examples["outcome"].to_numpy()[ascending]})
    present = [outcome for outcome in OUTCOME_COLORS if (examples["outcome"] == outcome).any()]
    counts = placed.groupby(["interval", "outcome"]).size()
    every = pd.MultiIndex.from_product([range(1, cuts + 1), present], names=["interval", "outcome"])
    return counts.reindex(every, fill_value=0).rename("count").reset_index()


def probability_figure(panels: Mapping[str, pd.DataFrame], subject: str = "", max_columns: int = MAX_COLUMNS) -> go.Figure:
    """A panel per title: histograms of the probability of the predicted class, overlaid. Each panel has a scale of its own."""
    title = _title(
        "How sure the model is of its predictions", subject, "probability of the predicted class, training images, no augmentation"
    )
    if not any(len(table) for table in panels.values()):
        return empty_figure(title)
    figure = _panels(panels, max_columns, shared_yaxes=False)
    for place, table in zip(_places(len(panels), max_columns), panels.values(), strict=True):
        for kind, bins in table.groupby("kind", sort=False):
            figure.add_trace(_histogram(str(kind), bins), **place)
    figure.update_xaxes(dtick=0.25)
    figure.update_yaxes(rangemode="tozero")
    return _finished(figure, panels, title, max_columns, x="probability", y="examples")


def dissection_figure(panels: Mapping[str, pd.DataFrame], subject: str = "", max_columns: int = MAX_COLUMNS) -> go.Figure:
    """A panel per title: the outcomes of each interval of losses, stacked."""
    what = "training images by loss against the given label, cut into intervals of equal size, no augmentation"
    title = _title("Which examples are fitted first", subject, what)
    if not any(len(table) for table in panels.values()):
        return empty_figure(title)
    figure = _panels(panels, max_columns, shared_yaxes="all")
    for place, table in zip(_places(len(panels), max_columns), panels.values(), strict=True):
        for outcome, bars in table.groupby("outcome", sort=False):
            figure.add_trace(_stack(str(outcome), bars), **place)
    figure.update_layout(barmode="stack", bargap=0)
    return _finished(figure, panels, title, max_columns, x="interval, loss ascending →", y="examples")


def _title(first: str, subject: str, second: str) -> str:
    return f"{first}{subject and f': {subject}'}<br><sup>{second}</sup>"


def _histogram(kind: str, bins: pd.DataFrame) -> go.Scatter:
    """Steps: overlaid bars would hide each other's tops."""
    return go.Scatter(
        x=[*bins["low"], 1.0],
        y=[*bins["count"], bins["count"].iloc[-1]],
        name=kind,
        legendgroup=kind,
        mode="lines",
        line={"shape": "hv", "width": 1.2, "color": KIND_COLORS[kind]},
        fill="tozeroy",
        fillcolor=translucent(KIND_COLORS[kind], 0.3),
        customdata=[*zip(bins["low"], bins["high"], strict=True), (None, None)],
        hovertemplate="%{customdata[0]:.3f} to %{customdata[1]:.3f}: %{y:,}",
    )


def _stack(outcome: str, bars: pd.DataFrame) -> go.Bar:
    return go.Bar(
        x=bars["interval"].tolist(),
        y=bars["count"].tolist(),
        width=1,
        name=outcome,
        legendgroup=outcome,
        marker={"color": OUTCOME_COLORS[outcome], "line": {"width": 0}},
        hovertemplate="interval %{x}: %{y:,}",
    )


def _places(count: int, max_columns: int) -> list[dict[str, int]]:
    columns = min(max_columns, count)
    return [{"row": position // columns + 1, "col": position % columns + 1} for position in range(count)]


def _panels(panels: Mapping[str, pd.DataFrame], max_columns: int, shared_yaxes: str | bool) -> go.Figure:
    columns = min(max_columns, len(panels))
    rows = -(-len(panels) // columns)
    titles = [title.replace(", ", "<br>") for title in panels]
    lines = max(title.count("<br>") for title in titles)
    # Room for the ticks of each panel, where they differ.
    spacing = {"horizontal_spacing": min(0.07, (0.12 if shared_yaxes else 0.3) / columns), "vertical_spacing": (0.16 + 0.07 * lines) / rows}
    return make_subplots(rows, columns, subplot_titles=titles, shared_xaxes="all", shared_yaxes=shared_yaxes, **spacing)


def _finished(figure: go.Figure, panels: Mapping[str, pd.DataFrame], title: str, max_columns: int, x: str, y: str) -> go.Figure:
    rows = _places(len(panels), max_columns)[-1]["row"]
    lines = max(panel.count(", ") for panel in panels)
    height = rows * (ROW_HEIGHT + 17 * lines) + 150
    seen: set[str] = set()
    for trace in figure.data:
        trace.showlegend = trace.name not in seen
        seen.add(trace.name)
    figure.update_layout(template=TEMPLATE, title_text=title, height=height, margin_t=84 + 17 * lines, legend_traceorder="normal")
    figure.update_layout(legend_y=-60 / (height - 150))
    figure.update_xaxes(title_text=x, row=rows)
    figure.update_yaxes(title_text=y, col=1)
    return panel_titles(figure)
