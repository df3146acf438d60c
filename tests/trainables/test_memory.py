"""Memory that a step frees is there for the next one."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

# Pages that the kernel clears in a step of two convolutions and batch norm, before and after.
FAULTS = """
import resource, torch
from torch import nn
from trainables.memory import keep_freed_memory

torch.set_num_threads(1)
network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU())
images = torch.zeros(128, 3, 32, 32)

def pages(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        network(images).sum().backward()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / steps

# What a block's neighbours are is chance: the most without, the least with.
freed = max(pages(3) for _ in range(5))
keep_freed_memory()
print(freed, min(pages(3) for _ in range(5)))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_step_finds_the_pages_of_the_one_before():
    root = Path(__file__).parents[2]
    printed = subprocess.run([sys.executable, "-c", FAULTS], cwd=root, capture_output=True, text=True, check=True).stdout
    freed, kept = map(float, printed.split())
    assert kept < 0.2 * freed
