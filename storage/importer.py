"""Moves what the spool holds into the objects and into rows; the acknowledgement never waits for it."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from storage.domain.arrival import Arrival, QuarantinedObject, SpooledInstance
from storage.domain.association import Association
from storage.domain.first_reading import FirstReading, first_reading
from storage.domain.study import QuarantineReason
from storage.errors import DamagedObject, DatabaseUnavailable, StorageError
from storage.objects.durable import remove, sync_folder, sync_folders
from storage.objects.object_store import ObjectStore
from storage.objects.pending import Entry, PendingEntries
from storage.objects.spool import FileSpool
from storage.objects.sweep import sweep
from storage.ports.arrivals import ArrivalLog
from storage.study_quota import StudyQuota

log = logging.getLogger(__name__)

_BATCH = 100
_POLL_SECONDS = 0.25  # other processes fill the same spool without waking us
_GATHER_SECONDS = 0.05  # a little patience turns a burst of instances into one transaction
_STAND_BACK_SECONDS = 2.0
_BUSY_BYTES = 1024 * 1024  # within _GATHER_SECONDS: 20 MB/s
_RETRY_SECONDS = 30.0  # for entries whose rows were refused
_WRITERS = 4  # objects that are written and synced at the same time


@dataclass
class _Batch:
    """What one transaction writes, and what leaves the spool once it has."""

    arrivals: list[Arrival] = field(default_factory=list)
    quarantined: list[QuarantinedObject] = field(default_factory=list)
    associations: list[Association] = field(default_factory=list)
    folders: set[Path] = field(default_factory=set)  # of the objects that were named
    damaged: set[str] = field(default_factory=set)  # names of entries
    recorded: dict[str, str] = field(default_factory=dict)  # digests that stand in rows already, by SOP Instance UID


@dataclass(frozen=True, slots=True)
class _Draft:
    """An object that has no name yet, the SHA-256 of its data set, and what was read of that."""

    path: Path
    sha256: str
    reading: FirstReading


class _Unacceptable(Exception):
    """The bytes are not those that were acknowledged, or others have the UID."""

    def __init__(self, reason: QuarantineReason) -> None:
        self.reason = reason
        super().__init__(reason)


class SpoolImporter:
    """Imports in order of arrival; one process at a time, and any of them may be killed at any moment."""

    def __init__(self, spool: FileSpool, objects: ObjectStore, arrivals: ArrivalLog) -> None:
        self._folder = spool.folder
        self._pending = PendingEntries(spool.folder)
        self._objects = objects
        self._arrivals = arrivals
        self._quota = StudyQuota(spool.full_studies, arrivals)
        self._refused: set[str] = set()
        self._retry_at = 0.0
        self._swept = False
        self._looked_again = False

    def import_pending(self) -> int:
        """Import what waits now and return how many instances and notes got their rows.

        Returns 0 while another process imports.

        Raises:
            DatabaseUnavailable: the rest stays in the spool.
            OSError: an object could not be made durable; the rest stays in the spool.
        """
        with self._pending.alone() as alone:
            if not alone:
                return 0
            if not self._swept:
                sweep(self._folder)
                self._swept = True
            if not self._looked_again:
                self._quota.look_again()
                self._looked_again = True
            count = sum(self._import_batch(batch) for batch in _batches(self._pending.entries()))
            if time.monotonic() > self._retry_at:
                self._retry_at = time.monotonic() + _RETRY_SECONDS
                count += sum(self._import_batch([entry]) for entry in self._pending.kept_entries())
            if not count:
                self._pending.tidy()
            return count

    def run(self, stop: threading.Event, wake: threading.Event) -> None:
        """Import until ``stop`` is set, whenever ``wake`` is set, and now and then; survives a lost database."""
        trouble = ""
        while not stop.is_set():
            wake.clear()
            previous, trouble = trouble, self._import_or_explain()
            if trouble and trouble != previous:
                log.error("%s Received instances wait in the spool.", trouble)
            elif previous and not trouble:
                log.info("Importing again; what waited in the spool is on its way to its rows.")
            wake.wait(_POLL_SECONDS)
            self._stand_back(stop)

    def _stand_back(self, stop: threading.Event) -> None:
        """Gather a little; while receivers are busy leave them the machine, for a while: rows may come later."""
        until, before = time.monotonic() + _STAND_BACK_SECONDS, self._pending.bytes_written()
        while not stop.wait(_GATHER_SECONDS) and time.monotonic() < until:
            written = self._pending.bytes_written()
            if written - before < _BUSY_BYTES:
                return
            before = written

    def _import_or_explain(self) -> str:
        try:
            self.import_pending()
        except (DatabaseUnavailable, StorageError) as error:
            return str(error)
        except OSError as error:
            return f"The data folder cannot be used ({error.strerror}); check the disk."
        except Exception as error:  # noqa: BLE001  the thread must outlive what nobody foresaw; it tries again
            return f"Importing failed with {type(error).__name__}; it is tried again."
        return ""

    def _import_batch(self, entries: list[Entry]) -> int:
        """Import a batch; when the rows of one entry are refused, the others of its batch still get theirs."""
        try:
            batch = self._collected(entries)
            self._record(batch)
        except DatabaseUnavailable:
            raise
        except StorageError as error:
            if len(entries) > 1:
                return sum(self._import_batch([entry]) for entry in entries)
            self._pending.keep(entries[0])
            self._explain_once(entries[0].name, error)
            return 0
        self._pending.forget(entries, batch.damaged)
        return len(entries)

    def _explain_once(self, name: str, error: StorageError) -> None:
        if name not in self._refused:
            self._refused.add(name)
            log.error("Spool entry %s stays in the spool: %s", name, error)

    def _collected(self, entries: list[Entry]) -> _Batch:
        batch = _Batch()
        uids = {entry.thing.header.sop_instance_uid for entry in entries if isinstance(entry.thing, SpooledInstance)}
        batch.recorded = self._arrivals.digests(uids)  # asked first: without a database nothing is written and synced
        with self._drafts(entries) as drafts:
            self._collect(batch, entries, drafts)
        return batch

    def _collect(self, batch: _Batch, entries: list[Entry], drafts: dict[str, _Draft]) -> None:
        for entry in entries:
            if isinstance(entry.thing, SpooledInstance):
                self._collect_arrival(batch, entry, entry.thing, drafts.get(entry.name))
            elif isinstance(entry.thing, QuarantinedObject):
                self._pending.set_aside(entry, entry.thing.quarantine_id)
                batch.quarantined.append(entry.thing)
            elif isinstance(entry.thing, Association):
                batch.associations.append(entry.thing)
            else:
                log.error("Spool entry %s has a damaged manifest; it was set aside.", entry.name)
                self._pending.set_aside(entry, entry.name)
                batch.quarantined.append(self._pending.unreadable(entry))

    @contextmanager
    def _drafts(self, entries: list[Entry]) -> Iterator[dict[str, _Draft]]:
        """The objects of the entries whose bytes are sound and in the log, written and synced but not named yet.

        What has no name at the end of the block is removed: on a full disk every try would leave some more.
        """
        drafts: dict[str, _Draft] = {}
        firsts = _first_of_each_series(entries)
        try:
            with ThreadPoolExecutor(_WRITERS) as writers:
                for _ in writers.map(lambda entry: self._draft(entry, drafts, entry.name in firsts), entries):
                    pass
            yield drafts
        finally:
            for draft in drafts.values():
                remove(draft.path)

    def _draft(self, entry: Entry, drafts: dict[str, _Draft], of_series: bool) -> None:
        thing = entry.thing
        if not isinstance(thing, SpooledInstance) or entry.record.name:
            return
        with self._pending.part10(entry, thing) as found:
            if found is not None:
                part10, sha256 = found
                path = self._objects.draft(part10, thing.header.sop_instance_uid)
                data_set = part10.content[entry.record.prefix_length :]
                header = thing.header
                syntax = header.transfer_syntax_uid
                reading = first_reading(data_set, header.sop_class_uid, syntax, of_series=of_series)
                drafts[entry.name] = _Draft(path, sha256, reading)

    def _collect_arrival(self, batch: _Batch, entry: Entry, spooled: SpooledInstance, draft: _Draft | None) -> None:
        uid, large = spooled.header.sop_instance_uid, self._pending.large_file(entry)
        sha256 = draft.sha256 if draft else self._pending.sound_sha256(large, spooled) if large else None
        source = draft or large
        try:
            if source is None or sha256 is None:
                sha256 = self._sha256_of_object(spooled)
            else:
                self._name(batch, uid, sha256, source)
        except _Unacceptable as error:
            log.error(
                "Spool entry %s of instance %s was set aside: %s; what was acknowledged has the BLAKE3 %s.",
                *(entry.name, uid, error.reason, spooled.fingerprint),
            )
            if error.reason is QuarantineReason.DAMAGED:
                batch.damaged.add(entry.name)
            self._pending.set_aside(entry, entry.name)
            batch.quarantined.append(self._pending.unacceptable(entry, spooled, error.reason))
        else:
            reading = draft.reading if draft else self._objects.first_reading(spooled.header)
            batch.arrivals.append(spooled.arrived(sha256, reading))

    def _name(self, batch: _Batch, uid: str, sha256: str, source: _Draft | Path) -> None:
        """Give sound bytes the name of the object."""
        if batch.recorded.get(uid, sha256) != sha256:
            # The row outlives a file that was lost; other bytes must not take its place, a copy of the same ones may.
            raise _Unacceptable(QuarantineReason.CONFLICT)
        try:
            if isinstance(source, _Draft):
                batch.folders.add(self._objects.name(source.path, uid))
            else:
                batch.folders.add(self._objects.adopt(source, uid))
        except (FileExistsError, DamagedObject) as error:
            raise _Unacceptable(QuarantineReason.CONFLICT) from error

    def _sha256_of_object(self, spooled: SpooledInstance) -> str:
        """Of what has its object already, because a crash came between its rows and its removal from the spool."""
        try:
            held = self._objects.held(spooled.header.sop_instance_uid)
        except DamagedObject as error:
            raise _Unacceptable(QuarantineReason.CONFLICT) from error
        if held is None or not held.are_of(spooled.fingerprint):
            raise _Unacceptable(QuarantineReason.DAMAGED)
        return held.sha256

    def _record(self, batch: _Batch) -> None:
        sync_folders(batch.folders)
        if batch.quarantined:
            sync_folder(self._folder.quarantined_objects)
        self._quota.apply(self._arrivals.record(batch.arrivals, batch.quarantined, batch.associations))


def _first_of_each_series(entries: Iterable[Entry]) -> set[str]:
    """The names of the entries that speak for their series in a batch; reading it of each would be lost time."""
    names: dict[tuple[str, str], str] = {}
    for entry in entries:
        if isinstance(entry.thing, SpooledInstance):
            header = entry.thing.header
            names.setdefault((header.study_instance_uid, header.series_instance_uid), entry.name)
    return set(names.values())


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    rest = iter(entries)
    while batch := list(islice(rest, _BATCH)):
        yield batch
