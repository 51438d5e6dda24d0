"""The durable door-step: an instance that was kept here may be acknowledged (docs/decisions/0010).

What is received becomes a record of a log that is synced for many instances at once; large instances are files of
their own that a record names. The importer gives both their objects and rows.
"""

import contextlib
import errno
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from storage.domain.arrival import QuarantinedObject, SpooledInstance
from storage.domain.association import Association
from storage.domain.identifiers import checked_uid
from storage.domain.study import InstanceHeader, KeepOutcome, QuarantineReason
from storage.errors import (
    DamagedObject,
    InvalidIdentifier,
    SpoolFull,
    SpoolOfOlderRelease,
    SpoolWriteFailed,
    StudyFull,
)
from storage.objects.capacity import SpoolCapacity
from storage.objects.claims import Claim, Claims
from storage.objects.direct import direct_flag
from storage.objects.durable import sync_folder
from storage.objects.full_studies import FullStudies
from storage.objects.incoming import Incoming
from storage.objects.layout import DataFolder, new_entry_id
from storage.objects.log_reader import owner_is_alive
from storage.objects.log_record import RecordKind
from storage.objects.log_writer import LogWriter, Ticket
from storage.objects.manifest import association_to_json, quarantined_to_json, spooled_to_json
from storage.objects.object_store import ObjectStore
from storage.objects.peer_shares import PeerShares
from storage.ports.arrivals import IncomingInstance
from storage.settings import SpoolSettings

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_OF_DAMAGE = "of a damaged object"  # equals nothing, so that what arrives now is kept in quarantine
_REMEMBERED = 10_000  # instances of which we know that our own log has them
_PATIENCE = 5.0  # seconds for which we wait to see whether other bytes under a UID are kept
_LOOK_AGAIN = 0.01
_MANIFEST_BYTES = 1000  # about


class FileSpool:
    """Implements the port InstanceSpool; threads share one, each process that receives has its own.

    Raises:
        SpoolOfOlderRelease: what waits cannot be read by this release.
        OSError: no log could be had.
    """

    def __init__(self, folder: DataFolder, settings: SpoolSettings) -> None:
        if next((folder.spool / "entries").glob("*.json"), None) is not None:
            raise SpoolOfOlderRelease
        self._folder = folder
        self._objects = ObjectStore(folder)
        self._capacity = SpoolCapacity(folder, settings)
        self._claims = Claims(folder)
        self._shares = PeerShares(int(settings.cap_bytes * settings.peer_share))
        self._full_studies = FullStudies(folder, settings)
        self._log = LogWriter(folder.logs, settings.gather_milliseconds / 1000)
        self._direct = direct_flag(folder.large)
        self._durable: OrderedDict[str, tuple[str, Ticket]] = OrderedDict()  # by SOP Instance UID: fingerprint, record
        self._durable_lock = threading.Lock()

    def close(self) -> None:
        """Stop being a writer of this spool."""
        self._log.close()
        self._claims.close()

    @property
    def folder(self) -> DataFolder:
        """Where this spool lies."""
        return self._folder

    @property
    def full_studies(self) -> FullStudies:
        """Which studies may have no more."""
        return self._full_studies

    def receive(self, part10_prefix: bytes) -> Incoming:
        """Begin to take an instance."""
        return Incoming(self._folder, self._log.owner, part10_prefix, self._direct, self._capacity.require_free_space)

    def keep(
        self, incoming: IncomingInstance, header: InstanceHeader, association: Association, received_at: datetime
    ) -> KeepOutcome:
        """Make one instance durable and say what became of it; when this returns, it may be acknowledged.

        Raises:
            SpoolFull: the cap or the watermark is reached, or a share of a peer or a study; nothing was kept.
            SpoolWriteFailed: a write or sync failed; the instance must not be acknowledged.
        """
        assert isinstance(incoming, Incoming)  # noqa: S101 - ours made it
        spooled = SpooledInstance(header, incoming.fingerprint, incoming.size, association, received_at)
        with _disk_errors(incoming):
            held = self._take(incoming, spooled)
        if held is None:
            return KeepOutcome.STORED
        if held == spooled.fingerprint:
            incoming.discard()
            return KeepOutcome.ALREADY_HELD
        with _disk_errors(incoming):
            self._require_room_in(header.study_instance_uid)
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
        assert isinstance(incoming, Incoming)  # noqa: S101 - ours made it
        with _disk_errors(incoming):
            quarantined = QuarantinedObject(
                quarantine_id=new_entry_id(),
                reason=reason,
                sop_instance_uid=_conformant_or_empty(sop_instance_uid),
                study_instance_uid=_conformant_or_empty(study_instance_uid),
                sha256=incoming.sha256(),
                size=incoming.size,
                association=association,
                received_at=received_at,
            )
            self._record(RecordKind.QUARANTINED, quarantined_to_json(quarantined), incoming, association)

    def require_room(self) -> None:
        """Raise SpoolFull unless something could be kept now, SpoolWriteFailed when the folder cannot be written."""
        self._capacity.reserve(0)
        if not os.access(self._folder.logs, os.W_OK | os.X_OK):
            raise SpoolWriteFailed

    def record_association(self, association: Association) -> None:
        """Leave a note of an association that ended, for the importer; raises as ``keep`` does."""
        with _disk_errors():
            self._capacity.require_free_space(0)
            self._log.append_note(RecordKind.ASSOCIATION, association_to_json(association))

    def _take(self, incoming: Incoming, spooled: SpooledInstance) -> str | None:
        """Write an instance unless its UID is held: the fingerprint that holds it, ``None`` when it is ours now."""
        uid, fingerprint = spooled.header.sop_instance_uid, spooled.fingerprint
        holder = self._claimed(uid, fingerprint)
        if holder not in (None, fingerprint) and holder == incoming.sha256():
            holder = fingerprint  # claimed by an earlier release, which went by SHA-256
        if holder is not None:
            # Whether the record of another process is still whole we do not know: ours is written too.
            if holder == fingerprint and not self._remembers(uid, fingerprint):
                self._record(RecordKind.INSTANCE, spooled_to_json(spooled), incoming, spooled.association)
            return holder
        try:
            # The importer names the object before it ends the claim: what it finished before our claim, we see.
            held = self._object_fingerprint(uid)
            if held is None:
                self._require_room_in(spooled.header.study_instance_uid)
                ticket = self._record(RecordKind.INSTANCE, spooled_to_json(spooled), incoming, spooled.association)
                self._claims.confirm(uid, fingerprint)
                self._remember(uid, fingerprint, ticket)
                return None
        except BaseException:
            self._claims.give_back(uid, fingerprint)
            raise
        self._claims.give_back(uid, fingerprint)
        return held

    def _require_room_in(self, study_instance_uid: str) -> None:
        if self._full_studies.has(study_instance_uid):
            raise StudyFull

    def _claimed(self, uid: str, fingerprint: str) -> str | None:
        """Claim a UID, alone or with others that bring the same bytes; the fingerprint that holds it durably, if any.

        Raises:
            SpoolWriteFailed: somebody has claimed it for other bytes, and it does not turn out whether they were kept.
        """
        deadline = time.monotonic() + _PATIENCE
        while True:
            holder = self._claims.take(uid, Claim(fingerprint, self._log.owner))
            if holder is None:
                return None
            if holder.durable:
                return holder.fingerprint
            if time.monotonic() > deadline or not owner_is_alive(self._folder, holder.owner):
                raise SpoolWriteFailed
            time.sleep(_LOOK_AGAIN)

    def _record(self, kind: RecordKind, manifest: bytes, incoming: Incoming, association: Association) -> Ticket:
        size = len(incoming.prefix) + incoming.size + _MANIFEST_BYTES
        peer = association.calling_ae_title or association.account
        if not self._shares.has_room(peer, size, self._log.imported):
            raise SpoolFull("One peer has filled its share of the spool; start the database, or raise peer_share.")
        with self._reserved(size):
            incoming.seal()
            if incoming.file_name:
                self._log.count_beside(size)
            pieces = [] if incoming.file_name else incoming.pieces
            ticket = self._log.append(
                kind, manifest, pieces, prefix_length=len(incoming.prefix), name=incoming.file_name
            )
            self._log.commit(ticket)
        self._shares.add(peer, size, ticket.end)
        incoming.let_go()
        return ticket

    def _object_fingerprint(self, sop_instance_uid: str) -> str | None:
        """The fingerprint of the object under this UID, which is durable then."""
        try:
            found = self._objects.held(sop_instance_uid)
            held = found.fingerprint if found else None
        except DamagedObject:
            held = _OF_DAMAGE
        if held is not None:
            sync_folder(self._folder.instance(sop_instance_uid).parent)
        return held

    def _remember(self, uid: str, fingerprint: str, ticket: Ticket) -> None:
        with self._durable_lock:
            self._durable[uid] = fingerprint, ticket
            while self._durable and (len(self._durable) > _REMEMBERED or not self._log.is_pending(self._oldest())):
                self._durable.popitem(last=False)

    def _oldest(self) -> Ticket:
        return next(iter(self._durable.values()))[1]

    def _remembers(self, uid: str, fingerprint: str) -> bool:
        with self._durable_lock:
            known = self._durable.get(uid)
        return known is not None and known[0] == fingerprint and self._log.is_pending(known[1])

    @contextmanager
    def _reserved(self, size: int) -> Iterator[None]:
        self._capacity.reserve(size)
        try:
            yield
        except OSError:
            self._capacity.give_back(size)
            raise


def _conformant_or_empty(uid: str) -> str:
    with contextlib.suppress(InvalidIdentifier):
        return checked_uid(uid, "UID")
    return ""


@contextmanager
def _disk_errors(incoming: Incoming | None = None) -> Iterator[None]:
    try:
        yield
    except (OSError, SpoolFull, SpoolWriteFailed) as error:
        if incoming is not None:
            incoming.discard()
        if not isinstance(error, OSError):
            raise
        if error.errno in _FULL:
            raise SpoolFull() from error
        raise SpoolWriteFailed() from error
