"""The demo's pinned packages, fetched once for all runs on this machine."""

import os
import tempfile
from pathlib import Path

import pytest

from overread.fetch import PackageUnavailable, fetch
from overread.packages import DEEPBRAIN, PYDEFACE, PackageFile

_CACHE = Path(os.environ.get("OVERREAD_TEST_CACHE") or Path(tempfile.gettempdir()) / "overread-test-packages")


def _fetched(package: PackageFile) -> Path:
    try:
        return fetch(package, _CACHE)
    except PackageUnavailable as error:
        pytest.skip(f"the package index cannot be reached: {error}")


@pytest.fixture(scope="session")
def deepbrain_wheel() -> Path:
    """The wheel with the network."""
    return _fetched(DEEPBRAIN)


@pytest.fixture(scope="session")
def pydeface_sdist() -> Path:
    """The source distribution with the head."""
    return _fetched(PYDEFACE)
