"""The web door over a fresh database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.web_door import WebDoor, opened


@pytest.fixture
def web_door(database_url: str, tmp_path: Path) -> Iterator[WebDoor]:
    """A door on loopback with one account of each role."""
    with opened(database_url, tmp_path) as door:
        yield door
