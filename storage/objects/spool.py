"""The durable door-step: an instance that was kept here may be acknowledged (docs/decisions/0002).

An entry is two files, ``<entry id>.dcm`` and ``<entry id>.json``. It counts from the moment its manifest has a second
name in ``claims``, made by an exclusive hard link: a manifest with one link was never acknowledged.
"""

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from storage.domain.arrival import Arrival, QuarantinedObject
from storage.domain.association import Association
from storage.domain.identifiers import checked_uid
from storage.domain.study import InstanceHeader, KeepOutcome, QuarantineReason
from storage.errors import DamagedObject, InvalidIdentifier, SpoolFull, SpoolWriteFailed
from storage.objects.capacity import SpoolCapacity
from storage.objects.durable import remove, sync_folder, write_new
from storage.objects.layout import DataFolder, new_entry_id
from storage.objects.manifest import arrival_from_json, arrival_to_json, association_to_json, quarantined_to_json
from storage.objects.object_store import ObjectStore
from storage.objects.sweep import finish_quarantined, sweep
from storage.ports import IncomingInstance
from storage.settings import SpoolSettings

log = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNKNOWN_DIGEST = "of a damaged object"  # equals nothing, so that what arrives now is kept in quarantine
_CLAIM_TRIES = 100  # each lost try means that another process imported the same UID in between


class HeldInMemory:
    """Implements the port IncomingInstance by keeping everything in memory until it is kept or set aside."""

    def __init__(self, part10_prefix: bytes) -> None:
        self.part10_prefix = part10_prefix
        self._pieces: list[bytes | memoryview] = []
        self.size = 0

    def add(self, piece: bytes | memoryview) -> None:
        """Take the next bytes."""
        self._pieces.append(piece)
        self.size += len(piece)

    def spill(self) -> None:
        """Copy what was referenced."""
        self._pieces = [bytes(piece) for piece in self._pieces]

    def head(self, limit: int) -> bytes:
        """The first bytes of the data set."""
        return self.data_set()[:limit]

    def discard(self) -> None:
        """Forget it."""
        self._pieces = []

    def data_set(self) -> bytes:
        """Everything that came."""
        return b"".join(self._pieces)


class FileSpool:
    """Implements the port InstanceSpool; any number of threads and processes may share one data folder."""

    def __init__(self, folder: DataFolder, settings: SpoolSettings) -> None:
        self._folder = folder
        self._objects = ObjectStore(folder)
        self._capacity = SpoolCapacity(folder, settings)
        self._presence = os.open(folder.spool / "in-use.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._sweep_if_alone()

    def close(self) -> None:
        """Stop counting as a writer of this spool."""
        os.close(self._presence)

    @property
    def folder(self) -> DataFolder:
        """Where this spool lies."""
        return self._folder

    def _sweep_if_alone(self) -> None:
        """Remove what crashed writers left, unless somebody writes: unfinished files look the same as lost ones.

        Who opens the spool first holds the lock alone and sweeps; from then on it is held shared.
        """
        try:
            fcntl.flock(self._presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            count = sweep(self._folder)
            if count:
                log.info("Removed %d unfinished files from the spool.", count)
        fcntl.flock(self._presence, fcntl.LOCK_SH)

    def receive(self, part10_prefix: bytes) -> "HeldInMemory":
        """Begin to take an instance."""
        return HeldInMemory(part10_prefix)

    def keep(
        self, incoming: IncomingInstance, header: InstanceHeader, association: Association, received_at: datetime
    ) -> KeepOutcome:
        """Make one instance durable and say what became of it; when this returns, it may be acknowledged.

        Raises:
            SpoolFull: the cap or the watermark is reached; nothing was kept.
            SpoolWriteFailed: a write or sync failed; the instance must not be acknowledged.
        """
        assert isinstance(incoming, HeldInMemory)  # noqa: S101
        data_set = incoming.data_set()
        sha256 = hashlib.sha256(data_set).hexdigest()
        arrival = Arrival(header, sha256, len(data_set), association, received_at)
        with _disk_errors():
            held = self._held_digest(header.sop_instance_uid)
            if held is None:
                held = self._keep_new(arrival, incoming.part10_prefix, data_set)
        if held is None:
            return KeepOutcome.STORED
        if held == sha256:
            return KeepOutcome.ALREADY_HELD
        self.quarantine(
            incoming,
            QuarantineReason.CONFLICT,
            header.sop_instance_uid,
            header.study_instance_uid,
            association,
            received_at,
        )
        return KeepOutcome.CONFLICT

    def quarantine(
        self,
        incoming: IncomingInstance,
        reason: QuarantineReason,
        sop_instance_uid: str,
        study_instance_uid: str,
        association: Association,
        received_at: datetime,
    ) -> None:
        """Set received bytes aside, durably; raises as ``keep`` does."""
        assert isinstance(incoming, HeldInMemory)  # noqa: S101
        data_set = incoming.data_set()
        quarantined = QuarantinedObject(
            quarantine_id=new_entry_id(),
            reason=reason,
            sop_instance_uid=_conformant_or_empty(sop_instance_uid),
            study_instance_uid=_conformant_or_empty(study_instance_uid),
            sha256=hashlib.sha256(data_set).hexdigest(),
            size=len(data_set),
            association=association,
            received_at=received_at,
        )
        with _disk_errors(), self._reserved(len(data_set)):
            draft = self._folder.quarantined(quarantined.quarantine_id).with_suffix(".part")
            write_new(draft, data_set)
            sync_folder(draft.parent)
            note = self._folder.quarantine_notes / f"{quarantined.quarantine_id}.json"
            try:
                _write_note(note, quarantined_to_json(quarantined))
            except OSError:
                remove(draft)
                raise
            finish_quarantined(self._folder, quarantined.quarantine_id)

    def require_room(self) -> None:
        """Raise SpoolFull unless something could be kept now, SpoolWriteFailed when the folder cannot be written."""
        self._capacity.reserve(0)
        if not os.access(self._folder.entries, os.W_OK | os.X_OK):
            raise SpoolWriteFailed

    def record_association(self, association: Association) -> None:
        """Leave a note of an association that ended, for the importer; raises as ``keep`` does."""
        with _disk_errors():
            self._capacity.require_free_space(0)
            _write_note(self._folder.association_notes / f"{new_entry_id()}.json", association_to_json(association))

    def _keep_new(self, arrival: Arrival, part10_prefix: bytes, data_set: bytes) -> str | None:
        """Write an entry and claim its UID; return the digest that already holds the UID, ``None`` when it is ours."""
        entry_id = new_entry_id()
        data = self._folder.entries / f"{entry_id}.dcm"
        draft = data.with_suffix(".part")
        manifest = data.with_suffix(".json")
        content = arrival_to_json(arrival)
        claimed = False
        with self._reserved(len(part10_prefix) + len(data_set) + len(content)):
            try:
                write_new(draft, part10_prefix, data_set)
                draft.rename(data)
                write_new(manifest, content)
                # Before the claim: a claim that survives a power cut must never name files that did not.
                sync_folder(self._folder.entries)
                held = self._claim(manifest, arrival.header.sop_instance_uid)
                claimed = held is None
            finally:
                if not claimed:
                    for path in (draft, data, manifest):
                        remove(path)
            if claimed:
                # A failure from here on leaves the entry in place: a sender that raced us may already rely on it.
                sync_folder(self._folder.claims)
        return held

    def _claim(self, manifest: Path, sop_instance_uid: str) -> str | None:
        claim = self._folder.claim(sop_instance_uid)
        for _ in range(_CLAIM_TRIES):
            try:
                os.link(manifest, claim)
            except FileExistsError:
                held = self._held_digest(sop_instance_uid)
                if held is not None:
                    return held
                continue  # imported between the two looks
            # The importer names the object before it gives up the claim: if it finished before our link, we see it.
            held = self._object_digest(sop_instance_uid)
            if held is not None:
                remove(claim)
            return held
        raise SpoolWriteFailed()

    def _held_digest(self, sop_instance_uid: str) -> str | None:
        """The digest that holds this UID durably, in the objects or in the spool."""
        held = self._object_digest(sop_instance_uid)
        if held is not None:
            sync_folder(self._folder.instance(sop_instance_uid).parent)
            return held
        try:
            with self._folder.claim(sop_instance_uid).open("rb") as claim:
                content = claim.read()
                entry_exists = os.fstat(claim.fileno()).st_nlink > 1
        except FileNotFoundError:
            return self._object_digest(sop_instance_uid)
        if not entry_exists:  # imported this moment, or left over from a crash until the next sweep
            held = self._object_digest(sop_instance_uid)
            if held is None:
                raise SpoolWriteFailed()
            return held
        sync_folder(self._folder.claims)  # the one who linked it may not have come so far yet
        try:
            return arrival_from_json(content).sha256
        except DamagedObject as error:
            raise SpoolWriteFailed() from error  # the importer sets the damaged manifest aside, then there is room

    def _object_digest(self, sop_instance_uid: str) -> str | None:
        try:
            return self._objects.held_digest(sop_instance_uid)
        except DamagedObject:
            return _UNKNOWN_DIGEST

    @contextmanager
    def _reserved(self, size: int) -> Iterator[None]:
        self._capacity.reserve(size)
        try:
            yield
        except OSError:
            self._capacity.give_back(size)
            raise


def _write_note(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".part")
    write_new(draft, content)
    try:
        draft.rename(path)
    except OSError:
        remove(draft)
        raise
    sync_folder(path.parent)


def _conformant_or_empty(uid: str) -> str:
    with contextlib.suppress(InvalidIdentifier):
        return checked_uid(uid, "UID")
    return ""


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise SpoolFull() from error
        raise SpoolWriteFailed() from error
