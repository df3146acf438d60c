"""Every benchmark runs, and says on what machine it did. How fast anything was is no test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ON_RAY = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    "program",
    [
        "benchmarks.input",
        "benchmarks.train_step",
        "benchmarks.packing",
        pytest.param("benchmarks.grid", marks=ON_RAY),
        pytest.param("benchmarks.grid --grid methods", marks=ON_RAY),
        pytest.param("benchmarks.empty_runs", marks=ON_RAY),
    ],
)
def test_a_benchmark_reports_ratios_to_its_reference_and_its_machine(program: str, tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", *program.split(), "--quick", "--out", str(tmp_path / "report.json")]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, timeout=580)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["machine"].keys() >= {"processor", "cores", "load", "torch", "ray"}
    assert all(row["ratio"] > 0 and row["least"] <= row["ratio"] <= row["greatest"] for row in report["rows"])
    assert any(row["ratio"] == 1 for row in report["rows"])
    assert len({row["contestant"] for row in report["rows"]}) == len(report["rows"]) >= 2
