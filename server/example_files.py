"""Example files: what finished runs made of each training example, as their workers sent it."""

import os
from pathlib import Path

from server.settings import Settings
from spec.problems import InvalidInputError, Problem
from spec.records import EXAMPLES
from trainables.measures.examples import ExampleFits, read_fits

# 50,000 examples take 0.5 MB for each model; a million, with both models, less than half of this.
MAX_BYTES = 64 * 2**20


def example_file(settings: Settings, run_id: str) -> Path:
    """Where a run's file lies: in the run's folder, where its worker has written it itself if it is on this machine."""
    return settings.runs_dir / run_id / EXAMPLES


def keep_examples(settings: Settings, run_id: str, content: bytes) -> ExampleFits:
    """Keep a run's file, in place of one that there is.

    Raises:
        InvalidInputError: it is no such file.
    """
    try:
        fits = read_fits(content, MAX_BYTES)
    except ValueError as error:
        raise InvalidInputError([Problem(path="", message=f"the file cannot be taken: {error}")]) from None
    path = example_file(settings, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.received")
    partial.write_bytes(content)
    partial.replace(path)
    return fits


def read_examples(settings: Settings, run_id: str) -> ExampleFits | None:
    """A run's fits; None where it has left none (yet).

    Raises:
        ValueError: the file was spoilt since it came.
    """
    path = example_file(settings, run_id)
    return read_fits(path.read_bytes(), MAX_BYTES) if path.exists() else None
