"""What every benchmark prints: a table of ratios, and JSON that says on what machine they were measured."""

import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context, set_start_method
from pathlib import Path
from typing import Any, Self

import torch


class Apart:
    """A contestant in a process of its own: what another one sets there, its threads or its memory, does not act on it."""

    _figures: Iterator[float]

    def __init__(self, make: Callable[..., Iterator[float]], *arguments: Any) -> None:
        self._process = ProcessPoolExecutor(1, get_context("spawn"), self._begin, (make, *arguments))
        # Started now, so that no figure holds its imports.
        self._process.submit(int).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.shutdown()

    def __call__(self) -> float:
        """The next of its figures."""
        return self._process.submit(self._next).result()

    @classmethod
    def _begin(cls, make: Callable[..., Iterator[float]], *arguments: Any) -> None:
        # A spawned process would spawn loader processes, too, which no program does that a user starts.
        set_start_method(None, force=True)
        cls._figures = make(*arguments)

    @classmethod
    def _next(cls) -> float:
        return next(cls._figures)


def interleaved(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each contestant's figure in each round. Taking turns, they share whatever else the machine is doing."""
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            figures[name].append(measure())
    return figures


def ratio_rows(figures: dict[str, list[float]], reference: str, unit: str) -> list[dict[str, Any]]:
    """For each contestant its median figure, and the median, least and greatest of its per-round ratios to the reference."""
    rows = []
    for name, values in figures.items():
        ratios = [value / base for value, base in zip(values, figures[reference], strict=True)]
        rows.append(
            {
                "contestant": name,
                unit: statistics.median(values),
                "ratio": statistics.median(ratios),
                "least": min(ratios),
                "greatest": max(ratios),
            }
        )
    return rows


def machine() -> dict[str, Any]:
    """The machine and the versions, as far as they matter to a timing."""
    cpuinfo = Path("/proc/cpuinfo")
    models = (
        [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.exists()
        else []
    )
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "ray": _version("ray"),
    }


def _version(package: str) -> str | None:
    """None where it is not installed: the programs that do without Ray run without it, too."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def print_report(title: str, rows: Iterable[dict[str, Any]], out: Path | None, **settings: Any) -> None:
    """Print the table; then the whole report as JSON, to `out` where it is given."""
    rows = list(rows)
    print(title)
    cells = [[_text(value) for value in row.values()] for row in rows]
    header = list(rows[0])
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    for line in [header, *cells]:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)))
    report = json.dumps({"title": title, "settings": settings, "machine": machine(), "rows": rows}, indent=2)
    if out is None:
        print(report)
    else:
        out.write_text(report + "\n")
        print(f"written to {out}", file=sys.stderr)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
