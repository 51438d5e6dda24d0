"""Fetching a pinned package: only those bytes, only once, and one sentence when there is no network."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from overread.fetch import PackageUnavailable, fetch
from overread.packages import PackageFile

CONTENT = b"the pinned bytes"
PACKAGE = PackageFile("pinned", "1.0", "pinned-1.0-py3-none-any.whl", hashlib.sha256(CONTENT).hexdigest())


def test_a_cached_file_costs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package client is not even started when the pinned bytes are there."""
    (tmp_path / PACKAGE.filename).write_bytes(CONTENT)
    monkeypatch.setattr(subprocess, "run", None)

    assert fetch(PACKAGE, tmp_path) == tmp_path / PACKAGE.filename


def test_without_an_index_the_error_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, the user reads what to do, and no half file stays in the cache; a damaged one is not used."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / PACKAGE.filename).write_bytes(b"damaged")

    with pytest.raises(PackageUnavailable, match="connect to the internet") as error:
        fetch(PACKAGE, tmp_path)

    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == [PACKAGE.filename]
