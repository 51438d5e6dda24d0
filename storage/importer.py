"""Moves what the spool holds into the objects and into rows; the acknowledgement never waits for it."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from storage.domain.arrival import Arrival, QuarantinedObject
from storage.domain.association import Association
from storage.domain.study import QuarantineReason
from storage.errors import DamagedObject, DatabaseUnavailable, StorageError
from storage.objects.durable import remove, sync_folder, sync_folders
from storage.objects.object_store import ObjectStore
from storage.objects.part10 import data_set_digest
from storage.objects.pending import PendingEntries
from storage.objects.spool import FileSpool
from storage.ports import ArrivalLog

log = logging.getLogger(__name__)

_Item = TypeVar("_Item")

_BATCH = 100
_POLL_SECONDS = 1.0  # other processes fill the same spool without waking us
_GATHER_SECONDS = 0.05  # a little patience turns a burst of instances into one transaction


@dataclass
class _Batch:
    """What one transaction writes, and what leaves the spool once it has."""

    arrivals: list[Arrival] = field(default_factory=list)
    quarantined: list[QuarantinedObject] = field(default_factory=list)
    associations: list[Association] = field(default_factory=list)
    entries: list[tuple[str, str]] = field(default_factory=list)  # entry id, SOP Instance UID
    notes: list[Path] = field(default_factory=list)
    folders: set[Path] = field(default_factory=set)  # of the objects that were named


class SpoolImporter:
    """Imports in order of arrival; one process at a time, and any of them may be killed at any moment."""

    def __init__(self, spool: FileSpool, objects: ObjectStore, arrivals: ArrivalLog) -> None:
        self._folder = spool.folder
        self._pending = PendingEntries(spool.folder)
        self._objects = objects
        self._arrivals = arrivals
        self._refused: set[str] = set()

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
            # Notes are listed first: the instances of an association that has ended are then surely in the list.
            associations, quarantine_notes = self._pending.association_notes(), self._pending.quarantine_notes()
            count = 0
            count += self._import(self._pending.instances(), self._collect_instances)
            count += self._import(quarantine_notes, self._collect_quarantined)
            count += self._import(associations, self._collect_associations)
            return count

    def _import(self, items: list[_Item], collect: Callable[[list[_Item]], _Batch]) -> int:
        """Import in batches; when the rows of one item are refused, the others of its batch still get theirs."""
        count = 0
        for start in range(0, len(items), _BATCH):
            part = items[start : start + _BATCH]
            try:
                count += self._record(collect(part))
            except DatabaseUnavailable:
                raise
            except StorageError as error:
                if len(items) > 1:
                    count += sum(self._import([item], collect) for item in part)
                else:
                    self._explain_once(str(part[0]), error)
        return count

    def _explain_once(self, item: str, error: StorageError) -> None:
        if item not in self._refused:
            self._refused.add(item)
            log.error("%s stays in the spool because its rows were refused: %s", Path(item).name, error)

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
            stop.wait(_GATHER_SECONDS)

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

    def _collect_instances(self, entry_ids: list[str]) -> _Batch:
        batch = _Batch()
        for entry_id in entry_ids:
            try:
                arrival = self._pending.arrival(entry_id)
            except DamagedObject:
                log.error("The manifest of spool entry %s is damaged; the entry was set aside.", entry_id)
                batch.quarantined.append(self._pending.set_aside_unreadable(entry_id))
                batch.entries.append((entry_id, ""))
                continue
            if arrival is not None:
                self._collect_arrival(batch, entry_id, arrival)
        return batch

    def _collect_arrival(self, batch: _Batch, entry_id: str, arrival: Arrival) -> None:
        uid = arrival.header.sop_instance_uid
        batch.entries.append((entry_id, uid))
        reason = self._adopt(batch, entry_id, arrival)
        if reason is None:
            batch.arrivals.append(arrival)
        else:
            log.error("Spool entry %s of instance %s was set aside: %s.", entry_id, uid, reason)
            batch.quarantined.append(self._pending.set_aside(entry_id, arrival, reason))

    def _adopt(self, batch: _Batch, entry_id: str, arrival: Arrival) -> QuarantineReason | None:
        """Name the object; the reason for quarantine when the bytes are not those that were acknowledged."""
        uid = arrival.header.sop_instance_uid
        data = self._pending.data(entry_id)
        try:
            sound = data_set_digest(data) == (arrival.sha256, arrival.size)
        except (DamagedObject, FileNotFoundError):
            sound = False
        try:
            if sound:
                batch.folders.add(self._objects.adopt(data, uid))
            elif self._objects.held_digest(uid) != arrival.sha256:  # else a crash came between rows and removal
                return QuarantineReason.DAMAGED
        except (FileExistsError, DamagedObject):
            return QuarantineReason.CONFLICT
        return None

    def _collect_quarantined(self, notes: list[Path]) -> _Batch:
        found = [(note, self._pending.quarantined(note)) for note in notes]
        return _Batch(quarantined=[each for _, each in found if each], notes=[note for note, each in found if each])

    def _collect_associations(self, notes: list[Path]) -> _Batch:
        found = [(note, self._pending.association(note)) for note in notes]
        return _Batch(associations=[each for _, each in found if each], notes=[note for note, each in found if each])

    def _record(self, batch: _Batch) -> int:
        sync_folders(batch.folders)
        if batch.quarantined:
            sync_folder(self._folder.quarantined_objects)
        if batch.entries or batch.notes:
            self._arrivals.record(batch.arrivals, batch.quarantined, batch.associations)
        for entry_id, uid in batch.entries:
            self._pending.forget(entry_id, uid)
        for note in batch.notes:
            remove(note)
        return len(batch.entries) + len(batch.notes)
