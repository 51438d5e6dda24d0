"""What the importer makes of records that rotted, of reads that fail, and of an importer beside it."""

import errno
import hashlib
import os

import pytest

from storage.domain.study import KeepOutcome, QuarantineReason
from storage.errors import SpoolWriteFailed, StorageError
from storage.importer import SpoolImporter
from storage.objects import claims, log_reader, log_segment, log_writer
from storage.objects.incoming import LARGEST_IN_LOG
from storage.objects.log_reader import LogReader
from storage.objects.object_store import ObjectStore
from tests.peers.spool_content import waiting
from tests.peers.spool_import import another

UID = "1.2.3.4.5"


class Rows:
    """Remembers what it was given; refuses the instances whose UID is in ``refused``."""

    def __init__(self) -> None:
        self.arrivals, self.quarantined, self.refused = {}, [], set()

    def digests(self, sop_instance_uids):
        """Nothing has a row."""
        return {}

    def record(self, arrivals, quarantined, associations):
        """Remember, or refuse the whole batch."""
        if self.refused & {arrival.header.sop_instance_uid for arrival in arrivals}:
            raise StorageError
        self.arrivals |= {arrival.header.sop_instance_uid: arrival.sha256 for arrival in arrivals}
        self.quarantined += quarantined
        return {}


@pytest.fixture
def rows():
    """Rows of one test."""
    return Rows()


@pytest.fixture
def importer(folder, spool, rows):
    """An importer that writes into them."""
    return SpoolImporter(spool, ObjectStore(folder), rows)


def import_again(importer) -> None:
    """Also what was kept."""
    importer._retry_at = 0.0
    importer.import_pending()


@pytest.mark.parametrize("start", [0, 8, 24])
def test_a_record_without_its_head_is_set_aside(folder, spool, keep, importer, rows, start):
    """Whatever of the head of an acknowledged record rots, its bytes are not passed over in silence."""
    for number in range(3):
        keep(spool, f"1.2.{number}", b"data set" * 1000)
    _, second, _ = waiting(folder.root)
    with second.path.open("r+b") as file:
        file.seek(second.offset + start)
        file.write(bytes(512))

    importer.import_pending()

    assert rows.arrivals.keys() == {"1.2.0", "1.2.2"}
    [aside] = rows.quarantined
    assert aside.reason is QuarantineReason.DAMAGED
    assert b"data set" * 1000 in folder.quarantined(aside.quarantine_id).read_bytes()


def test_the_end_of_a_segment_is_no_damage(folder, spool, keep, importer, rows, monkeypatch):
    """Of a segment that was left long ago its writer does not say how far it was filled any more."""
    monkeypatch.setattr(log_segment, "SEGMENT_BYTES", 256 * 1024)
    for number in range(150):
        keep(spool, f"1.2.{number}", bytes([number]) * 100_000)

    importer.import_pending()

    assert len(rows.arrivals) == 150
    assert not rows.quarantined


def test_a_write_that_failed_leaves_nothing_to_set_aside(folder, spool, keep, importer, rows, monkeypatch):
    """Where nothing was written there may be bytes of an earlier use; nobody is to find them in quarantine."""

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    writes, real = [], log_writer.write_whole

    def fail_second(*arguments):
        writes.append(arguments)
        return fail() if len(writes) == 2 else real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(log_writer, "write_whole", fail_second)
        keep(spool, "1.2.0", b"data set")
        with pytest.raises(SpoolWriteFailed):
            keep(spool, "1.2.1", b"data set")
        keep(spool, "1.2.2", b"data set")

    importer.import_pending()

    assert rows.arrivals.keys() == {"1.2.0", "1.2.2"}
    assert not rows.quarantined


def test_a_torn_record_leaves_the_claim_of_the_second_try_alone(folder, spool, keep, importer, monkeypatch):
    """The first try failed halfway and was refused; setting it aside does not open the UID for other bytes."""
    real = log_writer.write_whole

    def write_half(descriptor, content, offset):
        real(descriptor, content[:8192], offset)
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(log_writer, "write_whole", write_half)
        with pytest.raises(SpoolWriteFailed):
            keep(spool, UID, b"first" * 5000)
    assert keep(spool, UID, b"first" * 5000) is KeepOutcome.STORED
    torn, _ = list(importer._pending.entries())
    importer._import_batch([torn])

    assert keep(spool, UID, b"other") is KeepOutcome.CONFLICT


@pytest.mark.parametrize("what", ["head", "data"])
def test_an_instance_that_the_disk_cannot_read_keeps_only_itself_waiting(
    folder, spool, keep, importer, rows, monkeypatch, what
):
    """The others get their objects and rows; once the disk can read it, it does too."""
    for number in range(5):
        keep(spool, f"1.2.{number}", b"data set")
    bad, read, read_block = waiting(folder.root)[2], os.pread, os.preadv

    def refuse(offset, size):
        start, end = (bad.offset, bad.data_start) if what == "head" else (bad.data_start, bad.end)
        if start < offset + size and offset < end:
            raise OSError(errno.EIO, "Input/output error")

    def pread(descriptor, size, offset):
        if os.path.samestat(os.fstat(descriptor), bad.path.stat()):
            refuse(offset, size)
        return read(descriptor, size, offset)

    def preadv(descriptor, buffers, offset):
        if os.path.samestat(os.fstat(descriptor), bad.path.stat()):
            refuse(offset, len(buffers[0]))
        return read_block(descriptor, buffers, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", pread)
        patch.setattr(os, "preadv", preadv)
        import_again(importer)
        assert rows.arrivals.keys() == {"1.2.0", "1.2.1", "1.2.3", "1.2.4"}
    import_again(importer)

    assert len(rows.arrivals) == 5
    assert not rows.quarantined
    assert waiting(folder.root) == []


def test_a_large_file_that_the_disk_cannot_read_keeps_only_itself_waiting(
    folder, spool, keep, importer, rows, monkeypatch
):
    """A bad sector under a file of its own is no reason to import nothing; it is tried again."""
    large = bytes(LARGEST_IN_LOG + 1)
    for number in range(3):
        keep(spool, f"1.2.{number}", large if number == 1 else b"data set")
    [file] = folder.large.iterdir()
    read = os.preadv

    def preadv(descriptor, buffers, offset):
        if os.path.samestat(os.fstat(descriptor), file.stat()):
            raise OSError(errno.EIO, "Input/output error")
        return read(descriptor, buffers, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "preadv", preadv)
        import_again(importer)
        assert rows.arrivals.keys() == {"1.2.0", "1.2.2"}
    import_again(importer)

    assert rows.arrivals["1.2.1"] == hashlib.sha256(large).hexdigest()
    assert not rows.quarantined


@pytest.mark.parametrize("how", ["short", "wrong"])
def test_one_bad_read_does_not_make_an_instance_damaged(spool, keep, importer, rows, monkeypatch, how):
    """A read that ends early or gives other bytes once is tried again before anything is set aside."""
    keep(spool, UID, b"data set" * 3000)
    real, calls = log_reader.read_whole, []

    def read_whole(descriptor, memory, offset):
        calls.append(offset)
        reached = real(descriptor, memory, offset)
        if len(calls) == 1 and how == "wrong":
            memory[9000:9001] = b"?"
        return 1536 if len(calls) == 1 and how == "short" else reached

    monkeypatch.setattr(log_reader, "read_whole", read_whole)
    import_again(importer)
    import_again(importer)

    assert rows.arrivals == {UID: hashlib.sha256(b"data set" * 3000).hexdigest()}
    assert not rows.quarantined


def test_what_another_importer_imported_is_not_kept(folder, spool, keep, importer, rows):
    """Rows refused to one importer were written by another: the first lets go and never counts backwards."""
    keep(spool, UID, b"refused here")
    rows.refused = {UID}
    import_again(importer)
    theirs = Rows()
    other = SpoolImporter(another(folder), ObjectStore(folder), theirs)
    for number in range(80):
        keep(spool, f"1.2.{number}", bytes(1_000_000))
    other.import_pending()
    assert UID in theirs.arrivals
    [log] = [path for path in folder.logs.iterdir() if path.name == "000"]
    before = LogReader(log).position

    import_again(importer)
    keep(spool, "1.2.999", b"afterwards")
    import_again(importer)

    assert not any(importer._pending._kept.values())
    assert LogReader(log).position > before
    assert rows.arrivals.keys() == {"1.2.999"}


def test_a_lost_large_file_is_not_given_the_size_of_what_it_was(folder, spool, keep, importer, rows):
    """Digest and size in a quarantine row belong together."""
    keep(spool, UID, bytes(LARGEST_IN_LOG + 1))
    [large] = folder.large.glob("*.dcm")
    large.unlink()

    importer.import_pending()

    [aside] = rows.quarantined
    assert (aside.sha256, aside.size) == (hashlib.sha256(b"").hexdigest(), 0)


def test_a_write_that_ends_in_any_error_does_not_hide_what_follows(folder, spool, keep, importer, rows, monkeypatch):
    """Want of memory in one thread leaves the records of the others visible."""

    def no_memory(*_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(log_writer, "write_whole", no_memory)
        with pytest.raises(MemoryError):
            keep(spool, "1.2.0", b"data set")
    keep(spool, "1.2.1", b"data set")

    importer.import_pending()

    assert rows.arrivals.keys() == {"1.2.1"}


def test_a_claim_of_an_earlier_release_holds_the_same_bytes(folder, spool, keep):
    """It went by SHA-256; the same bytes again are already held, others are in conflict."""
    table, sha256 = claims.Claims(folder), hashlib.sha256(b"data set").hexdigest()
    table.take(UID, claims.Claim(sha256, spool._log.owner))
    table.confirm(UID, sha256)

    assert keep(spool, UID, b"data set") is KeepOutcome.ALREADY_HELD
    assert keep(spool, UID, b"other") is KeepOutcome.CONFLICT


def test_a_log_without_a_writer_keeps_no_spare_segments(folder, spool, keep, importer):
    """What a process that is gone kept for use again is given back to the disk."""
    gone = another(folder)
    for number in range(80):
        keep(gone, f"1.2.{number}", bytes(1_000_000))
    importer.import_pending()
    assert list(folder.logs.rglob("spare-*"))
    gone.close()

    importer.import_pending()
    importer.import_pending()

    assert not list(folder.logs.rglob("spare-*"))
