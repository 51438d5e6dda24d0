"""One study cannot have everything: what a quota refuses, what it leaves alone, and what many instances cost."""

import gc
import pathlib
import tracemalloc
from collections import Counter
from dataclasses import replace

import pytest

from listener.scp.file_meta import part10_prefix
from listener.scp.status import SUCCESS
from listener.scp.store import StoreHandler, StoreRequest
from storage.domain.study import KeepOutcome, StudySize
from storage.errors import DatabaseUnavailable, SpoolFull, StudyFull
from storage.importer import SpoolImporter
from storage.objects import claims
from storage.objects.incoming import LARGEST_IN_LOG
from storage.objects.object_store import ObjectStore
from storage.objects.spool import FileSpool
from storage.settings import SpoolSettings
from tests.peers.raw_sender import CT, EXPLICIT, ct_data_set
from tests.peers.spool_content import waiting, waiting_quarantined
from tests.peers.spool_import import NoRows
from tests.unit.storage_objects.conftest import ASSOCIATION, NOW

STUDY, OTHER = "1.2.3", "1.2.4"
_LIMITS = {"most_instances_per_study": 3, "most_bytes_per_study": 10_000}


class Rows:
    """Counts what it is given, each UID once, and remembers which studies were called full."""

    def __init__(self) -> None:
        self.instances: dict[str, tuple[str, int]] = {}
        self.full: list[tuple[str, StudySize]] = []

    def digests(self, sop_instance_uids) -> dict[str, str]:
        """Nothing has a row."""
        return {}

    def record(self, arrivals, quarantined, associations) -> dict[str, StudySize]:
        """Remember."""
        self.instances |= {it.header.sop_instance_uid: (it.header.study_instance_uid, it.size) for it in arrivals}
        return self.sizes({arrival.header.study_instance_uid for arrival in arrivals})

    def sizes(self, study_instance_uids) -> dict[str, StudySize]:
        """Count."""
        instances, sizes = Counter(), Counter()
        for study, size in self.instances.values():
            instances[study] += 1
            sizes[study] += size
        return {uid: StudySize(instances[uid], sizes[uid]) for uid in study_instance_uids if uid in instances}

    def record_full_study(self, study_instance_uid, size) -> None:
        """Remember."""
        self.full.append((study_instance_uid, size))


@pytest.fixture
def rows():
    """Rows of one test."""
    return Rows()


@pytest.fixture
def open_spool(folder):
    """Makes a spool with a quota, as each process has its own."""
    return lambda **limits: FileSpool(folder, SpoolSettings(min_free_bytes=0, **{**_LIMITS, **limits}))


@pytest.fixture
def keep_in(header):
    """Keeps an instance of a study."""

    def keep(spool: FileSpool, uid: str, data_set: bytes = b"data set", study: str = STUDY) -> KeepOutcome:
        made = replace(header(uid), study_instance_uid=study)
        coming = spool.receive(part10_prefix(made.sop_class_uid, uid, made.transfer_syntax_uid, "CT1"))
        coming.add(data_set)
        if len(data_set) > LARGEST_IN_LOG:
            coming.spill()
        return spool.keep(coming, made, ASSOCIATION, NOW)

    return keep


def import_with(spool, rows) -> None:
    """Import as a process that was just started."""
    SpoolImporter(spool, ObjectStore(spool.folder), rows).import_pending()


@pytest.fixture
def full(open_spool, keep_in, rows):
    """A spool whose study 1.2.3 has its three instances."""
    spool = open_spool()
    for number in range(3):
        assert keep_in(spool, f"1.2.3.{number}") is KeepOutcome.STORED
    import_with(spool, rows)
    return spool


@pytest.mark.parametrize("data_set", [b"more", bytes(LARGEST_IN_LOG + 1)])
def test_a_full_study_takes_no_more(folder, full, open_spool, keep_in, rows, data_set):
    """A further instance is refused in every process, and leaves no record, no file and no claim."""
    for spool in (full, open_spool()):
        with pytest.raises(StudyFull, match="most_instances_per_study"):
            keep_in(spool, "1.2.3.9", data_set)

    assert issubclass(StudyFull, SpoolFull)
    assert rows.full == [(STUDY, StudySize(3, 24))]
    assert waiting(folder.root) == []
    assert list(folder.large.iterdir()) == []
    assert claims.Claims(folder).count() == 0


def test_other_studies_of_the_same_peer_go_on(full, keep_in, rows):
    """The quota is the study's, not the sender's."""
    assert keep_in(full, "1.2.4.1", study=OTHER) is KeepOutcome.STORED
    import_with(full, rows)
    assert rows.instances["1.2.4.1"] == (OTHER, 8)


def test_what_a_full_study_has_is_still_acknowledged(folder, full, keep_in):
    """The same bytes again are a success, without a second copy."""
    assert keep_in(full, "1.2.3.1") is KeepOutcome.ALREADY_HELD
    assert waiting(folder.root) == []


def test_other_bytes_of_a_full_study_do_not_fill_the_quarantine(folder, full, keep_in):
    """A conflict would keep bytes too, so it is refused like anything else of the study."""
    with pytest.raises(StudyFull):
        keep_in(full, "1.2.3.1", b"other bytes")
    assert waiting_quarantined(folder.root) == []


def test_what_was_acknowledged_before_the_study_was_full_is_imported(open_spool, keep_in, rows):
    """What waits when the quota is reached was promised: all of it gets its rows, and is a success if sent again."""
    spool = open_spool()
    for number in range(150):
        assert keep_in(spool, f"1.2.3.{number}") is KeepOutcome.STORED
    spool.full_studies.add(STUDY)

    assert keep_in(spool, "1.2.3.149") is KeepOutcome.ALREADY_HELD
    import_with(spool, rows)

    assert len(rows.instances) == 150
    assert keep_in(spool, "1.2.3.149") is KeepOutcome.ALREADY_HELD


def test_bytes_fill_a_study_too(open_spool, keep_in, rows):
    """Few instances may be too many bytes."""
    spool = open_spool()
    keep_in(spool, "1.2.3.1", bytes(10_000))
    import_with(spool, rows)

    with pytest.raises(StudyFull):
        keep_in(spool, "1.2.3.2")


def test_a_study_is_called_full_once(open_spool, keep_in, rows, caplog):
    """One audit row and one line of the log, which names the study and nobody, however much is imported after it."""
    spool = open_spool()
    for number in range(250):  # the batches of one import
        keep_in(spool, f"1.2.3.{number}")
    import_with(spool, rows)
    import_with(open_spool(), rows)

    assert len(rows.instances) == 250
    assert rows.full == [(STUDY, StudySize(100, 800))]
    [line] = [record.getMessage() for record in caplog.records if "is full" in record.getMessage()]
    assert STUDY in line
    assert "P1" not in line
    assert "CT1" not in line


def test_a_name_on_disk_does_not_come_from_the_wire(folder, full):
    """The file of a full study is named by a digest."""
    [file] = folder.full_studies.iterdir()
    assert len(bytes.fromhex(file.name)) == 20


@pytest.mark.parametrize("change", ["the quota is raised", "the study is gone"])
def test_a_study_below_the_quota_is_open_after_a_start(full, open_spool, keep_in, rows, change):
    """What an importer finds full at its start is looked at again."""
    if change == "the study is gone":
        rows.instances.clear()
    spool = open_spool(most_instances_per_study=4) if change == "the quota is raised" else open_spool()

    import_with(spool, rows)

    assert keep_in(full, "1.2.3.9") is KeepOutcome.STORED


def test_a_full_study_is_full_after_a_start(full, open_spool, keep_in, rows):
    """A restart alone opens nothing; a file that a crash left half written is removed."""
    (full.folder.full_studies / "00").write_bytes(b"")

    import_with(open_spool(), rows)

    assert len(list(full.folder.full_studies.iterdir())) == 1
    with pytest.raises(StudyFull):
        keep_in(full, "1.2.3.9")


def test_a_study_whose_file_could_not_be_made_is_full_at_the_next_try(open_spool, keep_in, rows, monkeypatch):
    """A disk that refuses the file costs a second try of the batch, and nothing that was acknowledged."""
    spool = open_spool()
    for number in range(3):
        keep_in(spool, f"1.2.3.{number}")
    importer = SpoolImporter(spool, ObjectStore(spool.folder), rows)
    with monkeypatch.context() as bad_disk:
        bad_disk.setattr("storage.objects.full_studies.write_new", _refuse)
        with pytest.raises(OSError, match="refused"):
            importer.import_pending()

    importer.import_pending()

    assert len(rows.instances) == 3
    with pytest.raises(StudyFull):
        keep_in(spool, "1.2.3.9")


def _refuse(*_: object) -> None:
    raise OSError(5, "refused")


def test_a_study_is_not_closed_without_its_audit_row(open_spool, keep_in, rows, monkeypatch):
    """A database that goes away between the rows and the audit row leaves the study open; the next try closes it."""
    spool = open_spool()
    for number in range(3):
        keep_in(spool, f"1.2.3.{number}")
    importer = SpoolImporter(spool, ObjectStore(spool.folder), rows)
    with monkeypatch.context() as away:
        away.setattr(rows, "record_full_study", _away)
        with pytest.raises(DatabaseUnavailable):
            importer.import_pending()
    assert not spool.full_studies.has(STUDY)

    importer.import_pending()

    assert spool.full_studies.has(STUDY)
    assert [study for study, _ in rows.full] == [STUDY]


def _away(*_: object) -> None:
    raise DatabaseUnavailable


def test_a_receiver_remembers_a_limited_number_of_instances(open_spool, keep_in, monkeypatch):
    """While nothing is imported what a receiver knows by heart has an end; what it forgot is acknowledged as well."""
    monkeypatch.setattr("storage.objects.spool._REMEMBERED", 20)
    spool = open_spool()
    for number in range(200):
        assert keep_in(spool, f"1.2.3.{number}") is KeepOutcome.STORED

    assert len(spool._durable) == 20
    assert keep_in(spool, "1.2.3.0") is KeepOutcome.ALREADY_HELD


def test_a_study_of_many_instances_takes_no_more_memory(folder, open_spool):
    """What receiver and importer remember does not grow with the study: of 2400 instances more, not 10 bytes each."""
    # The interpreter's own table of interned strings grows by leaps when paths come and go, and is not ours.
    ours = tracemalloc.Filter(False, pathlib.__file__)
    spool = open_spool()
    handler, importer = StoreHandler(spool), SpoolImporter(spool, ObjectStore(folder), NoRows())

    def receive(numbers: range) -> int:
        for start in range(numbers.start, numbers.stop, 200):
            for number in range(start, start + 200):
                assert handler.handle(_request(spool, f"1.2.3.{number}")) == SUCCESS
            importer.import_pending()
        gc.collect()
        traces = tracemalloc.take_snapshot().filter_traces([ours, tracemalloc.Filter(False, tracemalloc.__file__)])
        return sum(trace.size for trace in traces.traces)

    tracemalloc.start()
    try:
        before = receive(range(600))
        after = receive(range(600, 3000))
    finally:
        tracemalloc.stop()

    assert after - before < 2400 * 10


def _request(spool: FileSpool, uid: str) -> StoreRequest:
    coming = spool.receive(part10_prefix(CT, uid, EXPLICIT, "CT1"))
    coming.add(ct_data_set(uid))
    return StoreRequest(CT, uid, CT, EXPLICIT, coming, ASSOCIATION)
