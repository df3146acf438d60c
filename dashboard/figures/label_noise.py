"""What the noise did to the labels: the realised transition matrix."""

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.style import TEMPLATE, empty_figure
from spec.records import LabelCard

MAX_ANNOTATED_CLASSES = 20
MAX_NAMED_CLASSES = 30


def noise_table(labels: LabelCard) -> pd.DataFrame:
    """One row per pair of classes: `clean`, `given`, `count`, and `share` of the clean class's examples (0 where it has none)."""
    rows = [
        (clean, given, count, count / max(1, sum(counts)))
        for clean, counts in zip(labels.class_names, labels.counts, strict=True)
        for given, count in zip(labels.class_names, counts, strict=True)
    ]
    return pd.DataFrame(rows, columns=["clean", "given", "count", "share"])


def noise_title(labels: LabelCard) -> str:
    """Nominal against realised rate, e.g. `symmetric: nominal 40 %, realised 40.026 % (20,013 of 50,000)`."""
    nominal = "recorded" if labels.noise_rate is None else f"nominal {100 * labels.noise_rate:g} %"
    counted = f"{labels.num_corrupt:,} of {labels.num_examples:,} labels wrong"
    if labels.num_replaced:
        counted += f", {labels.num_replaced:,} of them because the image is one of {labels.replaced_from}"
    if labels.realised_rate is None:
        name = labels.noise if labels.noise_rate is None else f"{labels.noise}: {nominal}"
        changed = f"{labels.num_corrupt:,} of {labels.num_examples:,} labels changed; nobody knows how many of the published ones are wrong"
        return f"{name}<br><sup>{changed}</sup>"
    return f"{labels.noise}: {nominal}, realised {100 * labels.realised_rate:.3f} %<br><sup>{counted}</sup>"


def noise_figure(table: pd.DataFrame, title: str, original: str = "clean") -> go.Figure:
    """Clean classes (or what `original` calls them) down, given classes across; cells say the count and the share of the row."""
    if table.empty:
        return empty_figure(title, "labels are not drawn yet")
    names = list(dict.fromkeys(table["clean"]))
    size = len(names)
    # Positions, not names: two classes may be called alike.
    shares = [[100 * share for share in table["share"].tolist()[row * size : (row + 1) * size]] for row in range(size)]
    texts = [f"{count:,}<br>{100 * share:.1f} %" for count, share in zip(table["count"], table["share"], strict=True)]
    is_small = size <= MAX_ANNOTATED_CLASSES
    gap = 1 if is_small else 0
    heat = go.Heatmap(
        z=shares,
        text=[texts[row * size : (row + 1) * size] for row in range(size)],
        zmin=0,
        zmax=100,
        colorscale="Cividis",
        xgap=gap,
        ygap=gap,
        texttemplate="%{text}" if is_small else None,
        hovertemplate=f"{original} %{{y}}, given %{{x}} (counted from 0)<br>%{{text}} of the class<extra></extra>",
        colorbar={"title": {"text": "% of row"}, "thickness": 12, "outlinewidth": 0, "len": 0.9},
    )
    height = min(760, 44 * size + 200)
    figure = go.Figure(heat, layout={"template": TEMPLATE, "title": {"text": title}, "height": height})
    ticks = {"tickvals": list(range(size)), "ticktext": names, "showticklabels": size <= MAX_NAMED_CLASSES}
    figure.update_xaxes(title_text="given label", showgrid=False, ticks="", **ticks)
    figure.update_yaxes(title_text=f"{original} label", showgrid=False, ticks="", autorange="reversed", **ticks)
    return figure
