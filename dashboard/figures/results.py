"""Result table, as papers print it: methods down, noise across, mean ± sample standard deviation (n) in the cells."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.accuracy import accuracy_table, cell_texts
from dashboard.figures.style import GRID_LINE, MODEL_TITLES, SELECTIONS, TEMPLATE, empty_figure
from spec.summary import Summary

CSV_COLUMNS = ("condition", "treatment", "model", "selection", "mean", "sd", "n", "label_draws")
ROW_PIXELS = 30
HEAD: dict[str, Any] = {"fill": {"color": "#f1f4f8"}, "line": {"color": GRID_LINE}}
BODY: dict[str, Any] = {"fill": {"color": "white"}, "line": {"color": GRID_LINE}}
# About so many characters fit a line of a column.
LINE_CHARACTERS = 18


def result_table(summaries: Mapping[str, Summary | None], groups: pd.DataFrame, hashes: Mapping[str, str | None]) -> pd.DataFrame:
    """One row per condition, treatment, model and selection: `mean`, `sd` (n - 1 below the line), `n`, `label_draws`.

    The mean is over replicates alone. `label_draws` is how many different labels the averaged runs were given. Give the
    finished runs' summaries, and by run the hash of the given labels.
    """
    models = [accuracy_table(summaries, groups, model).assign(model=model) for model in MODEL_TITLES]
    table = pd.concat(models, ignore_index=True)
    finished = groups.index.isin([run_id for run_id, summary in summaries.items() if summary])
    labels = groups.assign(noisy_hash=pd.Series(hashes, dtype=object))[finished]
    draws = labels.groupby(["condition", "treatment"], observed=True)["noisy_hash"].nunique().rename("label_draws")
    return table.join(draws, on=["condition", "treatment"])[list(CSV_COLUMNS)]


def averaging_notes(table: pd.DataFrame, selection: str) -> list[str]:
    """What the cells' means are over, in words."""
    rows = table[(table["selection"] == selection) & (table["n"] > 1)]
    if rows.empty:
        return ["one run in each cell: no spread is known"]
    own = (rows["label_draws"] >= rows["n"]).all()
    one = (rows["label_draws"] <= 1).all()
    draws = "each with labels of its own" if own else "all with the same labels" if one else "of which some share their labels"
    return [f"mean over seeds, {draws}; ± is the sample standard deviation, in brackets the number of runs"]


def result_figure(table: pd.DataFrame, selection: str, notes: Sequence[str]) -> go.Figure:
    """The table under one selection as a figure."""
    title = f"Test accuracy (%), {SELECTIONS[selection]}" + "".join(f"<br><sup>{note}</sup>" for note in notes)
    head, body = _cells(table, selection)
    if not body:
        return empty_figure(title, "no finished run yet")
    columns = [list(column) for column in zip(*body, strict=True)]
    lines = max(-(-len(text) // LINE_CHARACTERS) for row in [head, *body] for text in row)
    align = ["left", "left", *["right"] * (len(head) - 2)]
    trace = go.Table(
        header={"values": [f"<b>{name}</b>" for name in head], "align": align, "height": 12 + 17 * lines, **HEAD},
        cells={"values": columns, "align": align, "height": ROW_PIXELS, **BODY},
        columnwidth=[2, 1, *[1.4] * (len(head) - 2)],
    )
    top = 66 + 16 * len(notes)
    height = top + 12 + 17 * lines + ROW_PIXELS * len(body) + 24
    return go.Figure(
        trace, layout={"template": TEMPLATE, "title": {"text": title}, "height": height, "margin": {"l": 12, "t": top, "b": 12}}
    )


def result_markdown(table: pd.DataFrame, selection: str, notes: Sequence[str]) -> str:
    """The table under one selection as Markdown, with its caption and notes."""
    head, body = _cells(table, selection)
    rows = [head, [":--", ":--", *["--:"] * (len(head) - 2)], *body]
    caption = f"Test accuracy (%), {SELECTIONS[selection]}: " + "; ".join(notes) + "."
    return "\n".join([*(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in row)} |" for row in rows), "", caption, ""])


def result_csv(table: pd.DataFrame) -> str:
    """Every row, of all selections; accuracies in [0, 1], `sd` empty where one run has no spread."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    writer.writerows([_plain(value) for value in row] for row in table.itertuples(index=False))
    return text.getvalue()


def _cells(table: pd.DataFrame, selection: str) -> tuple[list[str], list[list[str]]]:
    """The head, and for each treatment and model its row of texts."""
    chosen = table[table["selection"] == selection]
    conditions = [name for name in table["condition"].cat.categories if (chosen["condition"] == name).any()]
    keys = chosen[["treatment", "model", "condition"]].astype(str).itertuples(index=False, name=None)
    cells = dict(zip(keys, cell_texts(chosen), strict=True))
    body = [
        [treatment, MODEL_TITLES[model].removesuffix(" model"), *(cells.get((treatment, model, place), "–") for place in conditions)]
        for treatment in table["treatment"].cat.categories
        for model in MODEL_TITLES
        if any((treatment, model, condition) in cells for condition in conditions)
    ]
    return ["method", "model", *conditions], body


def _plain(value: Any) -> Any:
    return "" if pd.isna(value) else value
