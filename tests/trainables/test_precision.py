"""Arithmetic that repeats: what is set for a GPU, and that nothing is for a CPU."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.runs import CPU, digits_run, record
from trainables import train

PROGRAM = """
import json, os, sys, torch
from trainables.precision import make_repeatable

make_repeatable(torch.device(sys.argv[1]))
print(json.dumps({
    "deterministic": torch.are_deterministic_algorithms_enabled(),
    "fills memory": torch.utils.deterministic.fill_uninitialized_memory,
    "TF32": [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32],
    "cuBLAS": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
}))
"""
AS_PYTORCH_HAS_IT = {"deterministic": False, "fills memory": True, "TF32": [True, False], "cuBLAS": None}
REPEATABLE = {"deterministic": True, "fills memory": False, "TF32": [False, False], "cuBLAS": ":4096:8"}


@pytest.mark.parametrize(("device", "expected"), [("cpu", AS_PYTORCH_HAS_IT), ("cuda", REPEATABLE)])
def test_a_gpu_repeats_its_numbers_and_rounds_as_float32_does(device: str, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    # In a process of its own: the settings are the whole process's.
    command = [sys.executable, "-c", PROGRAM, device]
    found = subprocess.run(command, cwd=Path(__file__).parents[2], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert json.loads(found) == expected


def test_a_run_asks_for_it_on_its_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[torch.device] = []
    monkeypatch.setattr(train, "make_repeatable", asked.append)
    record(digits_run(epochs=1), tmp_path)
    assert asked == [CPU]
