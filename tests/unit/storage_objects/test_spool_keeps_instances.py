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
from storage.errors import SpoolFull, SpoolWriteFailed
from storage.objects import claims, incoming
from storage.objects.capacity import spool_usage
from storage.objects.object_store import ObjectStore
from storage.objects.peer_shares import PeerShares
from storage.objects.spool import FileSpool
from storage.settings import SpoolSettings
from tests.peers.spool_content import part10_of, waiting, waiting_digests
from tests.peers.spool_import import imported
from tests.unit.storage_objects.conftest import ASSOCIATION, NOW

UID = "1.2.3.4.5"
LARGE = bytes(incoming.LARGEST_IN_LOG + 1)


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


def test_a_writer_keeps_one_segment_open(folder, spool, keep):
    """Many segments later, with instances and notes of associations in between, no descriptor was left behind."""
    keep(spool, UID, b"data set")
    before = len(list(Path("/proc/self/fd").iterdir()))

    for number in range(150):
        keep(spool, f"1.2.7.{number}", bytes(1_000_000))
        spool.record_association(ASSOCIATION)

    assert len(list((folder.logs / "000").glob("*.seg"))) > 4
    assert len(list(Path("/proc/self/fd").iterdir())) == before
