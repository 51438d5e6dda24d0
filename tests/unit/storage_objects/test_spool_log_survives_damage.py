"""The log of the spool under damage that no writer would make: what is whole is found, and nothing else."""

import hashlib
import os
import random
import struct

import pytest

from storage.objects.log_board import WrittenBoard
from storage.objects.log_reader import LogReader, log_folders
from storage.objects.log_record import ALIGNMENT, RecordKind
from storage.objects.log_segment import segment_path
from storage.objects.log_writer import LogWriter
from storage.objects.manifest import spooled_from_json
from storage.objects.spool import FileSpool
from storage.settings import SpoolSettings
from tests.peers.spool_content import waiting, waiting_digests

COUNT = 20
_DAMAGE_ROUNDS = 50


@pytest.fixture
def dead_log(folder, keep):
    """A log with twenty instances whose writer is gone; the path of its only segment and the digests by UID."""
    spool = FileSpool(folder, SpoolSettings(min_free_bytes=0))
    digests = {}
    for number in range(COUNT):
        uid, data_set = f"1.2.3.{number}", bytes([number]) * (3000 * (number % 4) + 10)
        keep(spool, uid, data_set)
        digests[uid] = hashlib.sha256(data_set).hexdigest()
    spool.close()
    [segment] = folder.logs.rglob("*.seg")
    return segment, digests


def extents(folder) -> dict[str, tuple[int, int]]:
    """Where each waiting instance lies in its segment, without the padding behind it."""
    return {
        spooled_from_json(record.manifest).header.sop_instance_uid: (
            record.offset,
            record.data_start + record.data_length,
        )
        for record in waiting(folder.root)
    }


@pytest.mark.parametrize("seed", range(4))
def test_damage_anywhere_costs_only_the_records_that_it_hits(folder, dead_log, seed):
    """Bits flipped, ranges zeroed or overwritten: every record outside of the damage is still found, with its bytes."""
    segment, digests = dead_log
    places = extents(folder)
    used = max(end for _, end in places.values())
    source = random.Random(seed)
    with segment.open("r+b", buffering=0) as file:
        for _ in range(_DAMAGE_ROUNDS):
            start, length = source.randrange(used), source.choice([1, 8, 100, 5000])
            whole = os.pread(file.fileno(), length, start)
            damage = source.choice([bytes(length), source.randbytes(length), (b"OVRL" * length)[:length]])
            os.pwrite(file.fileno(), damage, start)

            found = waiting_digests(folder.root)

            hit = {uid for uid, (first, end) in places.items() if first < start + length and start < end}
            assert {uid: digests[uid] for uid in digests.keys() - hit}.items() <= found.items()
            assert all(digests[uid] == found[uid] for uid in found.keys() - hit)
            os.pwrite(file.fileno(), whole, start)


@pytest.mark.parametrize("length", [0, 1, 44, 4096, 5000, 40_000])
def test_a_segment_that_was_cut_gives_what_is_left(folder, dead_log, length):
    """A file cut anywhere gives the records before the cut and raises nothing."""
    segment, digests = dead_log
    places = extents(folder)
    os.truncate(segment, length)

    assert waiting_digests(folder.root).keys() == {uid for uid, (_, end) in places.items() if end <= length}
    assert len(digests) == COUNT


def test_what_an_earlier_use_left_is_never_read_again(folder):
    """A segment that was full of whole records gives only those that were written since it got its new number."""
    writer = LogWriter(folder.logs)
    for _ in range(3):
        writer.append_note(RecordKind.ASSOCIATION, b"{}")
    writer.close()
    [log] = log_folders(folder)
    segment_path(log, 1).rename(log / "spare-0000000000000001")

    again = LogWriter(folder.logs)
    again.append_note(RecordKind.ASSOCIATION, b'{"new": 1}')
    again.close()

    reader = LogReader(log)
    assert [record.manifest for record in reader.records((0, 0))] == [b'{"new": 1}']
    reader.close()


def test_a_record_that_is_being_written_is_not_seen(folder):
    """A living writer's records count only up to the first that is not whole yet."""
    writer = LogWriter(folder.logs)
    first = writer.append(RecordKind.INSTANCE, b"1")
    writer.commit(first)
    [log] = log_folders(folder)
    with WrittenBoard(log / "written") as board:
        board.publish(first.number, 0, finished=False)  # as if the first write had not ended
        reader = LogReader(log)
        assert list(reader.records((0, 0))) == []
        board.publish(first.number, ALIGNMENT, finished=False)
        assert len(list(reader.records((0, 0)))) == 1
        reader.close()
    writer.close()


def test_numbers_are_never_used_twice(folder):
    """A writer that finds its log's shared pages gone begins behind every number that a file bears."""
    for _ in range(3):
        writer = LogWriter(folder.logs)
        writer.append_note(RecordKind.ASSOCIATION, b"{}")
        writer.close()
        [log] = log_folders(folder)
        (log / "written").write_bytes(struct.pack("<Q", 0))
        (log / "imported").unlink()

    assert [path.name for path in sorted(log.glob("*.seg"))] == [f"{number:016d}.seg" for number in (1, 2, 3)]
