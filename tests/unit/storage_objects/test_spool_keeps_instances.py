"""The spool: what it keeps survives, what it cannot keep it does not promise."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.domain.study import KeepOutcome
from storage.errors import SpoolFull, SpoolWriteFailed
from storage.objects import durable
from storage.objects.capacity import spool_usage
from storage.objects.object_store import ObjectStore
from storage.objects.spool import FileSpool
from storage.settings import SpoolSettings

UID = "1.2.3.4.5"


def files(folder) -> list[Path]:
    """Every file below the data folder but the locks."""
    return sorted(path for path in folder.root.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_a_new_instance_is_two_files_and_a_claim(folder, spool, keep):
    """After STORED, the entry holds the prefix and exactly the received bytes, and its manifest has two names."""
    assert keep(spool, UID, b"data set") is KeepOutcome.STORED

    [data] = folder.entries.glob("*.dcm")
    [manifest] = folder.entries.glob("*.json")
    assert data.read_bytes().endswith(b"data set")
    assert data.read_bytes()[:132] == bytes(128) + b"DICM"
    assert manifest.stat().st_nlink == 2
    assert manifest.samefile(folder.claim(UID))


def test_nothing_in_the_data_folder_is_readable_by_others(folder, spool, keep):
    """Files are 0600 and folders 0700, whatever the umask allows."""
    keep(spool, UID, b"data set")

    for path in [folder.root, *folder.root.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_no_file_name_comes_from_the_instance(folder, spool, keep):
    """The SOP Instance UID appears in no path below the data folder."""
    keep(spool, UID, b"data set")

    assert all(UID not in str(path.relative_to(folder.root)) for path in folder.root.rglob("*"))


def test_the_same_bytes_again_are_already_held(folder, spool, keep):
    """A duplicate is a success without a second copy."""
    keep(spool, UID, b"data set")
    before = files(folder)

    assert keep(spool, UID, b"data set") is KeepOutcome.ALREADY_HELD
    assert files(folder) == before


def test_other_bytes_under_the_same_uid_go_to_quarantine(folder, spool, keep):
    """The first copy stays as it was; the second is set aside with a note."""
    keep(spool, UID, b"first")
    [first] = folder.entries.glob("*.dcm")
    before = first.read_bytes()

    assert keep(spool, UID, b"second") is KeepOutcome.CONFLICT
    assert first.read_bytes() == before
    [quarantined] = folder.quarantined_objects.iterdir()
    assert quarantined.read_bytes() == b"second"
    assert [note.stem for note in folder.quarantine_notes.glob("*.json")] == [quarantined.stem]


@pytest.mark.parametrize(("again", "outcome"), [(b"one", KeepOutcome.ALREADY_HELD), (b"two", KeepOutcome.CONFLICT)])
def test_an_imported_instance_still_holds_its_uid(folder, spool, keep, again, outcome):
    """After the entry has left the spool, the object decides between ALREADY_HELD and CONFLICT."""
    keep(spool, UID, b"one")
    _import_without_rows(folder)

    assert keep(spool, UID, again) is outcome
    assert ObjectStore(folder).instance(UID).read_bytes().endswith(b"one")


def test_an_import_between_check_and_claim_is_noticed(folder, spool, keep, monkeypatch):
    """If an equal entry is imported after our first look and before our link, no second entry remains."""
    other = FileSpool(folder, SpoolSettings(min_free_bytes=0))
    real_link, raced = os.link, []

    def link_after_an_import(source, target):
        if not raced:
            raced.append(True)
            keep(other, UID, b"one")
            _import_without_rows(folder)
        real_link(source, target)

    monkeypatch.setattr(os, "link", link_after_an_import)

    assert keep(spool, UID, b"two") is KeepOutcome.CONFLICT
    assert ObjectStore(folder).instance(UID).read_bytes().endswith(b"one")
    assert not list(folder.entries.iterdir())
    assert not list(folder.claims.iterdir())


def test_eight_senders_of_one_instance_leave_one_copy(folder, keep):
    """Concurrent keepers of the same bytes, each with its own spool object, all succeed; one entry exists."""
    spools = [FileSpool(folder, SpoolSettings(min_free_bytes=0)) for _ in range(8)]
    together = threading.Barrier(8)

    def send(spool):
        together.wait()
        return keep(spool, UID, b"data set" * 1000)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(send, spools))

    assert outcomes.count(KeepOutcome.STORED) == 1
    assert outcomes.count(KeepOutcome.ALREADY_HELD) == 7
    assert len(list(folder.entries.glob("*.dcm"))) == len(list(folder.entries.glob("*.json"))) == 1


def test_a_full_spool_keeps_nothing(folder, keep):
    """Past the cap keep raises SpoolFull and leaves no file."""
    spool = FileSpool(folder, SpoolSettings(cap_bytes=100, min_free_bytes=0))

    with pytest.raises(SpoolFull):
        keep(spool, UID, bytes(1000))
    assert files(folder) == []


def test_a_full_disk_is_respected(folder, keep):
    """Below the watermark keep raises SpoolFull, whatever the cap."""
    spool = FileSpool(folder, SpoolSettings(min_free_bytes=2**62))

    with pytest.raises(SpoolFull):
        keep(spool, UID, b"data set")
    assert files(folder) == []


def test_a_duplicate_needs_no_room(folder, keep):
    """What is held already is a success even when nothing more fits."""
    spool = FileSpool(folder, SpoolSettings(cap_bytes=2000, min_free_bytes=0))
    keep(spool, UID, bytes(500))

    with pytest.raises(SpoolFull):
        keep(spool, "1.2.3.4.6", bytes(1000))
    assert keep(spool, UID, bytes(500)) is KeepOutcome.ALREADY_HELD


@pytest.mark.parametrize("failing_call", range(4))
def test_a_failed_sync_is_never_a_success(folder, spool, keep, monkeypatch, failing_call):
    """EIO from any one of the syncs raises SpoolWriteFailed; the sender's next try is judged on its own."""
    calls = []

    def failing(real):
        def sync(descriptor):
            calls.append(descriptor)
            if len(calls) == failing_call + 1:
                raise OSError(errno.EIO, "Input/output error")
            real(descriptor)

        return sync

    monkeypatch.setattr(os, "fdatasync", failing(os.fdatasync))
    monkeypatch.setattr(os, "fsync", failing(os.fsync))

    with pytest.raises(SpoolWriteFailed):
        keep(spool, UID, b"data set")
    claimed = failing_call == 3  # a link that others may have seen stays
    assert len(list(folder.entries.iterdir())) == (2 if claimed else 0)
    assert keep(spool, UID, b"data set") is (KeepOutcome.ALREADY_HELD if claimed else KeepOutcome.STORED)


def test_a_full_file_system_counts_as_a_full_spool(spool, keep, monkeypatch):
    """ENOSPC while writing raises SpoolFull."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable.os, "write", full)

    with pytest.raises(SpoolFull):
        keep(spool, UID, b"data set")


def test_everything_is_synced_before_keep_returns(folder, spool, keep, monkeypatch):
    """Data and manifest are synced before they are named, the folders after it; the claim comes last."""
    events = _recorded(monkeypatch)

    keep(spool, UID, b"data set")

    assert events == [
        "fdatasync .part",
        "rename .dcm",
        "fdatasync .json",
        "fsync entries",
        "link claims",
        "fsync claims",
    ]


def test_a_duplicate_syncs_the_folder_of_the_first(folder, spool, keep, monkeypatch):
    """A duplicate may overtake the first sender's last sync, so it syncs the claims itself."""
    keep(spool, UID, b"data set")
    events = _recorded(monkeypatch)

    keep(spool, UID, b"data set")

    assert events == ["fsync claims"]


def test_the_usage_counts_entries_and_bytes(folder, spool, keep):
    """Usage is what waits: two entries of at least the size of their data sets."""
    keep(spool, "1.2.1", bytes(1000))
    keep(spool, "1.2.2", bytes(2000))

    usage = spool_usage(folder)
    assert usage.entries == 2
    assert 3000 < usage.bytes < 8000


def test_a_crash_leaves_nothing_behind_after_the_next_start(folder, spool, keep):
    """Unfinished files and unclaimed entries are swept at the first start; what was claimed stays."""
    keep(spool, UID, b"data set")
    kept = files(folder)
    for leftover in ("1-a.part", "1-b.dcm", "1-c.dcm", "1-c.json"):
        (folder.entries / leftover).write_bytes(b"{}")
    (folder.claims / "orphan.json").write_bytes(b"{}")
    (folder.quarantined_objects / "1-d.part").write_bytes(b"x")
    (folder.association_notes / "1-e.part").write_bytes(b"x")
    spool.close()

    FileSpool(folder, SpoolSettings(min_free_bytes=0))

    assert files(folder) == kept


def test_nobody_sweeps_while_another_writes(folder, spool):
    """A second listener on one spool removes nothing, because unfinished files may be the first one's."""
    unfinished = folder.entries / "1-a.part"
    unfinished.write_bytes(b"half")

    FileSpool(folder, SpoolSettings(min_free_bytes=0))

    assert unfinished.exists()


def _import_without_rows(folder) -> None:
    [manifest] = [path for path in folder.entries.glob("*.json") if path.samefile(folder.claim(UID))]
    data = manifest.with_suffix(".dcm")
    durable.sync_folder(ObjectStore(folder).adopt(data, UID))
    folder.claim(UID).unlink()
    manifest.unlink()
    data.unlink()


def _recorded(monkeypatch) -> list[str]:
    events: list[str] = []

    def name(descriptor) -> str:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        return path.suffix or path.name

    real = {call: getattr(os, call) for call in ("fsync", "fdatasync", "link")}
    real_rename = Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append(f"fsync {name(fd)}"), real["fsync"](fd))[1])
    monkeypatch.setattr(os, "fdatasync", lambda fd: (events.append(f"fdatasync {name(fd)}"), real["fdatasync"](fd))[1])
    monkeypatch.setattr(os, "link", lambda a, b: (events.append(f"link {Path(b).parent.name}"), real["link"](a, b))[1])
    monkeypatch.setattr(
        Path, "rename", lambda self, to: (events.append(f"rename {Path(to).suffix}"), real_rename(self, to))[1]
    )
    return events
