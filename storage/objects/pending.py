"""What waits in the spool, in the order of arrival, and how it leaves."""

import contextlib
import fcntl
import hashlib
import heapq
import logging
import os
import re
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storage.domain.arrival import QuarantinedObject, SpooledInstance
from storage.domain.association import Association
from storage.domain.study import QuarantineReason
from storage.errors import DamagedObject
from storage.objects.claims import Claims
from storage.objects.direct import BLOCK, Blocks, InBlocks, direct_flag
from storage.objects.durable import remove, write_new
from storage.objects.incoming import LARGEST_IN_LOG
from storage.objects.layout import DataFolder
from storage.objects.log_reader import (
    LogReader,
    LogRecord,
    SeenWriters,
    as_unreadable,
    current_owner,
    log_folders,
    seen_writers,
)
from storage.objects.log_record import RecordKind
from storage.objects.log_segment import remove_spares
from storage.objects.manifest import association_from_json, quarantined_from_json, spooled_from_json
from storage.objects.part10 import Digests, data_set_digests, digests_of

log = logging.getLogger(__name__)

_FILE_NAME = re.compile(rb"\d{20}-[0-9a-f]{16}\.\d{3}-\d+\.dcm")  # as storage.objects.incoming makes them
_READS = 4  # instances that are read at the same time, each into memory of its own
_NAME_WITHIN = 256  # bytes of a record in which its name lies


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of one log, read; ``thing`` is ``None`` when its manifest cannot be."""

    log: LogReader
    record: LogRecord
    thing: SpooledInstance | QuarantinedObject | Association | None
    moment: datetime  # of the arrival, as the receiver's clock had it

    @property
    def end(self) -> tuple[int, int]:
        """The place behind it."""
        return self.record.number, self.record.end

    @property
    def name(self) -> str:
        """How a log line calls it, and what is set aside of it."""
        number, offset = self.record.place
        return f"{self.log.folder.name}-{number:016d}-{offset:08x}"


class PendingEntries:
    """The importer's view of the spool."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._claims = Claims(folder)
        self._direct = direct_flag(folder.logs)
        self._blocks = Blocks(_READS, LARGEST_IN_LOG + 2 * BLOCK)
        self._logs: dict[str, LogReader] = {}
        self._reached: dict[str, tuple[int, int]] = {}  # how far each log was read, also beyond what is kept
        self._seen = SeenWriters({})  # when we looked for entries last
        self._tidied_for: SeenWriters | None = None
        self._kept: dict[str, set[tuple[int, int]]] = {}  # records whose rows were refused, by log

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

    def entries(self) -> Iterator[Entry]:
        """Everything that waits now, in the order of arrival as far as it is kept within each log."""
        self._seen = seen_writers(self._folder)
        self._find_logs()
        streams = [self._entries_of(name) for name in self._logs]
        return heapq.merge(*streams, key=lambda entry: entry.moment)

    def bytes_written(self) -> int:
        """How many bytes were ever written to the logs that are known; two looks tell how busy receivers are."""
        return sum(reader.bytes_written for reader in self._logs.values())

    def kept_entries(self) -> list[Entry]:
        """The entries whose rows were refused so far."""
        found = []
        for name, places in self._kept.items():
            for place in sorted(places):
                entry = self._entry_at(self._logs[name], place)
                if entry is None:
                    places.discard(place)  # another process imported it
                else:
                    found.append(entry)
        return found

    def _entry_at(self, reader: LogReader, place: tuple[int, int]) -> Entry | None:
        if place < reader.position:
            return None
        record = next(reader.records(place), None)
        return _entry(reader, record) if record is not None and record.place == place else None

    def keep(self, entry: Entry) -> None:
        """Keep an entry whose rows were refused; its log is not given up, what stands behind it goes on."""
        self._kept.setdefault(entry.log.folder.name, set()).add(entry.record.place)
        self._reach([entry])

    def forget(self, entries: list[Entry], damaged: Collection[str] = ()) -> None:
        """Take away entries that have their rows: what stands behind them is the rest.

        The claim of one whose name is among ``damaged`` may be that of a second try, whose record is still to come.
        """
        for entry in entries:
            if entry.name not in damaged:
                self._give_up_claim(entry)
            if entry.record.name:
                remove(self._folder.large / entry.record.name)
            self._kept.get(entry.log.folder.name, set()).discard(entry.record.place)
        self._reach(entries)

    def tidy(self) -> None:
        """Remove what crashed writers left; nothing may wait."""
        for name, reader in self._logs.items():
            reader.advance(self._until_kept(name))
            if current_owner(reader.folder) is None:
                remove_spares(reader.folder)
        # Only what writers left that had ended when we looked for entries: others' records may not be read yet.
        if self._seen != self._tidied_for and not any(self._kept.values()):
            self._claims.remove_abandoned(lambda owner: not self._seen.ended(owner))
            self._remove_abandoned_files()
            self._tidied_for = self._seen

    @contextmanager
    def part10(self, entry: Entry, spooled: SpooledInstance) -> Iterator[tuple[InBlocks, str] | None]:
        """The Part 10 file of an instance in the log and the SHA-256 of its data set.

        Gives ``None`` when its bytes are not those that were acknowledged.
        """
        record = entry.record
        with self._blocks.lent(record.data_length + BLOCK) as memory:
            found = None
            for flags in (self._direct, 0):  # one read alone does not make what was acknowledged damaged
                data = record.data_in(memory, flags)
                digests = digests_of([data.content[record.prefix_length :]])
                if _are_of(digests, spooled):
                    found = data, digests.sha256
                    break
            yield found

    def large_file(self, entry: Entry) -> Path | None:
        """The file of a large instance; ``None`` when its bytes are in the log."""
        return self._folder.large / entry.record.name if entry.record.name else None

    def sound_sha256(self, large: Path, spooled: SpooledInstance) -> str | None:
        """The SHA-256 of the data set in the file of a large instance, if it is the one that was acknowledged.

        Raises:
            SpoolUnreadable: the disk cannot read it now.
        """
        for flags in (self._direct, 0):  # as above
            try:
                with as_unreadable():
                    digests = data_set_digests(large, flags)
            except (DamagedObject, FileNotFoundError):
                continue
            if _are_of(digests, spooled):
                return digests.sha256
        return None

    def set_aside(self, entry: Entry, quarantine_id: str) -> None:
        """Put the bytes of an entry into quarantine, durably but for the folder; doing it twice changes nothing."""
        record, target = entry.record, self._folder.quarantined(quarantine_id)
        name = record.name or self._name_in_damage(record)
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            if name:
                os.link(self._folder.large / name, target)
            else:
                draft = target.with_suffix(".part")
                remove(draft)
                write_new(draft, record.data[record.prefix_length :])
                draft.rename(target)

    def _name_in_damage(self, record: LogRecord) -> str:
        """The file that a damaged record seems to name, if there is one: its bytes may be sound."""
        found = None if record.kind is not None else _FILE_NAME.search(record.data[:_NAME_WITHIN])
        name = found[0].decode("ascii") if found else ""
        return name if name and (self._folder.large / name).exists() else ""

    def unacceptable(self, entry: Entry, spooled: SpooledInstance, reason: QuarantineReason) -> QuarantinedObject:
        """What is known of an instance that was set aside; digest and size are those of the bytes that are there."""
        header, (sha256, size) = spooled.header, self._digest_of(entry)
        return QuarantinedObject(
            quarantine_id=entry.name,
            reason=reason,
            sop_instance_uid=header.sop_instance_uid,
            study_instance_uid=header.study_instance_uid,
            sha256=sha256,
            size=size,
            association=spooled.association,
            received_at=spooled.received_at,
        )

    def _digest_of(self, entry: Entry) -> tuple[str, int]:
        large = self.large_file(entry)
        if large is None:
            return _digest(entry.record.data[entry.record.prefix_length :])
        try:
            digests = data_set_digests(large)
        except DamagedObject:
            return _digest_of_file(large)
        except FileNotFoundError:
            return _digest(b"")
        return digests.sha256, digests.size

    def unreadable(self, entry: Entry) -> QuarantinedObject:
        """What is known of an entry whose manifest is damaged: not even who sent it."""
        nobody = Association(
            association_id=str(uuid.uuid5(uuid.NAMESPACE_OID, entry.name)),
            calling_ae_title="",
            called_ae_title="",
            remote_address="",
            started_at=entry.moment,
            reason="The manifest in the spool was damaged, so the association is not known.",
        )
        name = self._name_in_damage(entry.record)
        digest, size = _digest_of_file(self._folder.large / name) if name else _digest(entry.record.data)
        return QuarantinedObject(entry.name, QuarantineReason.DAMAGED, "", "", digest, size, nobody, entry.moment)

    def _find_logs(self) -> None:
        for path in log_folders(self._folder):
            if path.name not in self._logs:
                reader = LogReader(path)
                self._logs[path.name] = reader
                self._reached[path.name] = reader.position

    def _entries_of(self, name: str) -> Iterator[Entry]:
        reader = self._logs[name]
        self._reached[name] = max(self._reached[name], reader.position)  # another process may have imported since
        return (_entry(reader, record) for record in reader.records(self._reached[name]))

    def _reach(self, entries: list[Entry]) -> None:
        for name in {entry.log.folder.name for entry in entries}:
            ends = [entry.end for entry in entries if entry.log.folder.name == name]
            self._reached[name] = max(self._reached[name], *ends)
            self._logs[name].advance(self._until_kept(name))

    def _until_kept(self, name: str) -> tuple[int, int]:
        return min([self._reached[name], *self._kept.get(name, set())])

    def _give_up_claim(self, entry: Entry) -> None:
        if isinstance(entry.thing, SpooledInstance):
            self._claims.end(entry.thing.header.sop_instance_uid, entry.thing.fingerprint)

    def _remove_abandoned_files(self) -> None:
        for path in self._folder.large.glob("*.dcm"):
            if self._seen.ended(path.name.split(".")[1]):
                remove(path)


def _are_of(digests: Digests, spooled: SpooledInstance) -> bool:
    return digests.are_of(spooled.fingerprint) and digests.size == spooled.size


def _digest(data: bytes | memoryview) -> tuple[str, int]:
    return hashlib.sha256(data).hexdigest(), len(data)


def _digest_of_file(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size


def _entry(reader: LogReader, record: LogRecord) -> Entry:
    thing, moment = _read(record)
    return Entry(reader, record, thing, moment)


def _read(record: LogRecord) -> tuple[SpooledInstance | QuarantinedObject | Association | None, datetime]:
    try:
        if record.kind is RecordKind.ASSOCIATION:
            association = association_from_json(record.manifest)
            return association, association.ended_at or association.started_at
        if record.kind is not None:
            read = spooled_from_json if record.kind is RecordKind.INSTANCE else quarantined_from_json
            thing = read(record.manifest)
            return thing, thing.received_at
    except DamagedObject:
        pass
    return None, datetime.now(UTC)
