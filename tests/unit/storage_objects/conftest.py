"""One instance as the door hands it over, and a data folder of its own for each test."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from listener.scp.file_meta import part10_prefix
from storage.domain.association import Association
from storage.domain.study import InstanceHeader, KeepOutcome
from storage.objects.layout import DataFolder
from storage.objects.spool import FileSpool
from storage.settings import SpoolSettings

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ASSOCIATION = Association("0b5a1c62-8a3b-4d7e-9a51-000000000001", "CT1", "OVERREAD", "127.0.0.1", NOW)


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A fresh data folder."""
    return DataFolder(tmp_path / "data")


@pytest.fixture
def spool(folder: DataFolder) -> FileSpool:
    """A spool with plenty of room."""
    return FileSpool(folder, SpoolSettings(min_free_bytes=0))


@pytest.fixture
def header() -> Callable[[str], InstanceHeader]:
    """Makes the header of an instance with a given SOP Instance UID."""
    return lambda uid: InstanceHeader(
        "1.2.840.10008.5.1.4.1.1.2", uid, "1.2.3", "1.2.3.4", "1.2.840.10008.1.2.1", patient_id="P1", series_number=3
    )


@pytest.fixture
def keep(header: Callable[[str], InstanceHeader]) -> Callable[[FileSpool, str, bytes], KeepOutcome]:
    """Keeps a data set under a SOP Instance UID."""

    def keep_one(spool: FileSpool, uid: str, data_set: bytes) -> KeepOutcome:
        made = header(uid)
        incoming = spool.receive(part10_prefix(made.sop_class_uid, uid, made.transfer_syntax_uid, "CT1"))
        incoming.add(data_set)
        return spool.keep(incoming, made, ASSOCIATION, NOW)

    return keep_one
