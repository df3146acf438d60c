"""A sheet of training images with their labels: right ones first, then wrong ones."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL import Image, ImageDraw, ImageFont

from dashboard.figures.label_noise import noise_title
from dashboard.figures.style import INK, TEMPLATE, empty_figure
from spec.records import LabelCard

COLUMNS = 8
# Small images are enlarged by whole factors, so that their pixels stay sharp wherever the sheet is shown.
MIN_PIXELS = 128
CELL_HEIGHT = 174
TITLE_HEIGHT = 34
# A cell of the sheet as a plain image, and the letters in it.
CELL_WIDTH, IMAGE_SIDE, LETTERS = 160, 128, 13
MAX_LETTERS = 22


def sample_table(samples: Iterable[Mapping[str, Any]], card: LabelCard) -> pd.DataFrame:
    """One row per sample: `group` (what is said above it), `first` and `second` line below it, `index`, `image` (S, S, 3).

    A sample has `index`, `image`, `given`, `true`, `is_corrupt` and `source`, labels by the names of their classes.
    """
    rows = [(*_words(sample, card), sample["index"], sample["image"]) for sample in samples]
    return pd.DataFrame(rows, columns=["group", "first", "second", "index", "image"])


def sample_figure(table: pd.DataFrame, card: LabelCard, columns: int = COLUMNS) -> go.Figure:
    """The sheet as a figure; the images are in it."""
    title = noise_title(card)
    if table.empty:
        return empty_figure(title)
    figure = go.Figure(layout={"template": TEMPLATE, "title": {"text": title}})
    # Nothing is drawn on the axes; a figure without a trace has none.
    figure.add_trace(go.Scatter(x=[0], y=[0], mode="markers", opacity=0, hoverinfo="skip", showlegend=False))
    top = 0.0
    for group, rows in table.groupby("group", sort=False):
        figure.add_annotation(text=f"<b>{group}</b>", x=0.04, y=top + TITLE_HEIGHT / 2, xanchor="left", showarrow=False)
        for position, row in enumerate(rows.itertuples()):
            _add_cell(figure, row, position % columns, top + TITLE_HEIGHT + position // columns * CELL_HEIGHT)
        top += TITLE_HEIGHT + -(-len(rows) // columns) * CELL_HEIGHT
    figure.update_xaxes(visible=False, range=[0, columns], fixedrange=True)
    figure.update_yaxes(visible=False, range=[top, 0], fixedrange=True)
    return figure.update_layout(height=top + 100, margin={"l": 8, "r": 8, "t": 70, "b": 8})


def sample_sheet(table: pd.DataFrame, card: LabelCard, columns: int = COLUMNS) -> Image.Image:
    """The sheet as a plain image."""
    groups: list[list[Any]] = [list(rows.itertuples()) for _, rows in table.groupby("group", sort=False)]
    heights = [TITLE_HEIGHT + -(-len(rows) // columns) * CELL_HEIGHT for rows in groups]
    sheet = Image.new("RGB", (columns * CELL_WIDTH, sum(heights) + 2 * TITLE_HEIGHT), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(LETTERS)
    for line, text in enumerate(_lines(noise_title(card))):
        pen.text((8, 8 + 20 * line), text, INK, ImageFont.load_default(LETTERS + 2 - line))
    top = 2 * TITLE_HEIGHT
    for rows, height in zip(groups, heights, strict=True):
        pen.text((8, top + 10), rows[0].group, INK, ImageFont.load_default(LETTERS + 1))
        for position, row in enumerate(rows):
            _paste(sheet, pen, font, row, position % columns * CELL_WIDTH, top + TITLE_HEIGHT + position // columns * CELL_HEIGHT)
        top += height
    return sheet


def _words(sample: Mapping[str, Any], card: LabelCard) -> tuple[str, str, str]:
    """Group, first line, second line."""
    num_pristine = card.num_examples - card.num_corrupt
    given = sample["given"]
    if sample["source"] is not None:
        source, index = sample["source"]
        return f"image replaced ({card.num_replaced:,} of {card.num_examples:,})", f"given: {given}", f"{source} {index}"
    if not card.truth_is_known:
        group = "label changed" if sample["is_corrupt"] else "label as published, right or wrong"
        return group, f"given: {given}", f"image {sample['index']}"
    if sample["is_corrupt"]:
        return f"label wrong ({card.num_corrupt:,} of {card.num_examples:,})", f"given: {given}", f"true: {sample['true']}"
    return f"label right ({num_pristine:,} of {card.num_examples:,})", f"given: {given}", f"image {sample['index']}"


def _add_cell(figure: go.Figure, row: Any, column: int, top: float) -> None:
    side = CELL_HEIGHT - 46
    place = {"xref": "x", "yref": "y", "xanchor": "center", "yanchor": "top", "sizing": "contain"}
    figure.add_layout_image(source=_data_uri(row.image), x=column + 0.5, y=top, sizex=0.92, sizey=side, **place)
    text = f"{_short(row.first)}<br>{_short(row.second)}"
    figure.add_annotation(
        text=text, hovertext=f"{row.first}<br>{row.second}", x=column + 0.5, y=top + side + 18, showarrow=False, font={"size": 11}
    )


def _paste(sheet: Image.Image, pen: ImageDraw.ImageDraw, font: Any, row: Any, left: int, top: int) -> None:
    image = _enlarged(row.image)
    image.thumbnail((IMAGE_SIDE, IMAGE_SIDE))
    sheet.paste(image, (left + (CELL_WIDTH - image.width) // 2, top))
    for line, text in enumerate((row.first, row.second)):
        pen.text((left + CELL_WIDTH / 2, top + IMAGE_SIDE + 4 + 17 * line), _short(text), INK, font, anchor="ma")


def _enlarged(pixels: np.ndarray[Any, Any]) -> Image.Image:
    image = Image.fromarray(pixels)
    factor = -(-MIN_PIXELS // image.height)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _data_uri(pixels: np.ndarray[Any, Any]) -> str:
    content = io.BytesIO()
    _enlarged(pixels).save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def _short(text: str) -> str:
    return text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS - 1]}…"


def _lines(title: str) -> Sequence[str]:
    return title.replace("<sup>", "").replace("</sup>", "").split("<br>")
