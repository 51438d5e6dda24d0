"""The listener's own process: killed, stopped, without a database, and two of them on one spool."""

import hashlib
import os
import re
import signal
import threading
from pathlib import Path

import pytest

from listener.errors import ListenerError
from listener.main import serve
from listener.settings import ListenerSettings
from storage.domain.completeness import Patience
from storage.errors import DatabaseUnavailable, StorageError
from storage.objects.claims import Claims
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.settings import SpoolSettings
from tests.peers.raw_sender import associated, ct_data_set, kept_digests, pixels, rows, send
from tests.peers.spool_content import waiting

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
ROUNDS, SENDERS = 3, 4


def test_nothing_acknowledged_is_lost_when_the_listener_is_killed(listener_process, tmp_path):
    """Senders note each 0x0000; the listener is killed three times midway; every noted instance is found."""
    ledger: dict[str, str] = {}
    for round_number in range(ROUNDS):
        listener = listener_process()
        enough = threading.Event()
        senders = [
            threading.Thread(
                target=_send_until_it_dies, args=(listener.port, f"1.2.{round_number}.{each}", ledger, enough)
            )
            for each in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        assert enough.wait(60)
        listener.kill()
        for sender in senders:
            sender.join()

    last = listener_process()  # sweeps what the kills left unfinished
    code, _ = last.terminate()

    kept = kept_digests(tmp_path / "data")
    assert code == 0
    assert len(ledger) > ROUNDS * 10
    assert {uid: digest for uid, digest in ledger.items() if kept.get(uid) != digest} == {}
    assert not list((tmp_path / "data").rglob("*.part"))


def test_a_listener_without_database_acknowledges_and_imports_later(listener_process, tmp_path, database_url):
    """With PostgreSQL away 0x0000 is given; the next start imports what waits, and an association row names the end."""
    without = listener_process(NOWHERE)
    with associated(without.port) as association:
        assert send(association, ct_data_set("1.2.3.1"), "1.2.3.1") == 0x0000
    code, logged = without.terminate()
    assert code == 0
    assert logged.count("The database does not answer") == 1

    code, _ = listener_process(database_url).terminate()

    assert code == 0
    assert rows(database_url, "SELECT sop_instance_uid FROM instance") == [("1.2.3.1",)]
    assert rows(database_url, "SELECT ending, stored_count FROM association") == [("released", 1)]
    assert rows(database_url, "SELECT action FROM audit_event WHERE action LIKE 'application%' ORDER BY 1") == [
        ("application-started",),
        ("application-stopped",),
    ]
    assert waiting(tmp_path / "data") == []
    assert list((tmp_path / "data" / "spool").rglob("*.seg")) == []


def test_sigterm_aborts_an_idle_association_and_ends_with_zero(listener_process):
    """A peer that holds its association open does not hold up the end."""
    listener = listener_process()

    with associated(listener.port) as association:
        assert send(association, ct_data_set("1.2.3.1"), "1.2.3.1") == 0x0000
        code, _ = listener.terminate()
    assert code == 0


def test_no_patient_data_is_logged(listener_process):
    """Names and identifiers from data sets, commands and garbage appear in no output of the process."""
    listener = listener_process()
    with associated(listener.port) as association:
        for data_set, uid in (
            (ct_data_set("1.2.3.1"), "1.2.3.1"),
            (ct_data_set("1.2.3.1", b"other"), "1.2.3.1"),
            (ct_data_set("1.2.3.2", study="CANARY.UID"), "1.2.3.2"),
            (b"CANARY garbage", "1.2.3.3"),
            (ct_data_set("1.2.3.4"), "CANARY^UID"),
        ):
            assert send(association, data_set, uid) is not None

    _, logged = listener.terminate()

    assert "0xC000" in logged
    assert "CANARY" not in logged


def test_two_listeners_on_one_spool_import_nothing_twice(open_door, database_url):
    """Both take different and equal instances and import at once; each instance has one row and one audit row."""
    first, second = open_door(), open_door()
    for number, port in enumerate([first.port, second.port] * 10):
        uid = f"1.2.3.{number // 2}"
        with associated(port) as association:
            assert send(association, ct_data_set(uid), uid) == 0x0000
    importers = [door.importer(database_url) for door in (first, second)]
    together = threading.Barrier(2)

    def run(importer) -> None:
        together.wait()
        importer.import_pending()

    threads = [threading.Thread(target=run, args=(importer,)) for importer in importers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert rows(database_url, "SELECT count(*), count(DISTINCT sop_instance_uid) FROM instance") == [(10, 10)]
    assert rows(database_url, "SELECT count(*) FROM audit_event WHERE action = 'instance-stored'") == [(10,)]


def test_the_importer_waits_for_the_database_and_says_so_once(open_door, database_url, caplog):
    """Without a database import_pending raises and keeps everything; with one it imports; a second run has nothing."""
    door = open_door()
    with associated(door.port) as association:
        assert send(association, ct_data_set("1.2.3.1"), "1.2.3.1") == 0x0000

    with pytest.raises(DatabaseUnavailable):
        door.importer(NOWHERE).import_pending()
    assert len(waiting(door.folder.root)) == 1

    assert door.importer(database_url).import_pending() >= 1
    assert waiting(door.folder.root) == []
    assert Claims(door.folder).count() == 0


@pytest.mark.parametrize("damage", ["flip", "head", "manifest"])
def test_damage_in_the_spool_is_set_aside_and_blocks_nobody(open_door, database_url, caplog, damage):
    """An entry whose bytes or manifest rot is quarantined with a row and a log line; the others are imported."""
    door = open_door()
    with associated(door.port) as association:
        for number in (1, 2, 3):
            assert send(association, ct_data_set(f"1.2.3.{number}"), f"1.2.3.{number}") == 0x0000
    second = waiting(door.folder.root)[1]
    _damage(door.folder, second, damage)

    door.importer(database_url).import_pending()

    assert rows(database_url, "SELECT sop_instance_uid FROM instance ORDER BY 1") == [("1.2.3.1",), ("1.2.3.3",)]
    uid = "1.2.3.2" if damage == "flip" else ""
    assert rows(database_url, "SELECT reason, sop_instance_uid FROM quarantined_object") == [("damaged", uid)]
    assert f"{second.number:016d}-{second.offset:08x}" in caplog.text
    with associated(door.port) as association:
        assert send(association, ct_data_set("1.2.3.2"), "1.2.3.2") == 0x0000  # the sender may mend it
    assert "1.2.3.2" in kept_digests(door.folder.root)


def test_rows_that_are_refused_hold_up_nobody_else(open_door, database_url, caplog, monkeypatch):
    """An entry whose rows the database refuses stays in the spool, is named once, and the others are imported."""
    door = open_door()
    with associated(door.port) as association:
        for number in (1, 2, 3):
            assert send(association, ct_data_set(f"1.2.3.{number}"), f"1.2.3.{number}") == 0x0000
    record = PostgresArrivalLog.record

    def refuse_one(self, arrivals, quarantined, associations):
        if any(arrival.header.sop_instance_uid == "1.2.3.2" for arrival in arrivals):
            raise StorageError("The database refused a change.")
        return record(self, arrivals, quarantined, associations)

    monkeypatch.setattr(PostgresArrivalLog, "record", refuse_one)
    importer = door.importer(database_url)
    importer.import_pending()
    importer.import_pending()

    assert rows(database_url, "SELECT sop_instance_uid FROM instance ORDER BY 1") == [("1.2.3.1",), ("1.2.3.3",)]
    assert len(waiting(door.folder.root)) >= 1
    assert caplog.text.count("stays in the spool") == 1


def test_a_crash_between_rows_and_removal_changes_nothing(open_door, database_url, monkeypatch):
    """Importing the same entries again gives no second row and no quarantine."""
    door = open_door()
    with associated(door.port) as association:
        for number in (1, 2):
            assert send(association, ct_data_set(f"1.2.3.{number}"), f"1.2.3.{number}") == 0x0000
    with monkeypatch.context() as crashing:
        crashing.setattr("storage.objects.pending.PendingEntries.forget", lambda *_: None)
        door.importer(database_url).import_pending()
    assert len(waiting(door.folder.root)) == 2

    door.importer(database_url).import_pending()

    assert rows(database_url, "SELECT count(*) FROM instance") == [(2,)]
    assert rows(database_url, "SELECT count(*) FROM quarantined_object") == [(0,)]
    assert waiting(door.folder.root) == []


def test_other_bytes_never_take_the_place_of_a_file_that_was_lost(open_door, database_url):
    """The row remembers what was acknowledged: other bytes are set aside, the same ones again restore the file."""
    door = open_door()
    importer = door.importer(database_url)
    first, other = ct_data_set("1.2.3.1", b"first"), ct_data_set("1.2.3.1", b"other")
    with associated(door.port) as association:
        assert send(association, first, "1.2.3.1") == 0x0000
        importer.import_pending()
        [file] = door.folder.objects.rglob("*.dcm")
        file.unlink()
        send(association, other, "1.2.3.1")
        importer.import_pending()
        assert not file.exists()
        assert rows(database_url, "SELECT reason FROM quarantined_object") == [("conflict",)]
        assert send(association, first, "1.2.3.1") == 0x0000
    importer.import_pending()

    assert kept_digests(door.folder.root) == {"1.2.3.1": hashlib.sha256(first).hexdigest()}
    assert rows(database_url, "SELECT sha256 FROM instance") == [(hashlib.sha256(first).hexdigest(),)]


def test_an_open_door_to_the_network_is_refused_at_the_start(tmp_path):
    """Without peers serve refuses before it listens or makes a folder."""
    with pytest.raises(ListenerError, match=r"\[\[listener\.peers\]\]"):
        serve(
            ListenerSettings(host="0.0.0.0"),  # noqa: S104 - refused here
            data_dir=tmp_path / "data",
            database_url=NOWHERE,
            spool=SpoolSettings(),
            patience=Patience.of_quiet(60),
        )
    assert not (tmp_path / "data").exists()


def test_every_answer_follows_its_sync(listener_process, tmp_path):
    """Seen from the kernel: the record is written, the segment is synced, then comes the answer."""
    trace = tmp_path / "trace"
    listener = listener_process(prefix=_traced(trace))
    count = 5
    with associated(listener.port) as association:
        for number in range(count):
            assert send(association, ct_data_set(f"1.2.3.{number}"), f"1.2.3.{number}") == 0x0000
    _end_of_traced(listener)

    assert _story(trace.read_text()).startswith(" ".join(["N", *["W S A"] * count]))


def test_the_answer_to_a_large_instance_follows_the_syncs_of_its_file(listener_process, tmp_path):
    """Its data, the folder that names it and then the record are synced before the answer."""
    trace = tmp_path / "trace"
    listener = listener_process(prefix=_traced(trace))
    with associated(listener.port) as association:
        assert send(association, ct_data_set("1.2.3.1") + pixels(4 * 1024 * 1024), "1.2.3.1") == 0x0000
    _end_of_traced(listener)

    assert _story(trace.read_text()).startswith("D L N W S A")


def _story(trace: str) -> str:
    """One letter for each step of keeping an instance: D data of a large file synced, L their folder synced, N a new
    segment's name synced, W a record written, S the segment synced, A answered (a P-DATA-TF PDU sent)."""
    letters = (
        ("D", r"fdatasync\(\d+<[^>]*/large/[^>]*\.dcm>"),
        ("L", r"fsync\(\d+<[^>]*/large>"),
        ("N", r"fsync\(\d+<[^>]*/log/\d+>"),
        ("W", r"pwrite64\(\d+<[^>]*\.seg>"),
        ("S", r"fdatasync\(\d+<[^>]*\.seg>"),
        ("A", r"send(to|msg)\(\d+<[^>]*>, .*\"\\4\\0"),
    )
    steps = []
    for line in trace.splitlines():
        steps += [letter for letter, pattern in letters if re.search(pattern, line) and "resumed" not in line]
    return " ".join(steps)


def _traced(trace: Path) -> tuple[str, ...]:
    """What to put before a command, so that the system calls of storing and answering are written down."""
    calls = "trace=pwrite64,fsync,fdatasync,sendto,sendmsg"
    return ("strace", "-f", "-y", "-qq", "-o", str(trace), "-e", calls)


def _end_of_traced(listener) -> None:
    [child] = Path(f"/proc/{listener.process.pid}/task/{listener.process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    listener.process.communicate(timeout=60)


def _send_until_it_dies(port: int, root: str, ledger: dict[str, str], enough: threading.Event) -> None:
    with associated(port) as association:
        for number in range(10_000):
            uid = f"{root}.{number}"
            data_set = ct_data_set(uid, hashlib.sha256(uid.encode()).hexdigest().encode())
            if not association.is_established or send(association, data_set, uid) != 0x0000:
                return
            ledger[uid] = hashlib.sha256(data_set).hexdigest()
            if number == 20:
                enough.set()


def _damage(folder, record, how: str) -> None:
    [segment] = folder.logs.rglob(f"{record.number:016d}.seg")
    places = {
        "flip": segment.read_bytes().index(b"CANARY^NAME", record.offset),
        "head": record.offset + 8,
        "manifest": record.offset + 100,
    }
    with segment.open("r+b") as file:
        file.seek(places[how])
        file.write(b"?")
