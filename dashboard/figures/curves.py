"""A grid's curves: the mean over replicates and one sample standard deviation on each side."""

import math

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.figures.groups import parts, treatment_colors
from dashboard.figures.style import TEMPLATE, empty_figure, is_share, metric_title, panel_titles, translucent

MAX_COLUMNS = 3
ROW_HEIGHT = 320


def curve_table(values: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """One row per condition, treatment and epoch: `mean`, `sd` (n - 1 below the line), `low`, `high`, `n`.

    `values` has the columns run_id, epoch, value; `groups` comes from `group_table`. A run counts at the epochs
    that it reached with a finite value: runs of different length change `n`, and the mean is over what is there.
    `low` and `high` are the mean itself where n = 1.
    """
    keyed = values.join(groups, on="run_id", how="inner")
    keyed["value"] = keyed["value"].astype(float)
    grouped = keyed.groupby(["condition", "treatment", "epoch"], observed=True)["value"]
    table = grouped.agg(mean="mean", sd="std", n="count").reset_index()
    spread = table["sd"].fillna(0.0)
    return table.assign(low=table["mean"] - spread, high=table["mean"] + spread)


def curve_figure(table: pd.DataFrame, metric: str) -> go.Figure:
    """A panel per condition; in each, a line and a band per treatment."""
    title = f"{metric_title(metric)[:1].upper()}{metric_title(metric)[1:]}, mean ± sd over replicates"
    if not table["n"].sum():
        return empty_figure(title)
    conditions = [name for name in table["condition"].cat.categories if (table["condition"] == name).any()]
    columns = min(MAX_COLUMNS, len(conditions))
    rows = math.ceil(len(conditions) / columns)
    gap = 0.28 / rows
    figure = make_subplots(rows, columns, subplot_titles=conditions, shared_yaxes=True, horizontal_spacing=0.03, vertical_spacing=gap)
    scale = 100 if is_share(metric) else 1
    colors = treatment_colors(table["treatment"])
    shown: set[str] = set()
    for (condition, treatment), curve in parts(table, "condition", "treatment"):
        row, column = divmod(conditions.index(condition), columns)
        band, line = _traces(curve, treatment, colors[treatment], scale)
        line.showlegend = treatment not in shown
        shown.add(treatment)
        figure.add_traces([band, line], rows=row + 1, cols=column + 1)
    figure.update_layout(template=TEMPLATE, title_text=title, height=rows * ROW_HEIGHT + 120, margin_t=84, hovermode="x unified")
    figure.update_layout(legend_y=-0.3 / rows if rows > 1 else -0.2, legend_traceorder="normal")
    figure.update_xaxes(title_text="epoch", row=rows)
    figure.update_yaxes(title_text=f"{metric_title(metric)}{' (%)' if scale == 100 else ''}", col=1)
    return panel_titles(figure)


def _traces(curve: pd.DataFrame, treatment: str, color: str, scale: float) -> tuple[go.Scatter, go.Scatter]:
    epochs = curve["epoch"].tolist()
    low, mean, high = (_plain(curve[name] * scale) for name in ("low", "mean", "high"))
    band = go.Scatter(
        x=[*epochs, *reversed(epochs)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=translucent(color, 0.18),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=treatment,
    )
    line = go.Scatter(
        x=epochs,
        y=mean,
        name=treatment,
        legendgroup=treatment,
        mode="lines" if len(epochs) > 1 else "markers",
        line={"color": color, "width": 2},
        customdata=list(zip(_plain(scale * curve["sd"].fillna(0.0)), curve["n"].tolist(), strict=True)),
        hovertemplate="%{y:.3~f} ± %{customdata[0]:.2f} (n = %{customdata[1]})",
    )
    return band, line


def _plain(values: pd.Series) -> list[float | None]:
    """Values for JSON: NaN is a gap."""
    return [None if math.isnan(value) else value for value in values.tolist()]
