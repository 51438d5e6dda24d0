"""The importer's side of the spool: what leaves it, what stays, and what a crash or damage leaves behind."""

import errno
import os
import struct
import tracemalloc
from pathlib import Path

import pytest

from storage.domain.study import KeepOutcome
from storage.errors import DatabaseUnavailable, SpoolOfOlderRelease, SpoolWriteFailed
from storage.importer import SpoolImporter
from storage.objects import claims, incoming, log_segment, log_writer
from storage.objects.object_store import ObjectStore
from storage.objects.pending import PendingEntries
from tests.peers.spool_content import waiting, waiting_digests
from tests.peers.spool_import import NoRows, another, imported

UID = "1.2.3.4.5"
LARGE = bytes(incoming.LARGEST_IN_LOG + 1)


def test_what_one_process_imported_is_not_imported_by_another(folder, spool, keep):
    """Two processes have an importer; each goes on where the other has come to."""
    first, second = (SpoolImporter(spool, ObjectStore(folder), NoRows()) for _ in range(2))
    keep(spool, UID, b"one")
    assert (first.import_pending(), second.import_pending()) == (1, 0)
    keep(spool, "1.2.3.4.6", b"two")
    assert (first.import_pending(), second.import_pending()) == (1, 0)


def test_a_large_file_outlives_damage_to_the_record_that_names_it(folder, spool, keep):
    """The record's manifest rots: the sound file is set aside, not the few bytes that named it, and not removed."""
    keep(spool, UID, LARGE)
    [record] = waiting(folder.root)
    [segment] = folder.logs.rglob("*.seg")
    with segment.open("r+b") as file:
        file.seek(record.offset + 200)
        file.write(b"?")
    spool.close()

    again = another(folder)
    imported(folder, again)
    imported(folder, again)

    [quarantined] = folder.quarantined_objects.iterdir()
    assert quarantined.read_bytes().endswith(LARGE)


def test_objects_are_not_written_again_and_again_for_a_database_that_is_away(folder, spool, keep, monkeypatch):
    """The importer asks the database before it writes and syncs anything."""

    class Away:
        def digests(self, sop_instance_uids) -> dict[str, str]:
            raise DatabaseUnavailable

        def record(self, arrivals, quarantined, associations) -> None:
            raise DatabaseUnavailable

    keep(spool, UID, b"data set")
    importer = SpoolImporter(spool, ObjectStore(folder), Away())
    drafts = []
    real = ObjectStore.draft
    monkeypatch.setattr(ObjectStore, "draft", lambda self, *it: (drafts.append(it), real(self, *it))[1])
    for _ in range(5):
        with pytest.raises(DatabaseUnavailable):
            importer.import_pending()

    assert drafts == []


def test_segments_are_used_again(folder, spool, keep):
    """What was imported is overwritten, and nothing of its earlier content is read again."""
    for lap in range(3):
        for number in range(50):
            keep(spool, f"1.2.{lap}.{number}", bytes(1_000_000))
        assert len(waiting(folder.root)) == 50
        imported(folder, spool)
        assert waiting(folder.root) == []
    assert len(list((folder.logs / "000").iterdir())) < 10


def test_an_import_while_a_segment_is_opened_leaves_it_alone(folder, spool, keep, monkeypatch):
    """The importer may look at any moment of a new segment's making; what is then written into it is found."""
    importing, real_open, real_make = another(folder), log_writer.open_segment, log_segment._make

    def make(path, at_least):
        real_make(path, at_least)
        imported(folder, importing)

    def open_segment(*arguments):
        opened = real_open(*arguments)
        imported(folder, importing)
        return opened

    monkeypatch.setattr(log_segment, "_make", make)
    monkeypatch.setattr(log_writer, "open_segment", open_segment)

    assert keep(spool, UID, b"data set") is KeepOutcome.STORED
    assert waiting_digests(folder.root).keys() == {UID}
    imported(folder, importing)
    assert ObjectStore(folder).instance(UID).exists()


def test_the_import_of_a_large_study_takes_the_memory_of_a_batch(folder, spool, keep):
    """60 MB in 3,000 instances of one study wait; the importer holds a small part of them at a time."""
    for number in range(3000):
        keep(spool, f"1.2.{number}", b"\xff" * 20_000)  # zeros would be read as thousands of elements

    tracemalloc.start()
    imported(folder, spool)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert waiting(folder.root) == []
    assert peak < 10_000_000


def test_a_segment_whose_sync_failed_is_not_used_again(folder, spool, keep, monkeypatch):
    """After the import it is removed, not kept as a spare."""
    keep(spool, UID, b"data set")
    real, failed = os.fdatasync, []

    def fail_once(descriptor):
        if not failed:
            failed.append(descriptor)
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", fail_once)
    with pytest.raises(SpoolWriteFailed):
        keep(spool, "1.2.3.4.6", b"data set")
    keep(spool, "1.2.3.4.7", b"data set")

    imported(folder, spool)

    assert [path.name for path in (folder.logs / "000").glob("*-*")] == []
    assert [path.name for path in (folder.logs / "000").glob("*.seg")] == ["0000000000000002.seg"]


def test_a_crash_leaves_nothing_behind_after_the_next_import(folder, keep):
    """What a dead process kept is imported; its claims, its unfinished files and its segments go."""
    crashed = another(folder)
    keep(crashed, UID, b"data set")
    coming = crashed.receive(b"prefix")
    coming.add(b"half")
    coming.spill()
    claims.Claims(folder).take("1.2.3.9", claims.Claim("00" * 32, crashed._log.owner))
    (folder.objects / "ab").mkdir()
    (folder.objects / "ab" / "x.part").write_bytes(b"x")
    crashed.close()

    spool = another(folder)
    imported(folder, spool)
    imported(folder, spool)

    assert ObjectStore(folder).instance(UID).exists()
    files = [path for path in folder.root.rglob("*") if path.is_file() and path.parent.parent != folder.logs]
    assert sorted(path.suffix for path in files) == [".dcm", ".lock", ".table"]
    assert claims.Claims(folder).count() == 0
    assert not list(folder.logs.rglob("*.seg"))


def test_an_import_that_finds_the_disk_full_leaves_no_drafts(folder, spool, keep, monkeypatch):
    """What could not be imported is tried again and again; each try must give back what it took of the disk."""
    for number in range(6):
        keep(spool, f"{UID}.{number}", b"data set")
    store, taken = ObjectStore(folder), []

    def draft(part10, uid):
        taken.append(uid)
        if uid.endswith(".3"):
            raise OSError(errno.ENOSPC, "full")
        return ObjectStore.draft(store, part10, uid)

    monkeypatch.setattr(store, "draft", draft)
    with pytest.raises(OSError, match="full"):
        SpoolImporter(spool, store, NoRows()).import_pending()

    assert len(taken) > 1
    assert not list(folder.objects.rglob("*.part"))


def test_a_spool_of_an_older_release_is_not_passed_over(folder):
    """Acknowledged instances that this release cannot read stop it at the start, with what to do."""
    (folder.spool / "entries").mkdir()
    (folder.spool / "entries" / "1-a.json").write_bytes(b"{}")

    with pytest.raises(SpoolOfOlderRelease, match="older release"):
        another(folder)


def test_nobody_sweeps_while_another_writes(folder, spool):
    """A large file that is being written by a living process stays."""
    coming = another(folder).receive(b"prefix")
    coming.add(b"half")
    coming.spill()

    imported(folder, spool)

    assert Path(coming.path).exists()


def test_nobody_sweeps_what_came_since_the_last_look(folder, spool, keep):
    """A writer that comes after the importer has looked, and dies before it tidies, leaves a record nobody has read."""
    pending = PendingEntries(folder)
    assert list(pending.entries()) == []
    late = another(folder)
    assert keep(late, UID, LARGE) is KeepOutcome.STORED
    late.close()

    pending.tidy()

    assert len(list(folder.large.iterdir())) == 1
    assert claims.Claims(folder).count() == 1


class _KeptRows(NoRows):
    def __init__(self) -> None:
        self.images = {}

    def record(self, arrivals, quarantined, associations):
        """Remember what is said of images."""
        self.images |= {arrival.header.sop_instance_uid: arrival.image for arrival in arrivals}
        return {}


def test_what_an_instance_says_of_its_image_is_read_on_the_way(folder, spool, keep, header):
    """From the log, from a file of its own, and from the object that a crash left without rows."""
    rows = b"".join(
        struct.pack("<HH2sHH", 0x28, number, b"US", 2, value)
        for number, value in ((0x10, 5), (0x11, 4), (0x100, 16), (0x101, 12), (0x102, 11), (0x103, 0))
    )
    head = rows + struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, len(LARGE))
    keep(spool, UID, head + LARGE)
    keep(spool, "1.2.3.4.6", head[:-4] + struct.pack("<L", 40) + bytes(40))
    keep(spool, "1.2.3.4.7", b"no image")
    taken = _KeptRows()
    SpoolImporter(spool, ObjectStore(folder), taken).import_pending()

    assert [taken.images[uid].pixel_length for uid in (UID, "1.2.3.4.6")] == [len(LARGE), 40]
    assert [taken.images[uid].pixel_offset for uid in (UID, "1.2.3.4.6")] == [len(head)] * 2
    assert taken.images["1.2.3.4.7"] is None
    assert ObjectStore(folder).first_reading(header(UID)).image == taken.images[UID]
