"""One run's curves: how well it does, and which labels it fits, raw and moving average."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.figures.groups import parts
from dashboard.figures.style import TEMPLATE, empty_figure, metric_title, panel_titles

PANELS = {
    "accuracy": ("train_accuracy", "validation_accuracy", "test_accuracy"),
    "fit of the training labels": ("pristine_fit_given", "corrupt_fit_given", "corrupt_recovered_true"),
}
RUN_METRICS = [f"{model}{metric}" for metrics in PANELS.values() for metric in metrics for model in ("", "ema_")]

# Okabe & Ito's blue, orange and bluish green, a little darker so that they hold on white as well as on black.
METRIC_COLORS = {
    "train_accuracy": "#7b8794",
    "validation_accuracy": "#b8860b",
    "test_accuracy": "#2f6fe0",
    "pristine_fit_given": "#2f6fe0",
    "corrupt_fit_given": "#d1572b",
    "corrupt_recovered_true": "#15936b",
}


def run_curve_table(epochs: Sequence[int], metrics: Mapping[str, Sequence[float | None]]) -> pd.DataFrame:
    """One row per panel, metric, model (`raw` or `ema`) and epoch, of the metrics that the run has; `value` in [0, 1]."""
    rows = [
        (panel, name, model, epoch, value)
        for panel, names in PANELS.items()
        for name in names
        for model, prefix in (("raw", ""), ("ema", "ema_"))
        for epoch, value in zip(epochs, metrics.get(f"{prefix}{name}") or [], strict=False)
    ]
    table = pd.DataFrame(rows, columns=["panel", "metric", "model", "epoch", "value"])
    return table.assign(value=table["value"].astype(float))


def run_curve_figure(table: pd.DataFrame) -> go.Figure:
    """Two panels; solid lines are the raw model, dotted ones its moving average."""
    title = "Accuracy and memorisation (solid: raw model, dotted: EMA)"
    if not table["value"].count():
        return empty_figure(title)
    panels = [panel for panel in PANELS if (table["panel"] == panel).any()]
    figure = make_subplots(1, len(panels), subplot_titles=panels, shared_yaxes=True, horizontal_spacing=0.04)
    for (panel, metric, model), line in parts(table, "panel", "metric", "model"):
        figure.add_trace(_line(line, metric, model), row=1, col=panels.index(panel) + 1)
    figure.update_layout(template=TEMPLATE, title_text=title, height=440, margin_t=84, hovermode="x unified")
    figure.update_xaxes(title_text="epoch")
    figure.update_yaxes(title_text="%", col=1)
    return panel_titles(figure)


def _line(line: pd.DataFrame, metric: str, model: str) -> go.Scatter:
    name = metric_title(metric if model == "raw" else f"ema_{metric}")
    return go.Scatter(
        x=line["epoch"].tolist(),
        y=[None if math.isnan(value) else 100 * value for value in line["value"].tolist()],
        name=name,
        mode="lines" if len(line) > 1 else "markers",
        line={"color": METRIC_COLORS[metric], "width": 2, "dash": "solid" if model == "raw" else "dot"},
        hovertemplate="%{y:.1f} %",
    )
