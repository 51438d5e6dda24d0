"""An instance too large for the log is written past the page cache while it arrives."""

import os
import random
from pathlib import Path

import pytest

from storage.objects.direct import BLOCK, direct_flag
from storage.objects.large_file import LargeFile

MIB = 1024 * 1024
SIZES = [0, 1, BLOCK, MIB - 1, MIB, MIB + 1, 3 * MIB + BLOCK, 3 * MIB + 5]


def pieces_of(content, largest, source):
    """Cut at places that have nothing to do with blocks."""
    while content:
        size = source.randint(1, largest)
        yield content[:size]
        content = content[size:]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("direct", [True, False], ids=["as-the-file-system-can", "through-the-cache"])
def test_the_file_has_what_was_written_byte_for_byte(tmp_path, size, direct):
    """Sizes on both sides of a block and of what is gathered leave no byte too many and none too few."""
    source = random.Random(size)
    content = source.randbytes(size)
    file = LargeFile(tmp_path / "large", direct_flag(tmp_path) if direct else 0)

    for piece in pieces_of(content, 300_000, source):
        file.write([piece])
    file.finish()

    assert (tmp_path / "large").read_bytes() == content


def test_what_was_taken_can_be_read_before_it_is_on_the_disk(tmp_path):
    """Readers of a header do not notice which part of it was written already."""
    content = random.Random(1).randbytes(2 * MIB + 70_000)
    file = LargeFile(tmp_path / "large", direct_flag(tmp_path))
    file.write([content])

    for size, offset in [(10, 0), (10, 2 * MIB - 5), (3 * MIB, 300), (10, 2 * MIB + 5), (10, len(content) - 5)]:
        assert file.read(size, offset) == content[offset : offset + size]
    file.close()


def test_a_write_that_fails_leaves_no_descriptor(tmp_path, monkeypatch):
    """Whoever drops the file closes it, whatever happened before."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    file = LargeFile(tmp_path / "large", direct_flag(tmp_path))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", fail)
    with pytest.raises(OSError, match="No space"):
        file.write([bytes(MIB)])
    file.close()

    assert len(list(Path("/proc/self/fd").iterdir())) == before
