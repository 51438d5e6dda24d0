"""Peers that stall, lie and flood, beside peers that only want to store; the long form: HOSTILE_SECONDS=120."""

import os
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from tests.peers.certificates import Authority
from tests.peers.raw_sender import ct_data_set, kept_digests, rows
from tests.peers.upper_layer import Wire, associate_rq, data_pdu, store_command

SECONDS = float(os.environ.get("HOSTILE_SECONDS", "4"))
HONEST = 10


def resident(process_id: int) -> int:
    """The memory of a process's children, in KiB."""
    total = 0
    for child in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split():
        total += int(Path(f"/proc/{child}/smaps_rollup").read_text().split("Private_Dirty:")[1].split()[0])
    return total


def hostile(port: int, source: str, kind: str, over: threading.Event) -> None:
    """Behave badly until it is over, coming back whenever we are thrown out."""
    while not over.is_set():
        try:
            _behave_badly(port, source, kind, over)
        except (OSError, AssertionError):  # thrown out, or not let in
            over.wait(0.05)


def _behave_badly(port: int, source: str, kind: str, over: threading.Event) -> None:
    with Wire(port, source=source) as wire:
        wire.socket.settimeout(1)
        if kind == "huge":
            wire.send(b"\x01\x00\xff\xff\xff\xff" + bytes(10_000))
            wire.receive()
            return
        trickle = {"silent": b"", "request": associate_rq(), "data": data_pdu(bytes(16_000), last=False)}[kind]
        if kind == "data":
            wire.associate(calling="HOSTILE")
            wire.send(data_pdu(store_command("1.2.3"), command=True))
        for byte in trickle:
            wire.send(bytes([byte]))
            if over.wait(0.1):
                return
        while not over.wait(0.2):
            wire.socket.setblocking(False)
            try:
                if not wire.socket.recv(1):
                    return
            except BlockingIOError:
                pass


def honest(port: int, number: int, over: threading.Event, stored: list, failed: list) -> None:
    """Associate and store, again and again."""
    count = 0
    while not over.is_set():
        uid = f"1.2.3.{number}.{count}"
        try:
            with Wire(port, source="127.0.0.1") as wire:
                wire.associate()
                wire.send(data_pdu(store_command(uid), command=True) + data_pdu(ct_data_set(uid)))
                assert wire.status() == 0x0000
                assert wire.release() == 0x06
            stored.append(uid)
        except (OSError, AssertionError) as error:
            failed.append(repr(error))
        count += 1
        over.wait(0.05)


def test_honest_senders_are_served_beside_hostile_ones(listener_process, tmp_path):
    """Silent, trickling and lying connections, more than there is room for, also from the honest ones' own address."""
    listener = listener_process()
    over, stored, failed = threading.Event(), [], []
    kinds = [("127.0.0.1", "silent")] * 90 + [("127.0.0.1", "request")] * 40 + [("127.0.0.2", "huge")] * 5
    kinds += [(f"127.0.1.{number % 9}", kind) for number in range(30) for kind in ("silent", "request")]
    kinds += [("127.0.0.3", "data")] * 70
    threads = [
        threading.Thread(target=hostile, args=(listener.port, source, kind, over), daemon=True)
        for source, kind in kinds
    ]
    threads += [
        threading.Thread(target=honest, args=(listener.port, number, over, stored, failed)) for number in range(HONEST)
    ]
    for thread in threads:
        thread.start()
    time.sleep(SECONDS)
    over.set()
    for thread in threads:
        thread.join()

    assert failed == []
    assert len(stored) >= HONEST * 5
    code, _ = listener.terminate()
    assert code == 0
    assert set(stored) <= set(kept_digests(tmp_path / "data"))


def test_one_address_may_not_take_every_place(open_door):
    """The cap of an address rejects it for now, while another address is let in."""
    door = open_door(max_associations_per_address=2)
    with Wire(door.port) as first, Wire(door.port) as second, Wire(door.port) as third:
        first.associate()
        second.associate()
        third.send(associate_rq())
        assert third.receive() == (0x03, b"\x00\x02\x03\x02")
        with Wire(door.port, source="127.0.0.9") as other:
            other.associate()


def test_a_connection_too_many_ends_the_one_that_waited_longest(open_door, monkeypatch):
    """With 64 silent connections of an address open, the 65th is heard and the first is closed."""
    monkeypatch.setattr("listener.scp.upper_layer.REQUEST_DEADLINE", 300.0)
    door = open_door()
    silent = [Wire(door.port) for _ in range(64)]
    with Wire(door.port) as last:
        last.associate()
        assert silent[0].receive()[0] == 0
    for wire in silent:
        wire.socket.close()


def test_a_request_that_does_not_come_is_waited_for_no_longer_than_its_deadline(open_door, monkeypatch, database_url):
    """A trickled request is cut off by an absolute deadline; a row says that it was too slow, silence leaves none."""
    monkeypatch.setattr("listener.scp.upper_layer.REQUEST_DEADLINE", 1.0)
    door = open_door()
    with Wire(door.port) as trickling:
        started = time.monotonic()
        for byte in associate_rq():
            try:
                trickling.send(bytes([byte]))
            except OSError:
                break
            time.sleep(0.1)
        assert trickling.receive()[0] == 0
        assert time.monotonic() - started < 15
    with Wire(door.port) as silent:
        silent.socket.close()
    door.acceptor.stop()
    door.importer(database_url).import_pending()
    assert rows(database_url, "SELECT ending, reason FROM association") == [
        ("aborted", "No association request came in time.")
    ]


@pytest.mark.parametrize("limit", ["IDLE_DEADLINE", "PDU_DEADLINE", "MESSAGE_GRACE"])
def test_a_message_that_does_not_get_on_is_aborted(open_door, monkeypatch, limit):
    """Silence between PDUs, a PDU that trickles, and a message below the lowest rate each end the association."""
    module = {"IDLE_DEADLINE": "upper_layer", "PDU_DEADLINE": "pdu_reader", "MESSAGE_GRACE": "messages"}[limit]
    monkeypatch.setattr(f"listener.scp.{module}.{limit}", 1.0)
    with Wire(open_door().port) as wire:
        wire.associate()
        wire.send(data_pdu(store_command("1.2.3"), command=True))
        for _ in range(100):
            try:
                if limit == "PDU_DEADLINE":
                    wire.send(data_pdu(bytes(1000))[:20] if _ == 0 else b"x")
                if limit == "MESSAGE_GRACE":
                    wire.send(data_pdu(bytes(10), last=False))
            except OSError:
                break
            wire.socket.settimeout(0.1)
            try:
                answer = wire.receive()
            except TimeoutError:
                continue
            assert answer in ((0x07, b"\x00\x00\x00\x00"), (0, b""))
            break
        else:
            raise AssertionError("the association was not ended")


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_look_whether_the_port_answers_leaves_no_trace(open_door, database_url, tmp_path, encrypted):
    """Health checks and load balancers connect and close again: no row, no line, with TLS and without."""
    settings = {}
    if encrypted:
        authority = Authority(tmp_path)
        ours = authority.sign("overread")
        settings = {"tls_certificate": ours.cert, "tls_key": ours.key, "tls_ca": authority.file}
    door = open_door(**settings)
    for _ in range(3):
        Wire(door.port).socket.close()
    door.acceptor.stop()
    door.importer(database_url).import_pending()
    assert rows(database_url, "SELECT 1 FROM association") == []


def test_strangers_leave_a_row_each_until_they_are_a_flood(open_door, database_url):
    """Garbage and rejections have rows with address and reason; of a flood only so many, and a count of the others."""
    door = open_door()
    for number in range(150):
        with Wire(door.port) as wire:
            wire.send(b"GET / HTTP/1.1\r\n\r\n" if number % 2 else associate_rq(called="OTHER"))
            assert wire.receive()[0] in (0x03, 0x07, 0)
    time.sleep(0.5)
    with Wire(door.port) as wire:
        wire.send(associate_rq(called="OTHER"))
        assert wire.receive()[0] == 0x03
    door.acceptor.stop()
    door.importer(database_url).import_pending()
    found = rows(database_url, "SELECT remote_address, ending, reason FROM association")
    assert 100 <= len(found) < 130
    assert {address for address, _, _ in found} == {"127.0.0.1"}
    assert {ending for _, ending, _ in found} == {"rejected", "aborted"}
    assert any("more that nobody let in" in reason for _, _, reason in found)
    assert len(rows(database_url, "SELECT 1 FROM audit_event WHERE action LIKE 'association-%'")) == len(found)


def test_memory_stays_flat(listener_process):
    """Rejections (10,000 in the long form), lies about lengths and large objects leave memory as it was."""
    listener = listener_process(processes=1)
    for _ in range(200):
        _rejected(listener.port)
    _stored(listener.port, "1.2.3.1", 18_000_000)
    before = resident(listener.process.pid)

    for _ in range(10_000 if SECONDS > 60 else 1_000):
        _rejected(listener.port)
    for length in (2**32 - 1, 2**31, 2**24):
        with Wire(listener.port) as wire:
            wire.send(struct.pack(">BxL", 1, length) + bytes(300_000))
            assert wire.receive()[0] in (0x07, 0)
    _stored(listener.port, "1.2.3.2", 2_000_000_000 if SECONDS > 60 else 200_000_000)

    assert resident(listener.process.pid) < before * 1.05 + 2048
    assert listener.terminate()[0] == 0


def _rejected(port: int) -> None:
    with Wire(port) as wire:
        wire.send(associate_rq(called="OTHER"))
        assert wire.receive()[0] == 0x03


def _stored(port: int, uid: str, size: int) -> None:
    with Wire(port) as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
        wire.associate()
        pixels = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, size)
        wire.send(data_pdu(store_command(uid), command=True) + data_pdu(ct_data_set(uid) + pixels, last=False))
        piece = data_pdu(bytes(100_000), last=False)
        for _ in range(size // 100_000):
            wire.send(piece)
        wire.send(data_pdu(b""))
        wire.socket.settimeout(60)
        assert wire.status() == 0x0000
