"""What all figures share: the template, the empty figure, units and words for metrics and selections."""

import plotly.graph_objects as go

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK, GRID_LINE = "#1f2933", "#e3e7ec"

# How a run's epoch is chosen, in the order of honesty. The oracle looks at the test set.
SELECTIONS = {
    "last": "last epoch",
    "last_ten": "mean of last ten epochs",
    "validation_best": "best on validation",
    "oracle_best": "oracle best (chosen on test)",
}
MODEL_TITLES = {"raw": "raw model", "ema": "EMA model"}

METRIC_TITLES = {
    "objective": "training objective",
    "pristine_fit_given": "fit of right labels",
    "corrupt_fit_given": "fit of wrong labels (memorised)",
    "corrupt_recovered_true": "true class found behind wrong labels",
}

_AXIS = {
    "gridcolor": GRID_LINE,
    "linecolor": GRID_LINE,
    "zeroline": False,
    "automargin": True,
    "ticks": "outside",
    "tickcolor": GRID_LINE,
    "title": {"standoff": 8, "font": {"size": 13}},
}

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK},
        # Placed in pixels from the top: a share of the height would clip the title of a low figure.
        "title": {
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yanchor": "top",
            "pad": {"l": 12, "t": 14},
            "font": {"size": 15},
        },
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "margin": {"l": 56, "r": 16, "t": 64, "b": 48},
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.18, "x": 0},
        "hoverlabel": {"font": {"family": FONT}},
    }
)


def empty_figure(title: str, reason: str = "nothing recorded yet") -> go.Figure:
    """A figure with a title and, where its data would be, the reason why there are none."""
    figure = go.Figure(layout={"template": TEMPLATE, "title": {"text": title}})
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    figure.add_annotation(text=reason, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    return figure


def panel_titles(figure: go.Figure) -> go.Figure:
    """Make the panels' titles no larger than the figure's own."""
    return figure.update_annotations(font={"size": 13, "weight": 600})


def is_share(metric: str) -> bool:
    """Whether a metric lies in [0, 1] and people read it in percent."""
    return metric.endswith(("_accuracy", "_fit_given", "_recovered_true"))


def metric_title(metric: str) -> str:
    """`ema_test_accuracy` -> `test accuracy (EMA)`."""
    name = metric.removeprefix("ema_")
    title = METRIC_TITLES.get(name, name.replace("_", " "))
    return title if name == metric else f"{title} (EMA)"


def translucent(color: str, opacity: float) -> str:
    """`#rrggbb` as an `rgba(...)` of that opacity."""
    red, green, blue = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def mean_and_sd(mean: float, sd: float, n: int) -> str:
    """A mean of shares in percent: `92.1 ± 0.4 (3)`, without the ± where one run has no spread."""
    spread = "" if n < 2 else f"± {100 * sd:.1f} "
    return f"{100 * mean:.1f} {spread}({n})"
