"""What is received goes past the page cache where a file system lets it, and through it where not."""

import hashlib
import json
import os
import threading

import pytest

from storage.importer import SpoolImporter
from storage.objects import object_store, pending
from storage.objects.direct import BLOCK, Blocks, direct_flag, read_whole, write_whole
from storage.objects.log_record import encoded
from storage.objects.object_store import ObjectStore
from tests.peers.spool_content import waiting
from tests.peers.spool_import import NoRows, another, imported

UID = "1.2.3.4.5"
SIZES = [1, BLOCK - 1, BLOCK, BLOCK + 1, 300_000]


def contents(size: int) -> bytes:
    """Bytes of which no two blocks are alike."""
    return bytes(number % 251 for number in range(size))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("flag", [None, 0], ids=["as-the-file-system-can", "through-the-cache"])
def test_what_was_received_becomes_the_object_byte_for_byte(folder, spool, keep, monkeypatch, size, flag):
    """Sizes on both sides of a block leave no byte too many and none too few, with direct transfers and without."""
    if flag is not None:
        for module in (object_store, pending):
            monkeypatch.setattr(module, "direct_flag", lambda _: flag)
        monkeypatch.setattr(spool._log, "_flags", os.O_RDWR | os.O_CLOEXEC)
    data_set = contents(size)
    keep(spool, UID, data_set)
    [record] = waiting(folder.root)
    part10 = record.data

    imported(folder, spool)

    assert ObjectStore(folder).instance(UID).read_bytes() == part10
    assert part10[record.prefix_length :] == data_set


def test_nothing_of_an_earlier_instance_is_in_the_padding(folder, spool, keep):
    """The memory of a write is used again; what stands behind a record's bytes is not another patient's."""
    for number in range(8):
        keep(spool, f"1.2.{number}", b"\xaa" * 20_000)
    keep(spool, UID, b"short")

    *_, record = waiting(folder.root)
    whole = record.path.read_bytes()[record.offset : record.end]

    assert b"\xaa\xaa" not in whole


def test_a_record_of_an_earlier_layout_is_imported(folder, spool, keep):
    """Data that do not begin at a block and are known by their SHA-256, as they were before, are read right."""
    data_set = contents(10_000)
    keep(spool, UID, data_set)
    [record] = waiting(folder.root)
    spool.close()
    manifest = json.loads(record.manifest)
    del manifest["fingerprint"]
    before = json.dumps(manifest | {"sha256": hashlib.sha256(data_set).hexdigest()}).encode()
    head = encoded(record.kind, b"", before, record.prefix_length, len(record.data), record.number, 0)
    with record.path.open("r+b") as file:
        file.write(head + record.data)
    [record] = waiting(folder.root)
    part10 = record.data
    assert record.data_start % BLOCK != 0

    imported(folder, another(folder))

    assert ObjectStore(folder).instance(UID).read_bytes() == part10
    assert part10.endswith(data_set)


def test_a_file_system_without_direct_transfers_is_recognised(folder, monkeypatch):
    """Whether opening or writing is what it refuses, the flag is 0 and no probe is left."""
    real_open, real_write = os.open, os.pwrite

    def refuse_open(path, flags, *rest, **named):
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return real_open(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse_open)
    assert direct_flag(folder.spool) == 0
    monkeypatch.setattr(os, "open", real_open)

    def refuse_write(*_):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "pwrite", refuse_write)
    assert direct_flag(folder.spool) == 0
    monkeypatch.setattr(os, "pwrite", real_write)
    assert not list(folder.spool.glob("*.probe"))


def test_memory_is_lent_to_one_thread_at_a_time():
    """Who finds none free waits; what is larger than the pieces gets memory of its own."""
    blocks = Blocks(1, BLOCK)
    got = threading.Event()

    def borrow():
        with blocks.lent(1):
            got.set()

    with blocks.lent(BLOCK):
        waits = threading.Thread(target=borrow)
        waits.start()
        assert not got.wait(0.05)
        with blocks.lent(BLOCK + 1) as larger:
            assert len(larger) == 2 * BLOCK
    waits.join(5)
    assert got.is_set()


def test_reading_ends_with_the_file(tmp_path):
    """A file that ends within a block gives what it has."""
    path = tmp_path / "file"
    path.write_bytes(contents(BLOCK + 10))
    descriptor = os.open(path, os.O_RDWR)
    with Blocks(1, 4 * BLOCK).lent(4 * BLOCK) as memory:
        assert read_whole(descriptor, memory, 0) == BLOCK + 10
        assert memory[: BLOCK + 10] == contents(BLOCK + 10)
        write_whole(descriptor, memory[:BLOCK], 2 * BLOCK)
    os.close(descriptor)
    assert path.stat().st_size == 3 * BLOCK


class _Clock:
    """A time that passes only while somebody waits for the stop."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """How late it is."""
        return self.now

    def wait(self, seconds: float) -> bool:
        """Nobody stops anything."""
        self.now += seconds
        return False


@pytest.mark.parametrize(("per_look", "least", "most"), [(0, 0.0, 0.1), (100_000, 0.0, 0.1), (10_000_000, 2.0, 2.1)])
def test_the_importer_stands_back_while_much_arrives(folder, spool, monkeypatch, per_look, least, most):
    """It waits for two seconds while senders need the machine, and goes on at once when they do not."""
    importer, clock, seen = SpoolImporter(spool, ObjectStore(folder), NoRows()), _Clock(), []

    def bytes_written():
        seen.append(len(seen) * per_look)
        return seen[-1]

    monkeypatch.setattr(importer._pending, "bytes_written", bytes_written)
    monkeypatch.setattr("storage.importer.time", clock)

    importer._stand_back(clock)

    assert least <= clock.now <= most
