"""Fixtures that several packages' tests share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with CIFAR-10 and the papers' label files; the test is skipped where there is none."""
    folder = Path(os.environ.get("NOISEGRID_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing: set NOISEGRID_SHARED_DATA to the folder with cifar10_jpeg.tar.xz and sln_labels/")
    return folder
