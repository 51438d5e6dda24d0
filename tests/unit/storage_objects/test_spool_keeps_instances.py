"""The spool: what it keeps survives, what it cannot keep it does not promise."""

import errno
import hashlib
import os
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from storage.domain.study import KeepOutcome
from storage.errors import DatabaseUnavailable, SpoolFull, SpoolOfOlderRelease, SpoolWriteFailed
from storage.importer import SpoolImporter
from storage.objects import claims, incoming, log_segment, log_writer
from storage.objects.capacity import spool_usage
from storage.objects.object_store import ObjectStore
from storage.objects.peer_shares import PeerShares
from storage.objects.pending import PendingEntries
from storage.objects.spool import FileSpool
from storage.settings import SpoolSettings
from tests.peers.spool_content import part10_of, waiting, waiting_digests, waiting_quarantined
from tests.unit.storage_objects.conftest import ASSOCIATION, NOW

UID = "1.2.3.4.5"
LARGE = bytes(incoming.LARGEST_IN_LOG + 1)


class NoRows:
    """Takes rows and keeps none."""

    def digests(self, sop_instance_uids) -> dict[str, str]:
        """Nothing has a row."""
        return {}

    def record(self, arrivals, quarantined, associations) -> None:
        """Nothing is refused."""


def imported(folder, spool) -> None:
    """Import what waits, without a database."""
    SpoolImporter(spool, ObjectStore(folder), NoRows()).import_pending()


def another(folder) -> FileSpool:
    """What another process would have."""
    return FileSpool(folder, SpoolSettings(min_free_bytes=0))


def test_a_new_instance_is_a_record_and_a_claim(folder, spool, keep):
    """After STORED, the log holds the prefix and exactly the received bytes; the UID is claimed."""
    assert keep(spool, UID, b"data set") is KeepOutcome.STORED

    [record] = waiting(folder.root)
    kept = part10_of(folder.root, record)
    assert kept.endswith(b"data set")
    assert kept[:132] == bytes(128) + b"DICM"
    assert claims.Claims(folder).count() == 1


def test_a_large_instance_is_a_file_that_a_record_names(folder, spool, keep):
    """What does not fit into the log is written once, as the file that becomes the object."""
    assert keep(spool, UID, LARGE) is KeepOutcome.STORED

    [record] = waiting(folder.root)
    [file] = folder.large.iterdir()
    assert record.name == file.name
    assert len(record.data) == 0
    assert part10_of(folder.root, record)[record.prefix_length :] == LARGE
    inode = file.stat().st_ino
    imported(folder, spool)
    assert ObjectStore(folder).instance(UID).stat().st_ino == inode
    assert not list(folder.large.iterdir())


def test_pieces_may_be_reused_after_a_spill(folder, spool, header):
    """What was spilled no longer depends on the caller's buffer, and the digest is that of all pieces."""
    buffer = bytearray(b"first")
    coming = spool.receive(bytes(128) + b"DICM")
    coming.add(memoryview(buffer))
    coming.spill()
    buffer[:] = b"other"
    coming.add(memoryview(buffer))
    assert coming.head(7) == b"firstot"
    coming.discard()
    assert not list(folder.large.iterdir())


def test_nothing_in_the_data_folder_is_readable_by_others(folder, spool, keep):
    """Files are 0600 and folders 0700, whatever the umask allows."""
    keep(spool, UID, b"data set")
    keep(spool, "1.2.3.4.6", LARGE)

    for path in [folder.root, *folder.root.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_no_file_name_comes_from_the_instance(folder, spool, keep):
    """The SOP Instance UID appears in no path below the data folder."""
    keep(spool, UID, b"data set")

    assert all(UID not in str(path.relative_to(folder.root)) for path in folder.root.rglob("*"))


def test_the_same_bytes_again_are_already_held(folder, spool, keep):
    """A duplicate is a success without a second copy."""
    keep(spool, UID, b"data set")

    assert keep(spool, UID, b"data set") is KeepOutcome.ALREADY_HELD
    assert len(waiting(folder.root)) == 1


def test_the_same_bytes_at_another_process_are_durable_there_too(folder, spool, keep):
    """Another process cannot know how far the first one has come: it writes its own record, and one object results."""
    keep(spool, UID, b"data set")

    assert keep(another(folder), UID, b"data set") is KeepOutcome.ALREADY_HELD
    assert len(waiting(folder.root)) == 2
    imported(folder, spool)
    assert ObjectStore(folder).instance(UID).read_bytes().endswith(b"data set")
    assert claims.Claims(folder).count() == 0


def test_a_large_instance_that_another_process_claimed_keeps_its_file(folder, spool, keep):
    """The file of an acknowledged instance stays when the claim is another's, who may have died before its record."""
    table, digest = claims.Claims(folder), hashlib.sha256(LARGE).hexdigest()
    table.take(UID, claims.Claim(digest, "007-1"))
    table.confirm(UID, digest)

    assert keep(spool, UID, LARGE) is KeepOutcome.ALREADY_HELD

    imported(folder, spool)
    assert ObjectStore(folder).held_digest(UID) == hashlib.sha256(LARGE).hexdigest()


def test_other_bytes_under_the_same_uid_go_to_quarantine(folder, spool, keep):
    """The first copy stays as it was; the second is set aside."""
    keep(spool, UID, b"first")

    assert keep(spool, UID, b"second") is KeepOutcome.CONFLICT
    assert keep(another(folder), UID, b"third") is KeepOutcome.CONFLICT
    [record] = waiting(folder.root)
    assert part10_of(folder.root, record).endswith(b"first")
    assert waiting_quarantined(folder.root) == [("conflict", b"second"), ("conflict", b"third")]
    imported(folder, spool)
    assert sorted(path.read_bytes() for path in folder.quarantined_objects.iterdir()) == [b"second", b"third"]


@pytest.mark.parametrize(("again", "outcome"), [(b"one", KeepOutcome.ALREADY_HELD), (b"two", KeepOutcome.CONFLICT)])
def test_an_imported_instance_still_holds_its_uid(folder, spool, keep, again, outcome):
    """After the entry has left the spool, the object decides between ALREADY_HELD and CONFLICT."""
    keep(spool, UID, b"one")
    imported(folder, spool)
    assert claims.Claims(folder).count() == 0

    assert keep(spool, UID, again) is outcome
    assert ObjectStore(folder).instance(UID).read_bytes().endswith(b"one")
    assert claims.Claims(folder).count() == 0


def test_an_import_between_claim_and_look_is_noticed(folder, spool, keep, monkeypatch):
    """If the first one's entry is imported while a second one waits for the claim, the object decides."""
    keep(another(folder), UID, b"one")
    real_take = claims.Claims.take

    def take_after_an_import(self, uid, claim):
        imported(folder, spool)
        return real_take(self, uid, claim)

    monkeypatch.setattr(claims.Claims, "take", take_after_an_import)

    assert keep(spool, UID, b"two") is KeepOutcome.CONFLICT
    assert ObjectStore(folder).instance(UID).read_bytes().endswith(b"one")


def test_a_claim_of_a_dead_process_is_no_proof(folder, spool, keep):
    """Other bytes under a UID whose claimant died are neither stored nor refused until the importer has cleared up."""
    dead = another(folder)
    claims.Claims(folder).take(UID, claims.Claim("ab" * 32, dead._log.owner))
    dead.close()

    with pytest.raises(SpoolWriteFailed):
        keep(spool, UID, b"two")
    imported(folder, spool)
    assert keep(spool, UID, b"two") is KeepOutcome.STORED


def test_a_torn_claim_counts_as_none(folder):
    """An entry that a crash left half written is free."""
    table = claims.Claims(folder)
    mine = claims.Claim("ab" * 32, "000-1")
    assert table.take(UID, mine) is None
    [(place, _)] = table._all()
    table._table[place + 30 : place + 34] = b"torn"

    assert table.holder(UID) is None
    assert table.take(UID, mine) is None
    assert table.holder(UID) == mine
    assert table.count() == 1


def test_a_full_bucket_is_a_full_spool(folder, monkeypatch):
    """When more instances wait than the table can hold, the sender keeps its images."""
    monkeypatch.setattr(claims, "_BUCKETS", 1)
    table = claims.Claims(folder)
    for number in range(claims._IN_BUCKET):
        assert table.take(f"1.2.{number}", claims.Claim("ab" * 32, "000-1")) is None

    with pytest.raises(SpoolFull, match="Too many"):
        table.take("1.2.3.4", claims.Claim("ab" * 32, "000-1"))
    table.give_back("1.2.7", "ab" * 32)
    assert table.take("1.2.3.4", claims.Claim("ab" * 32, "000-1")) is None


def test_a_claim_that_is_given_back_leaves_those_who_share_it(folder):
    """Two bring the same bytes; the first fails, the second makes them durable: other bytes are still in conflict."""
    table = claims.Claims(folder)
    first, second = claims.Claim("ab" * 32, "000-1"), claims.Claim("ab" * 32, "001-1")
    assert table.take(UID, first) is None
    assert table.take(UID, second) is None
    table.give_back(UID, first.sha256)
    assert table.holder(UID) is not None
    table.confirm(UID, second.sha256)
    table.give_back(UID, first.sha256)

    held = table.take(UID, claims.Claim("cd" * 32, "002-1"))

    assert held is not None
    assert (held.sha256, held.durable) == (first.sha256, True)
    table.end(UID, first.sha256)
    assert table.holder(UID) is None


def test_other_bytes_wait_for_whether_the_first_are_kept(folder, keep, monkeypatch):
    """Nobody is told that the first sender's bytes are held before they are; when they fail, the next ones count."""
    refused = FileSpool(folder, SpoolSettings(min_free_bytes=2**62))
    began, gate = threading.Event(), threading.Event()
    real = type(refused._capacity).reserve

    def slow(self, size):
        if self is refused._capacity:
            began.set()
            gate.wait(30)
        real(self, size)

    monkeypatch.setattr(type(refused._capacity), "reserve", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(keep, refused, UID, b"one")
        assert began.wait(30)
        second = pool.submit(keep, another(folder), UID, b"two")
        gate.set()
        with pytest.raises(SpoolFull):
            first.result(30)
        assert second.result(30) is KeepOutcome.STORED
    assert waiting_quarantined(folder.root) == []


def test_a_byte_at_a_time_costs_little_memory(folder, spool, header):
    """A data set in fragments of one byte takes about as much memory as it has bytes."""
    coming = spool.receive(bytes(128) + b"DICM")
    data = memoryview(bytes(200_000))
    tracemalloc.start()
    for place in range(len(data)):
        coming.add(data[place : place + 1])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 1_000_000
    assert spool.keep(coming, header(UID), ASSOCIATION, NOW) is KeepOutcome.STORED
    assert waiting_digests(folder.root)[UID] == hashlib.sha256(data).hexdigest()


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


def test_eight_senders_of_one_instance_leave_one_copy(folder, keep):
    """Concurrent keepers of the same bytes, each with its own spool object, all succeed; one object exists."""
    spools = [another(folder) for _ in range(8)]
    together = threading.Barrier(8)

    def send(spool):
        together.wait()
        return keep(spool, UID, b"data set" * 1000)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(send, spools))

    assert set(outcomes) <= {KeepOutcome.STORED, KeepOutcome.ALREADY_HELD}
    imported(folder, spools[0])
    assert len(list(folder.objects.rglob("*.dcm"))) == 1
    assert waiting(folder.root) == []


def test_many_threads_share_a_log_without_harm(folder, spool, keep):
    """Records of different sizes from many threads, over several segments, are all whole and all there."""
    sizes = {f"1.2.3.{number}": 1000 * number for number in range(1, 400)}

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda uid: keep(spool, uid, uid.encode() * (sizes[uid] // len(uid))), sizes))

    assert set(outcomes) == {KeepOutcome.STORED}
    assert len(list((folder.logs / "000").glob("*.seg"))) > 1
    assert waiting_digests(folder.root).keys() == sizes.keys()
    imported(folder, spool)
    assert len(list(folder.objects.rglob("*.dcm"))) == len(sizes)


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


def test_a_full_spool_keeps_nothing(folder, keep):
    """Past the cap keep raises SpoolFull and leaves neither record nor claim."""
    spool = FileSpool(folder, SpoolSettings(cap_bytes=2000, min_free_bytes=0))

    with pytest.raises(SpoolFull):
        keep(spool, UID, bytes(3000))
    assert waiting(folder.root) == []
    assert claims.Claims(folder).count() == 0


def test_a_full_disk_is_respected(folder, keep):
    """Below the watermark keep raises SpoolFull, whatever the cap."""
    spool = FileSpool(folder, SpoolSettings(min_free_bytes=2**62))

    with pytest.raises(SpoolFull):
        keep(spool, UID, b"data set")
    assert waiting(folder.root) == []


def test_what_is_only_received_does_not_fill_the_disk(folder, header):
    """Below the watermark nothing of a large instance is written; it is refused at its end as if the disk were full."""
    spool = FileSpool(folder, SpoolSettings(min_free_bytes=2**62))
    coming = spool.receive(bytes(128) + b"DICM")

    for _ in range(3):
        coming.add(bytes(2**20))
        coming.spill()
        assert list(folder.large.iterdir()) == []

    with pytest.raises(SpoolFull):
        spool.keep(coming, header(UID), ASSOCIATION, NOW)
    assert waiting(folder.root) == []


def test_one_peer_cannot_fill_the_spool(folder, header):
    """A peer that has its share is refused while another still has room; after the import it has room again."""
    spool = FileSpool(folder, SpoolSettings(cap_bytes=100_000, peer_share=0.5, min_free_bytes=0))

    def keep_from(title: str, uid: str) -> KeepOutcome:
        coming = spool.receive(bytes(128) + b"DICM")
        coming.add(bytes(30_000))
        return spool.keep(coming, header(uid), replace(ASSOCIATION, calling_ae_title=title), NOW)

    keep_from("CT1", "1.2.1")
    with pytest.raises(SpoolFull, match="share"):
        keep_from("CT1", "1.2.2")
    assert keep_from("MR1", "1.2.3") is KeepOutcome.STORED
    imported(folder, spool)
    assert keep_from("CT1", "1.2.2") is KeepOutcome.STORED


def test_a_share_counts_only_what_waits():
    """Segments that were imported no longer count against their peer."""
    shares = PeerShares(100)
    shares.add("CT1", 80, end=(5, 8192))
    assert not shares.has_room("CT1", 30, imported=(5, 4096))
    assert shares.has_room("MR1", 30, imported=(5, 4096))
    assert shares.has_room("CT1", 30, imported=(5, 8192))


def test_the_import_of_a_large_study_takes_the_memory_of_a_batch(folder, spool, keep):
    """60 MB in 3,000 instances of one study wait; the importer holds a small part of them at a time."""
    for number in range(3000):
        keep(spool, f"1.2.{number}", bytes(20_000))

    tracemalloc.start()
    imported(folder, spool)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert waiting(folder.root) == []
    assert peak < 10_000_000


def test_a_duplicate_needs_no_room(folder, keep):
    """What is held already is a success even when nothing more fits."""
    spool = FileSpool(folder, SpoolSettings(cap_bytes=5000, min_free_bytes=0))
    keep(spool, UID, bytes(2000))

    with pytest.raises(SpoolFull):
        keep(spool, "1.2.3.4.6", bytes(2000))
    assert keep(spool, UID, bytes(2000)) is KeepOutcome.ALREADY_HELD


@pytest.mark.parametrize("size", [10, len(LARGE)])
@pytest.mark.parametrize("failing_call", range(4))
def test_a_failed_sync_is_never_a_success(folder, spool, keep, monkeypatch, failing_call, size):
    """EIO from any one of the syncs raises SpoolWriteFailed; no file is synced after that; the next try counts."""
    calls, failed = [], []

    def failing(real):
        def sync(descriptor):
            file = Path(f"/proc/self/fd/{descriptor}").readlink()
            assert file.is_dir() or file not in failed
            calls.append(file)
            if len(calls) == failing_call + 1:
                failed.append(file)
                raise OSError(errno.EIO, "Input/output error")
            real(descriptor)

        return sync

    monkeypatch.setattr(os, "fdatasync", failing(os.fdatasync))
    monkeypatch.setattr(os, "fsync", failing(os.fsync))

    if failing_call >= (3 if size == 10 else 5):
        assert keep(spool, UID, bytes(size)) is KeepOutcome.STORED
        return
    with pytest.raises(SpoolWriteFailed):
        keep(spool, UID, bytes(size))
    assert claims.Claims(folder).count() == 0
    assert list(folder.large.iterdir()) == []
    assert keep(spool, UID, bytes(size)) is KeepOutcome.STORED


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


def test_a_full_file_system_counts_as_a_full_spool(spool, keep, monkeypatch):
    """ENOSPC while making room raises SpoolFull."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)

    with pytest.raises(SpoolFull):
        keep(spool, UID, b"data set")


def test_one_sync_serves_many(spool, keep, monkeypatch):
    """Records that were written while a sync ran are all synced by the next one."""
    keep(spool, UID, b"first")  # has made the segment
    real, calls, gate = os.fdatasync, [], threading.Event()

    def slow(descriptor):
        calls.append(descriptor)
        if len(calls) == 1:
            gate.wait(30)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    threads = [threading.Thread(target=keep, args=(spool, f"1.2.3.{number}", b"data")) for number in range(10)]
    threads[0].start()
    while not calls:
        pass
    for thread in threads[1:]:
        thread.start()
    log = spool._log
    while log._segment.written < 11:
        pass
    gate.set()
    for thread in threads:
        thread.join()

    assert len(calls) == 2


def test_a_spool_belongs_to_one_process(spool, keep):
    """A child that inherits a spool cannot write into its parent's log."""
    child = os.fork()
    if child == 0:
        try:
            keep(spool, UID, b"data set")
        except RuntimeError:
            os._exit(42)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_the_usage_counts_entries_and_bytes(folder, spool, keep):
    """Usage is what waits: two entries of at least the size of their data sets."""
    keep(spool, "1.2.1", bytes(1000))
    keep(spool, "1.2.2", LARGE)

    usage = spool_usage(folder)
    assert usage.entries == 2
    assert len(LARGE) + 1000 < usage.bytes < len(LARGE) + 20000


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


def test_a_writer_keeps_one_segment_open(folder, spool, keep):
    """Many segments later, with instances and notes of associations in between, no descriptor was left behind."""
    keep(spool, UID, b"data set")
    before = len(list(Path("/proc/self/fd").iterdir()))

    for number in range(150):
        keep(spool, f"1.2.7.{number}", bytes(1_000_000))
        spool.record_association(ASSOCIATION)

    assert len(list((folder.logs / "000").glob("*.seg"))) > 4
    assert len(list(Path("/proc/self/fd").iterdir())) == before
