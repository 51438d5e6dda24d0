"""Results that are owed to the peers of these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.settings import JobSettings
from tests.peers.result_desk import ResultDesk


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[ResultDesk]:
    """A fresh database and data folder; leases are as short as they may be."""
    desk = ResultDesk(database_url, tmp_path / "data", JobSettings(lease_seconds=1))
    yield desk
    desk.close()
