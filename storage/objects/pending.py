"""What waits in the spool, in the order of arrival, and how an entry leaves it."""

import contextlib
import fcntl
import hashlib
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from storage.domain.arrival import Arrival, QuarantinedObject
from storage.domain.association import Association
from storage.domain.study import QuarantineReason
from storage.errors import DamagedObject
from storage.objects.durable import remove
from storage.objects.layout import DataFolder
from storage.objects.manifest import arrival_from_json, association_from_json, quarantined_from_json
from storage.objects.part10 import data_set_digest
from storage.objects.sweep import finish_quarantined

log = logging.getLogger(__name__)


class PendingEntries:
    """The importer's view of the spool."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the right to import; gives ``False`` when another process has it."""
        lock = os.open(self._folder.spool / "import.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)

    def instances(self) -> list[str]:
        """Identifiers of the entries that hold an instance, oldest first."""
        return sorted(path.stem for path in self._folder.entries.glob("*.json"))

    def quarantine_notes(self) -> list[Path]:
        """Notes of bytes that were set aside, oldest first."""
        return sorted(self._folder.quarantine_notes.glob("*.json"))

    def association_notes(self) -> list[Path]:
        """Notes of associations that ended, oldest first."""
        return sorted(self._folder.association_notes.glob("*.json"))

    def data(self, entry_id: str) -> Path:
        """The Part 10 file of an entry."""
        return self._folder.entries / f"{entry_id}.dcm"

    def arrival(self, entry_id: str) -> Arrival | None:
        """What an entry's manifest says; ``None`` when the entry is not, or no longer, claimed.

        Raises:
            DamagedObject: the manifest cannot be read.
        """
        try:
            with self._manifest(entry_id).open("rb") as manifest:
                if os.fstat(manifest.fileno()).st_nlink < 2:
                    return None
                return arrival_from_json(manifest.read())
        except FileNotFoundError:
            return None

    def quarantined(self, note: Path) -> QuarantinedObject | None:
        """What a note says; a note that cannot be read is put out of the way and ``None`` is returned."""
        try:
            quarantined = quarantined_from_json(note.read_bytes())
        except DamagedObject:
            _put_away(note)
            return None
        finish_quarantined(self._folder, quarantined.quarantine_id)
        return quarantined

    def association(self, note: Path) -> Association | None:
        """What a note says; a note that cannot be read is put out of the way and ``None`` is returned."""
        try:
            return association_from_json(note.read_bytes())
        except DamagedObject:
            _put_away(note)
            return None

    def set_aside(self, entry_id: str, arrival: Arrival, reason: QuarantineReason) -> QuarantinedObject:
        """Link an entry's bytes into quarantine under the entry's own identifier; doing it twice changes nothing."""
        self._link_into_quarantine(entry_id)
        return QuarantinedObject(
            quarantine_id=entry_id,
            reason=reason,
            sop_instance_uid=arrival.header.sop_instance_uid,
            study_instance_uid=arrival.header.study_instance_uid,
            sha256=arrival.sha256,
            size=arrival.size,
            association=arrival.association,
            received_at=arrival.received_at,
        )

    def set_aside_unreadable(self, entry_id: str) -> QuarantinedObject:
        """The same for an entry whose manifest is damaged: who sent it is not known any more."""
        self._link_into_quarantine(entry_id)
        with contextlib.suppress(FileExistsError):
            os.link(self._manifest(entry_id), self._folder.quarantined(entry_id).with_suffix(".json"))
        status = self._manifest(entry_id).stat()
        received_at = datetime.fromtimestamp(status.st_mtime, UTC)
        nobody = Association(
            association_id=str(uuid.uuid5(uuid.NAMESPACE_OID, entry_id)),
            calling_ae_title="",
            called_ae_title="",
            remote_address="",
            started_at=received_at,
            reason="The manifest in the spool was damaged, so the association is not known.",
        )
        sha256, size = self._digest_of_what_is_left(entry_id)
        return QuarantinedObject(entry_id, QuarantineReason.DAMAGED, "", "", sha256, size, nobody, received_at)

    def forget(self, entry_id: str, sop_instance_uid: str) -> None:
        """Remove an entry that has its rows; the claim goes first, so that a crash in between leaves it unclaimed."""
        manifest = self._manifest(entry_id)
        claim = self._folder.claim(sop_instance_uid) if sop_instance_uid else self._claim_of(manifest)
        with contextlib.suppress(FileNotFoundError):
            if claim is not None and claim.samefile(manifest):
                remove(claim)
        remove(manifest)
        remove(self.data(entry_id))

    def _digest_of_what_is_left(self, entry_id: str) -> tuple[str, int]:
        try:
            return data_set_digest(self.data(entry_id))
        except DamagedObject:
            content = self.data(entry_id).read_bytes()
        except FileNotFoundError:
            content = b""
        return hashlib.sha256(content).hexdigest(), len(content)

    def _claim_of(self, manifest: Path) -> Path | None:
        inode = manifest.stat().st_ino
        with os.scandir(self._folder.claims) as items:
            return next((Path(item.path) for item in items if item.inode() == inode), None)

    def _link_into_quarantine(self, entry_id: str) -> None:
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.link(self.data(entry_id), self._folder.quarantined(entry_id))

    def _manifest(self, entry_id: str) -> Path:
        return self._folder.entries / f"{entry_id}.json"


def _put_away(note: Path) -> None:
    log.error("The note %s in the spool cannot be read; it was renamed and is not recorded.", note.name)
    with contextlib.suppress(OSError):
        note.rename(note.with_suffix(".damaged"))
