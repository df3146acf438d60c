"""Labels from CSV files: by index, as in the files of Chen et al. 2021, or by path, as in fastai's Noisy Imagenette.

Shapes: N examples.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from noise._base import CleanLabels
from noise._file_labels import FileLabels, Wanted, as_labels, check_length

Row = dict[str, str]


def read_csv(file: Path, content: bytes, wanted: Wanted, clean: CleanLabels) -> FileLabels:
    """The labels that a CSV file with a header gives; row i is training image i unless a column `path` says otherwise.

    Raises:
        ValueError: it is not a CSV file, lacks a column, or does not list the data set's training images once each.
    """
    rows = _rows(file, content)
    column, clean_column = wanted.columns_among(list(rows[0]), file)
    by_path = "path" in rows[0]
    rows = _in_order_of_paths(rows, clean, file) if by_path else rows
    check_length(len(rows), clean, file)
    noisy_N, *clean_labels = _parse(rows, list(filter(None, (column, clean_column))), clean.class_names, file)
    return FileLabels(noisy_N, clean_labels[0] if clean_labels else None, by_path)


def _rows(file: Path, content: bytes) -> list[Row]:
    """The file's rows by column name, at least one."""
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), restkey="", restval=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} is not a CSV file: {error}") from error
    if not rows:
        raise ValueError(f"{file} has no rows: expected a header and one row per training image")
    return rows


def _in_order_of_paths(rows: list[Row], clean: CleanLabels, file: Path) -> list[Row]:
    if clean.paths is None:
        raise ValueError(f"{file} names images by path, but this data set's images have none: use a file by index")
    training = [row for row in rows if not _is_validation(row)]
    by_path = {_normal(row["path"]): row for row in training}
    if len(by_path) < len(training):
        raise ValueError(f"{file} lists {len(training) - len(by_path)} training images twice: keep one row of each")
    missing = [path for path in clean.paths if _normal(path) not in by_path]
    if missing:
        raise ValueError(f"{file} does not list {len(missing)} of {len(clean.paths)} training images, e.g. {missing[0]}")
    check_length(len(by_path), clean, file)
    return [by_path[_normal(path)] for path in clean.paths]


def _is_validation(row: Row) -> bool:
    return row.get("is_valid", "").strip().lower() in ("true", "1")


def _normal(path: str) -> str:
    """The path below the training folder; files name it from above that folder or from within."""
    return path.replace("\\", "/").removeprefix("./").removeprefix("train/")


def _parse(rows: list[Row], columns: list[str], class_names: Sequence[str], file: Path) -> list[Tensor]:
    """Labels (N,) of each column: class names if every value of every column is one, else class numbers."""
    place = {name: label for label, name in enumerate(class_names)}
    if not all(row[column] in place for row in rows for column in columns):
        place = {str(label): label for label in range(len(class_names))}
    return [as_labels(_places(rows, column, place, class_names, file)) for column in columns]


def _places(rows: list[Row], column: str, place: dict[str, int], class_names: Sequence[str], file: Path) -> list[int]:
    try:
        return [place[row[column]] for row in rows]
    except KeyError as error:
        raise ValueError(
            f"{file} has {error.args[0]!r} in column {column!r}: "
            f"expected 0 to {len(class_names) - 1}, or only class names ({', '.join(class_names[:10])}{', …' * (len(class_names) > 10)})"
        ) from error
