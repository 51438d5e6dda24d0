"""The promise, checked: what the sender's ledger says was acknowledged is stored, once, byte for byte."""

from dataclasses import dataclass, fields
from pathlib import Path

from overread.torture.ledger import SUCCESS, acknowledged, read_ledger
from overread.torture.store_reading import read_store
from storage.postgres.engine import open_database
from storage.postgres.overview import Overview
from storage.postgres.recorded_instances import quarantined_digests, recorded_digests

_NAMED = 3  # of each kind of fault, so that a bad run stays readable


@dataclass(frozen=True)
class Verdict:
    """What was found; every list but ``acknowledged`` names UIDs or files, and all must be empty."""

    acknowledged: int
    without_file: tuple[str, ...]
    without_row: tuple[str, ...]
    other_bytes_in_file: tuple[str, ...]
    other_bytes_in_row: tuple[str, ...]
    stored_twice: tuple[str, ...]
    acknowledged_with_two_contents: tuple[str, ...]
    also_quarantined: tuple[str, ...]
    unaccounted_for: tuple[str, ...]
    half_files: tuple[str, ...]
    files_without_row: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the promise was kept."""
        return not self.faults()

    def faults(self) -> list[str]:
        """One sentence for each kind of fault."""
        return [
            f"{len(names)} {field.name.replace('_', ' ')}: {', '.join(names[:_NAMED])}{' …' * (len(names) > _NAMED)}"
            for field in fields(self)
            if isinstance(names := getattr(self, field.name), tuple) and names
        ]


def check_promise(ledger: Path, data_dir: Path, database_url: str) -> Verdict:
    """Compare the ledger with the files and the rows; to be called once everything has its rows.

    Raises:
        DatabaseUnavailable: the server does not answer.
    """
    database = open_database(database_url, "overread torture")
    try:
        rows = recorded_digests(database)
        aside = quarantined_digests(database)
        silent = Overview(database).no_silent_state()
    finally:
        database.close()
    entries = read_ledger(ledger)
    promised = acknowledged(entries)
    files = read_store(data_dir)
    return Verdict(
        acknowledged=len(promised),
        without_file=tuple(uid for uid in promised if uid not in files.digests),
        without_row=tuple(uid for uid in promised if uid not in rows),
        other_bytes_in_file=tuple(
            uid for uid, sha256 in promised.items() if sha256 not in files.digests.get(uid, [sha256])
        ),
        other_bytes_in_row=tuple(uid for uid, sha256 in promised.items() if rows.get(uid, sha256) != sha256),
        stored_twice=tuple(uid for uid, digests in files.digests.items() if len(digests) > 1),
        acknowledged_with_two_contents=tuple(
            one.sop_instance_uid
            for one in entries
            if one.status == SUCCESS and one.sha256 != promised[one.sop_instance_uid]
        ),
        also_quarantined=tuple(uid for uid, sha256 in promised.items() if (uid, sha256) in aside),
        unaccounted_for=tuple(str(fact.get("sop_instance_uid", fact)) for fact in silent),
        half_files=tuple(files.broken),
        files_without_row=tuple(uid for uid in files.digests if uid not in rows),
    )
