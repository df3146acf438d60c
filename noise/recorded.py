"""Recorded noise: labels from a CSV file, as people or a published generator made them.

By index: columns `label,label_noisy`, where row i is training image i, as in the files of Chen et al., "Noise
against noise", ICLR 2021. By path: a column `path`, as in fastai's Noisy Imagenette. A label is a class name or
the number of a class. The file's clean labels are compared with the data set's, so that a file in another
order is refused instead of being read as more noise.
"""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor

from noise._base import NOISES, CleanLabels
from spec.registry import Params, did_you_mean

# What published files call their clean labels: Chen et al.'s, Noisy Imagenette's.
CLEAN_COLUMNS = ("label", "noisy_labels_0")

Row = dict[str, str]


class RecordedParams(Params):
    """Labels as a file gives them. The label seed changes nothing."""

    path: str = Field(min_length=1, description="CSV file with a header; relative names start from the data folder")
    column: str = Field("label_noisy", description="column of the noisy labels, e.g. noisy_labels_5")
    clean_column: str | None = Field(None, description="column of the clean labels; `label` or `noisy_labels_0` where not given")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="the file's SHA-256; another content is refused")


@NOISES.register("recorded", RecordedParams)
def recorded(clean: CleanLabels, params: RecordedParams, generator: torch.Generator) -> Tensor:
    """The file's noisy labels, in the data set's order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has another content than `sha256`, lacks a column, or is not about this data set.
    """
    file = clean.root / params.path
    rows = read_rows(file, params.sha256)
    clean_column = _clean_column(params, list(rows[0]), file)
    rows = _in_data_set_order(rows, clean, file)
    columns = [params.column] if clean_column is None else [params.column, clean_column]
    noisy_N, *given_clean = _parse(rows, columns, clean.class_names, file)
    for given_N in given_clean:
        _check_clean(given_N, clean, file)
    return noisy_N


def read_rows(file: Path, sha256: str | None) -> list[Row]:
    """The file's rows by column name, at least one."""
    if not file.is_file():
        raise FileNotFoundError(f"label file {file} is missing: put it there, or give noise.path in full")
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise ValueError(f"{file} has SHA-256 {found}, but noise.sha256 asks for {sha256}: it is another file, or another version")
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), restkey="", restval=""))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file} is not a CSV file: {error}") from error
    if not rows:
        raise ValueError(f"{file} has no rows: expected a header and one row per training image")
    return rows


def _clean_column(params: RecordedParams, columns: list[str], file: Path) -> str | None:
    """The column that the clean labels are in; None where images are known by their paths, and need none."""
    for wanted in filter(None, (params.column, params.clean_column)):
        if wanted not in columns:
            raise ValueError(f"{file} has no column {wanted!r}: expected one of {', '.join(columns)}{did_you_mean(wanted, columns)}")
    found = params.clean_column or next((name for name in CLEAN_COLUMNS if name in columns), None)
    if found is None and "path" not in columns:
        raise ValueError(
            f"{file} has neither paths nor clean labels ({', '.join(CLEAN_COLUMNS)}), so its order cannot be checked: "
            "add a column with the clean labels and name it in noise.clean_column"
        )
    return found


def _in_data_set_order(rows: list[Row], clean: CleanLabels, file: Path) -> list[Row]:
    if "path" not in rows[0]:
        _check_length(len(rows), clean, file)
        return rows
    if clean.paths is None:
        raise ValueError(f"{file} names images by path, but this data set's images have none: use a file by index")
    training = [row for row in rows if not _is_validation(row)]
    by_path = {_normal(row["path"]): row for row in training}
    if len(by_path) < len(training):
        raise ValueError(f"{file} lists {len(training) - len(by_path)} training images twice: keep one row of each")
    missing = [path for path in clean.paths if _normal(path) not in by_path]
    if missing:
        raise ValueError(f"{file} does not list {len(missing)} of {len(clean.paths)} training images, e.g. {missing[0]}")
    _check_length(len(by_path), clean, file)
    return [by_path[_normal(path)] for path in clean.paths]


def _is_validation(row: Row) -> bool:
    return row.get("is_valid", "").strip().lower() in ("true", "1")


def _normal(path: str) -> str:
    """The path below the training folder; files name it from above that folder or from within."""
    return path.replace("\\", "/").removeprefix("./").removeprefix("train/")


def _check_length(num_rows: int, clean: CleanLabels, file: Path) -> None:
    if num_rows != len(clean.labels_N):
        raise ValueError(f"{file} is about {num_rows} training images, but the data set has {len(clean.labels_N)}")


def _parse(rows: list[Row], columns: list[str], class_names: Sequence[str], file: Path) -> list[Tensor]:
    """Labels (N,) of each column: class names if every value of every column is one, else class numbers."""
    place = {name: label for label, name in enumerate(class_names)}
    if not all(row[column] in place for row in rows for column in columns):
        place = {str(label): label for label in range(len(class_names))}
    return [torch.tensor(_places(rows, column, place, class_names, file)) for column in columns]


def _places(rows: list[Row], column: str, place: dict[str, int], class_names: Sequence[str], file: Path) -> list[int]:
    try:
        return [place[row[column]] for row in rows]
    except KeyError as error:
        raise ValueError(
            f"{file} has {error.args[0]!r} in column {column!r}: "
            f"expected 0 to {len(class_names) - 1}, or only class names ({', '.join(class_names[:10])}{', …' * (len(class_names) > 10)})"
        ) from error


def _check_clean(given_N: Tensor, clean: CleanLabels, file: Path) -> None:
    differs_N = given_N != clean.labels_N
    if differs_N.any():
        first = int(differs_N.nonzero()[0])
        in_file, in_data_set = (clean.class_names[int(labels_N[first])] for labels_N in (given_N, clean.labels_N))
        raise ValueError(
            f"{file} is in another order, or about another data set: its clean labels differ for {int(differs_N.sum())} of "
            f"{len(given_N)} training images, first for image {first} ({in_file} in the file, {in_data_set} in the data set)"
        )
