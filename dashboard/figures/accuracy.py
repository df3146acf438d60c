"""A grid's test accuracies: how each treatment ends under each condition, by four ways to choose the epoch."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.figures.groups import parts, treatment_colors
from dashboard.figures.style import MODEL_TITLES, SELECTIONS, TEMPLATE, empty_figure, mean_and_sd, panel_titles
from spec.summary import Summary

MARKERS = {"last": "circle", "last_ten": "square", "validation_best": "diamond", "oracle_best": "star-open"}
NEUTRAL = "#7b8794"
MAX_COLUMNS = 4
COLUMNS = ["condition", "treatment", "selection", "mean", "sd", "n"]


def accuracy_table(summaries: Mapping[str, Summary | None], groups: pd.DataFrame, model: str = "raw") -> pd.DataFrame:
    """One row per condition, treatment and selection: `mean` and `sd` (n - 1 below the line) over replicates, `n`.

    `model` is `raw` or `ema`. Give the finished runs' summaries: a run half-way has a "last" epoch too. Runs
    without a value (no validation split, no moving average) do not count, and a row without any is left out.
    """
    rows = [
        (run_id, selection, getattr(accuracy, selection))
        for run_id, summary in summaries.items()
        if summary and (accuracy := getattr(summary, model))
        for selection in SELECTIONS
    ]
    values = pd.DataFrame(rows, columns=["run_id", "selection", "value"]).dropna(subset="value")
    values["selection"] = pd.Categorical(values["selection"], categories=list(SELECTIONS), ordered=True)
    keyed = values.join(groups, on="run_id", how="inner")
    keyed["value"] = keyed["value"].astype(float)
    grouped = keyed.groupby(["condition", "treatment", "selection"], observed=True)["value"]
    return grouped.agg(mean="mean", sd="std", n="count").reset_index()[COLUMNS]


def best_treatments(table: pd.DataFrame, selection: str) -> dict[str, str]:
    """For each condition the treatment with the highest mean over replicates. Conditions are never compared."""
    chosen = table[table["selection"] == selection]
    best = chosen.loc[chosen.groupby("condition", observed=True)["mean"].idxmax()]
    return dict(zip(best["condition"].astype(str), best["treatment"].astype(str), strict=True))


def cell_texts(table: pd.DataFrame) -> list[str]:
    """Each row in percent, as `92.1 ± 0.4 (3)`."""
    columns = (table[name].tolist() for name in ("mean", "sd", "n"))
    return [mean_and_sd(mean, sd, n) for mean, sd, n in zip(*columns, strict=True)]


def accuracy_figure(table: pd.DataFrame, model: str = "raw", max_columns: int = MAX_COLUMNS) -> go.Figure:
    """A panel per condition, at most so many side by side: a row per treatment, a marker per selection, open where it is an oracle."""
    title = f"Test accuracy by choice of epoch, {MODEL_TITLES[model]}, mean ± sd over finished replicates"
    if table.empty:
        return empty_figure(title, "no finished run yet")
    conditions = [name for name in table["condition"].cat.categories if (table["condition"] == name).any()]
    treatments = list(table["treatment"].cat.categories)
    columns = min(max_columns, len(conditions))
    rows = -(-len(conditions) // columns)
    figure = make_subplots(
        rows, columns, subplot_titles=conditions, shared_xaxes="all", horizontal_spacing=0.03, vertical_spacing=0.2 / rows
    )
    for (condition, selection), points in parts(table, "condition", "selection"):
        row, column = divmod(conditions.index(condition), columns)
        figure.add_trace(_points(points, treatments, selection), row=row + 1, col=column + 1)
    for selection in table["selection"].cat.categories:
        figure.add_trace(_legend_entry(selection), row=1, col=1)
    _name_rows(figure, treatments, rows, columns)
    row_height = max(120, 46 * len(treatments) + 40)
    figure.update_layout(template=TEMPLATE, title_text=title, height=rows * (row_height + 50) + 130, margin_t=84)
    figure.update_layout(legend_y=-60 / (rows * (row_height + 50)), legend_yref="paper")
    figure.update_xaxes(title_text="test accuracy (%)", row=rows)
    return panel_titles(figure)


def _points(points: pd.DataFrame, treatments: list[str], selection: str) -> go.Scatter:
    colors = treatment_colors(points["treatment"])
    # The four selections of a treatment stand above each other, so that their error bars stay apart.
    offset = (list(SELECTIONS).index(selection) - 1.5) * 0.18
    names = points["treatment"].astype(str).tolist()
    painted = [colors[name] for name in names]
    return go.Scatter(
        x=(100 * points["mean"]).tolist(),
        y=[treatments.index(name) + offset for name in names],
        error_x={"array": (100 * points["sd"].fillna(0.0)).tolist(), "thickness": 1.2, "width": 3, "color": "#8a94a0"},
        mode="markers",
        marker={"symbol": MARKERS[selection], "size": 10, "color": painted, "line": {"width": 1.4, "color": painted}},
        text=[f"{name}<br>{SELECTIONS[selection]}: {cell}" for name, cell in zip(names, cell_texts(points), strict=True)],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )


def _legend_entry(selection: str) -> go.Scatter:
    marker = {"symbol": MARKERS[selection], "size": 10, "color": NEUTRAL, "line": {"width": 1.4, "color": NEUTRAL}}
    return go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name=SELECTIONS[selection])


def _name_rows(figure: go.Figure, treatments: list[str], rows: int, columns: int) -> None:
    places = list(range(len(treatments)))
    figure.update_yaxes(tickvals=places, range=[len(treatments) - 0.5, -0.5], showticklabels=False, ticks="")
    figure.update_yaxes(ticktext=treatments, showticklabels=True, col=1)
