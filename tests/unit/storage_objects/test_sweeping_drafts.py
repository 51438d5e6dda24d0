"""What an importer that starts removes, and what it leaves to those who still write it."""

import os

from storage.objects.object_store import ObjectStore
from storage.objects.sweep import sweep

_AN_HOUR = 3601.0


def test_evidence_that_is_being_frozen_survives_the_start_of_an_importer(folder):
    """An inference worker freezes while the listener starts beside it: the bytes get their lasting name."""
    store = ObjectStore(folder)

    def pieces():
        yield b"the first half, "
        sweep(folder)
        yield b"and the second"

    frozen = store.freeze(pieces())

    assert store.evidence(frozen.sha256).read_bytes() == b"the first half, and the second"


def test_a_draft_that_nobody_writes_any_more_is_removed(folder):
    """What a killed worker left in the evidence goes an hour later, what one left in the objects at once.

    So does what a killed receiver left of messages of peers.
    """
    shared = (folder.evidence, folder.commitments, folder.commitment_reports, folder.availability)
    left = [each / "left.part" for each in shared]
    fresh = folder.evidence / "fresh.part"
    imported = folder.objects / "ab" / "imported.part"
    imported.parent.mkdir(exist_ok=True)
    for path in (*left, fresh, imported):
        path.write_bytes(b"half")
    for path in left:
        os.utime(path, (path.stat().st_mtime - _AN_HOUR,) * 2)

    assert sweep(folder) == 5
    assert [path.exists() for path in (*left, fresh, imported)] == [False, False, False, False, True, False]
