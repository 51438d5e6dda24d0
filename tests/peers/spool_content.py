"""What waits in a spool, seen from outside: read with the product's own reader, without the right to import."""

import hashlib
from pathlib import Path

from storage.objects.layout import DataFolder
from storage.objects.log_reader import LogReader, LogRecord, log_folders
from storage.objects.log_record import RecordKind
from storage.objects.manifest import quarantined_from_json, spooled_from_json


def waiting(data_dir: Path, kind: RecordKind | None = RecordKind.INSTANCE) -> list[LogRecord]:
    """The records of a kind that have no rows yet; ``None`` gives those that are damaged."""
    found = []
    for folder in log_folders(DataFolder(data_dir)):
        reader = LogReader(folder)
        found += [record for record in reader.records(reader.position) if record.kind is kind]
        reader.close()
    return found


def part10_of(data_dir: Path, record: LogRecord) -> bytes:
    """The file that a record will become."""
    return (data_dir / "spool" / "large" / record.name).read_bytes() if record.name else record.data


def waiting_digests(data_dir: Path) -> dict[str, str]:
    """SOP Instance UID and SHA-256 of every data set that waits, from the bytes themselves."""
    found = {}
    for record in waiting(data_dir):
        data_set = part10_of(data_dir, record)[record.prefix_length :]
        found[spooled_from_json(record.manifest).header.sop_instance_uid] = hashlib.sha256(data_set).hexdigest()
    return found


def waiting_quarantined(data_dir: Path) -> list[tuple[str, bytes]]:
    """Reason and data set of everything that waits to be set aside."""
    return [
        (
            str(quarantined_from_json(record.manifest).reason),
            part10_of(data_dir, record)[record.prefix_length :],
        )
        for record in waiting(data_dir, RecordKind.QUARANTINED)
    ]
