"""Figures as files that need no service to be looked at."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

IMAGES = (".png", ".svg", ".pdf")
SUFFIXES = (".html", ".json", *IMAGES)


def write_figure(figure: dict[str, Any], path: Path) -> None:
    """Write a figure, given as JSON values, in the format that the file's name ends in.

    `.html` has plotly.js inside and opens anywhere.

    Raises:
        ValueError: an ending that is not in `SUFFIXES`.
        RuntimeError: an image, without kaleido to make it.
    """
    suffix = check_suffix(path)
    if suffix == ".json":
        path.write_text(json.dumps(figure), encoding="utf-8")
        return
    drawn = go.Figure(figure)
    if suffix == ".html":
        drawn.write_html(path, include_plotlyjs=True)
    else:
        drawn.write_image(path)


def check_suffix(path: Path) -> str:
    """The ending of a file that `write_figure` can write; it raises as that does."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"a figure's file ends in {', '.join(SUFFIXES)}, got {path.name!r}")
    if suffix in IMAGES and importlib.util.find_spec("kaleido") is None:
        raise RuntimeError(f"{suffix} needs kaleido, which is not installed: write .html or .json, or `pip install kaleido`")
    return suffix
