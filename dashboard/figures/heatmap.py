"""A grid at a glance: conditions down, treatments across, mean test accuracy in the cells."""

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.accuracy import best_treatments, cell_texts
from dashboard.figures.style import MODEL_TITLES, SELECTIONS, TEMPLATE, empty_figure

# Cividis is made for colour-blind readers and keeps its order in grey.
COLORSCALE = "Cividis"
MAX_ANNOTATED = 400


def heatmap_table(accuracies: pd.DataFrame, selection: str) -> pd.DataFrame:
    """The rows of an `accuracy_table` under one selection, with `text` for the cell and whether it is `best` in its condition."""
    table = accuracies[accuracies["selection"] == selection].reset_index(drop=True)
    best = best_treatments(accuracies, selection)
    is_best = [best[condition] == treatment for condition, treatment in _places(table)]
    return table.assign(best=pd.Series(is_best, dtype=bool), text=pd.Series(cell_texts(table), dtype=object))


def heatmap_figure(table: pd.DataFrame, selection: str, model: str = "raw") -> go.Figure:
    """Cells say mean ± sd (n); the best treatment of each condition is bold."""
    words = f"Test accuracy (%), {SELECTIONS[selection]}, {MODEL_TITLES[model]}"
    title = f"{words}<br><sup>mean ± sd (finished runs); bold: best in its row</sup>"
    if table.empty:
        return empty_figure(title, "no finished run yet")
    conditions = list(table["condition"].cat.categories)
    treatments = list(table["treatment"].cat.categories)
    mean = table.pivot(index="condition", columns="treatment", values="mean").reindex(index=conditions, columns=treatments)
    shares = [[None if pd.isna(value) else 100 * value for value in row] for row in mean.to_numpy().tolist()]
    # The mean above its spread: a cell may be narrow.
    lines = [text.replace(" ", "<br>", 1) for text in table["text"]]
    texts = [f"<b>{text}</b>" if best else text for text, best in zip(lines, table["best"], strict=True)]
    cells = dict(zip(_places(table), texts, strict=True))
    text = [[cells.get((condition, treatment), "") for treatment in treatments] for condition in conditions]
    lines_of_name = max(1 + name.count(", ") for name in treatments)
    annotate = len(conditions) * len(treatments) <= MAX_ANNOTATED
    heat = go.Heatmap(
        z=shares,
        x=treatments,
        y=conditions,
        text=text,
        texttemplate="%{text}" if annotate else None,
        hovertemplate="%{y}<br>%{x}<br>%{text}<extra></extra>",
        hoverongaps=False,
        colorscale=COLORSCALE,
        xgap=3,
        ygap=3,
        # A single row is too low for a bar with ticks.
        showscale=len(conditions) > 1,
        colorbar={"title": {"text": "%"}, "thickness": 12, "outlinewidth": 0, "len": 0.9},
    )
    figure = go.Figure(
        heat, layout={"template": TEMPLATE, "title": {"text": title}, "height": 56 * len(conditions) + 150 + 17 * lines_of_name}
    )
    figure.update_xaxes(type="category", showgrid=False, ticks="", title_text="treatment")
    figure.update_xaxes(tickvals=list(range(len(treatments))), ticktext=[name.replace(", ", ",<br>") for name in treatments])
    figure.update_yaxes(type="category", showgrid=False, ticks="", autorange="reversed")
    return figure


def _places(table: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(table["condition"].astype(str), table["treatment"].astype(str), strict=True))
