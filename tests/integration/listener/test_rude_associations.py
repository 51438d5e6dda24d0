"""Associations byte by byte: fragments cut anyhow, orders that no honest peer would choose, lengths that lie."""

import hashlib
import struct

import pytest
from pynetdicom.pdu_primitives import AsynchronousOperationsWindowNegotiation, SCP_SCU_RoleSelectionNegotiation

from listener.scp.limits import MAXIMUM_PDU
from tests.peers.raw_sender import ct_data_set, element, kept_digests, rows
from tests.peers.upper_layer import (
    CT,
    EXPLICIT,
    RELEASE_RQ,
    VERIFICATION,
    Wire,
    associate_rq,
    command_set,
    data_pdu,
    data_pdu_of,
    echo_command,
    pdv,
    store_command,
    ui,
    us,
)

UID = "1.2.3.4.5"
BY_USER = (0x07, b"\x00\x00\x00\x00")
INVALID = (0x07, b"\x00\x00\x02\x06")
UNEXPECTED = (0x07, b"\x00\x00\x02\x02")
UNRECOGNIZED = (0x07, b"\x00\x00\x02\x01")


def pieces(data: bytes, size: int) -> list[bytes]:
    """Cut into pieces of this size."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def digest(data_set: bytes) -> str:
    """Its SHA-256."""
    return hashlib.sha256(data_set).hexdigest()


@pytest.mark.parametrize("size", [1, 2, 7, 100, 4096])
def test_a_command_and_a_data_set_may_be_cut_anyhow(open_door, size):
    """Fragments of any size, one in each PDU, give the same instance."""
    door, data_set = open_door(), ct_data_set(UID)
    with Wire(door.port) as wire:
        wire.associate()
        for data, command in ((store_command(UID), True), (data_set, False)):
            cut = pieces(data, size)
            for number, piece in enumerate(cut):
                wire.send(data_pdu(piece, command=command, last=number == len(cut) - 1))
        assert wire.status() == 0x0000
        assert wire.release() == 0x06
    assert kept_digests(door.folder.root) == {UID: digest(data_set)}


def test_command_and_data_may_share_a_pdu(open_door):
    """Everything in one P-DATA-TF, with an empty fragment that is the last one."""
    door, data_set = open_door(), ct_data_set(UID)
    with Wire(door.port) as wire:
        wire.associate()
        half = len(data_set) // 2
        wire.send(
            data_pdu_of(
                pdv(store_command(UID), command=True),
                pdv(b"", last=False),
                pdv(data_set[:half], last=False),
                pdv(data_set[half:], last=False),
                pdv(b""),
            )
        )
        assert wire.status() == 0x0000
    assert kept_digests(door.folder.root) == {UID: digest(data_set)}


def test_bytes_may_come_one_by_one(open_door):
    """PDU headers cut in the middle are put together."""
    with Wire(open_door().port) as wire:
        for byte in associate_rq():
            wire.send(bytes([byte]))
        assert wire.receive()[0] == 0x02
        for byte in data_pdu(echo_command(), 3, command=True):
            wire.send(bytes([byte]))
        assert wire.status() == 0x0000


@pytest.mark.parametrize("size", [30_000, 2_000_000, 9_000_000])
def test_an_object_of_any_size_is_kept_whole(open_door, size):
    """Smaller and much larger than the buffer, in PDUs of the largest size, and twice in one association."""
    door = open_door()
    sets = {f"{UID}.{n}": ct_data_set(f"{UID}.{n}") + _pixels(bytes([n]) * size) for n in (1, 2)}
    with Wire(door.port) as wire:
        wire.associate()
        for uid, data_set in sets.items():
            wire.send(data_pdu(store_command(uid), command=True))
            cut = pieces(data_set, MAXIMUM_PDU - 6)
            for number, piece in enumerate(cut):
                wire.send(data_pdu(piece, last=number == len(cut) - 1))
            assert wire.status() == 0x0000
    assert kept_digests(door.folder.root) == {uid: digest(data_set) for uid, data_set in sets.items()}


def test_messages_may_be_begun_before_the_answer(open_door):
    """A peer that asks for a window gets one; many messages sent at once are answered in order."""
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked, window.maximum_number_operations_performed = 0, 5
    door = open_door()
    sets = [ct_data_set(f"1.2.3.{n}") + _pixels(bytes(100_000)) for n in range(30)]
    with Wire(door.port) as wire:
        accepted = wire.associate(further=(window,))
        assert b"\x53\x00\x00\x04\x00\x20\x00\x01" in accepted  # 32 begun by the peer, one by us
        for number, data_set in enumerate(sets):
            wire.send(
                data_pdu(store_command(f"1.2.3.{number}", number), command=True)
                + b"".join(data_pdu(piece, last=False) for piece in pieces(data_set, 50_000))
                + data_pdu(b"")
            )
        for number in range(len(sets)):
            answer = wire.answer()
            assert (answer[0x0120], answer[0x0900]) == (struct.pack("<H", number), b"\x00\x00")
    assert len(kept_digests(door.folder.root)) == len(sets)


def test_no_window_is_given_to_who_asks_for_none(open_door):
    """The item is in the answer only if it was in the request."""
    with Wire(open_door().port) as wire:
        assert b"\x53\x00\x00\x04" not in wire.associate()


def test_the_role_of_a_receiver_is_ours(open_door):
    """A peer that wants to receive as well gets the role of the sender only."""
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = CT, True, True
    with Wire(open_door().port) as wire:
        assert CT.encode() + b"\x01\x00" in wire.associate(further=(role,))


def test_the_answer_is_cut_for_a_peer_with_little_room(open_door):
    """No PDU to the peer is longer than it said."""
    with Wire(open_door().port) as wire:
        wire.associate(maximum=20)
        wire.send(data_pdu(echo_command(), 3, command=True))
        command, control = b"", 0
        while not control & 0b10:
            kind, content = wire.receive()
            assert kind == 0x04
            assert len(content) <= 20
            command, control = command + content[6:], content[5]
        assert command.endswith(us(0x0900, 0))


@pytest.mark.parametrize(
    ("pdus", "answer"),
    [
        (data_pdu(b"x"), BY_USER),  # a data set without a command
        (data_pdu(store_command(UID), 5, command=True), INVALID),  # a context that was never proposed
        (data_pdu(store_command(UID), 0, command=True), INVALID),  # nor can be
        (data_pdu(store_command(UID), command=True) + data_pdu(b"x", 3), INVALID),  # the data in another context
        (data_pdu(store_command(UID), command=True) + data_pdu(b"x", command=True), BY_USER),  # a command within
        (data_pdu(b"\x08\x00\x00\x00", command=True), BY_USER),  # cut off
        (data_pdu(us(0x0100, 0x30), command=True), BY_USER),  # no message ID
        (data_pdu(echo_command() + us(0x0110, 1), 3, command=True), BY_USER),  # an element twice
        (data_pdu(b"".join(us(0x2000 + n, 0) for n in range(65)), command=True), BY_USER),
        (b"".join(data_pdu(bytes(9000), command=True, last=False) for _ in range(2)), BY_USER),  # 18,000 bytes
        (data_pdu(command_set(us(0x0100, 0x8001), us(0x0120, 1), us(0x0800, 0x0101)), command=True), BY_USER),
        (data_pdu_of(), INVALID),  # empty
        (data_pdu_of(b"\x00\x00\x00"), INVALID),  # no whole item
        (data_pdu_of(struct.pack(">LBB", 100, 1, 3) + b"x"), INVALID),  # longer than its PDU
        (data_pdu_of(struct.pack(">LBB", 1, 1, 3)), INVALID),  # shorter than its header
        (struct.pack(">BxL", 4, 2**31) + b"x", INVALID),
        (struct.pack(">BxL", 4, MAXIMUM_PDU + 2000) + b"x", INVALID),
        (struct.pack(">BxL", 9, 4) + b"xxxx", UNRECOGNIZED),
        (struct.pack(">BxL", 0, 0), UNRECOGNIZED),
        (associate_rq(), UNEXPECTED),
        (b"\x02\x00\x00\x00\x00\x00", UNEXPECTED),
        (b"\x03\x00\x00\x00\x00\x04\x00\x01\x01\x01", UNEXPECTED),
        (b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00", UNEXPECTED),
    ],
)
def test_what_may_not_come_aborts_with_its_reason(open_door, pdus, answer):
    """An A-ABORT with the Standard's source and reason, the connection closed, nothing kept, and others are served."""
    door = open_door()
    with Wire(door.port) as wire:
        wire.associate()
        wire.send(pdus)
        assert wire.receive() == answer
        wire.socket.shutdown(1)
        assert wire.receive()[0] == 0
    with Wire(door.port) as wire:
        wire.associate()
        wire.send(data_pdu(echo_command(), 3, command=True))
        assert wire.status() == 0x0000
    assert kept_digests(door.folder.root) == {}


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (data_pdu(echo_command(), 3, command=True), BY_USER),
        (RELEASE_RQ, BY_USER),
        (b"\x01\x00\x00\x00\x00\x04abcd", BY_USER),
        (b"\x01\x00" + struct.pack(">L", 2**32 - 1), BY_USER),
        (b"\x01\x00" + struct.pack(">L", MAXIMUM_PDU + 1), BY_USER),
        (b"GET / HTTP/1.1\r\n\r\n", BY_USER),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BY_USER),  # TLS where none is spoken
        (associate_rq().replace(b"\x51\x00\x00\x04", b"\x51\x00\xff\xff"), INVALID),  # an item longer than its PDU
        (b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00", (0, b"")),  # an abort is not answered
    ],
)
def test_what_is_no_request_is_not_let_in(open_door, first, answer):
    """Before the association stands, anything else aborts, and the connection is closed."""
    door = open_door()
    with Wire(door.port) as wire:
        wire.send(first)
        assert wire.receive() in (answer, (0, b""))
        wire.socket.shutdown(1)
        assert wire.receive()[0] == 0


def test_a_request_of_another_version_or_application_is_rejected(open_door):
    """The provider rejects another protocol version, the application another application context."""
    door, request = open_door(), associate_rq()
    with Wire(door.port) as wire:
        wire.send(request[:6] + b"\x00\x02" + request[8:])
        assert wire.receive() == (0x03, b"\x00\x01\x02\x02")
    with Wire(door.port) as wire:
        wire.send(request.replace(b"1.2.840.10008.3.1.1.1", b"1.2.840.10008.3.1.1.9"))
        assert wire.receive() == (0x03, b"\x00\x01\x01\x02")


def test_more_contexts_than_there_are_numbers_abort(open_door):
    """129 presentation contexts, and 600 user items, are not looked at."""
    door, request = open_door(), associate_rq()
    start = request.index(b"\x20\x00\x00")
    context = request[start : start + 4 + request[start + 3]]
    items = request[74:start] + context * 129 + request[request.index(b"\x50\x00") :]
    user = request.index(b"\x50\x00\x00")
    item = b"\x55\x00\x00\x02ab"
    many = item * 600
    flood = request[74:user] + b"\x50\x00" + struct.pack(">H", len(many)) + many
    for content in (items, flood):
        with Wire(door.port) as wire:
            wire.send(request[:2] + struct.pack(">L", 68 + len(content)) + request[6:74] + content)
            assert wire.receive()[0] == 0x07


def test_all_128_contexts_are_answered(open_door):
    """As many contexts as the Standard has numbers for, each with its result."""
    with Wire(open_door().port) as wire:
        content = wire.associate(contexts=((CT, [EXPLICIT, "1.2.840.10008.1.2"]),) * 128)
        assert content.count(b"\x40\x00\x00\x13" + EXPLICIT.encode()) == 128


def test_a_release_in_the_middle_of_a_message_drops_it(open_door, database_url):
    """The release is answered, the unfinished instance is neither kept nor counted as stored."""
    door = open_door()
    with Wire(door.port) as wire:
        wire.associate()
        wire.send(data_pdu(store_command(UID), command=True) + data_pdu(b"half", last=False))
        assert wire.release() == 0x06
    door.acceptor.stop()
    door.importer(database_url).import_pending()
    assert kept_digests(door.folder.root) == {}
    assert rows(database_url, "SELECT ending, stored_count, refused_count FROM association") == [("released", 0, 1)]


@pytest.mark.parametrize(
    ("field", "data"),
    [(0x0020, b"x"), (0x0021, b"x"), (0x0010, b"x"), (0x0100, None), (0x0130, b"x"), (0x0140, b"x"), (0x0150, None)],
)
def test_an_operation_we_do_not_perform_is_refused_and_the_association_goes_on(open_door, field, data):
    """C-FIND, C-MOVE, C-GET and all N-services get 0x0211 under their own number, after their data set."""
    with Wire(open_door().port) as wire:
        wire.associate()
        command = command_set(
            ui(0x0002, CT), us(0x0100, field), us(0x0110, 77), us(0x0800, 0x0101 if data is None else 1)
        )
        wire.send(data_pdu(command, command=True) + (b"" if data is None else data_pdu(data)))
        answer = wire.answer()
        assert answer[0x0900] == struct.pack("<H", 0x0211)
        assert answer[0x0100] == struct.pack("<H", field | 0x8000)
        assert answer[0x0120] == struct.pack("<H", 77)
        wire.send(data_pdu(echo_command(), 3, command=True))
        assert wire.status() == 0x0000


def test_a_cancel_is_not_answered(open_door):
    """C-CANCEL comes too late for us, and the association goes on."""
    with Wire(open_door().port) as wire:
        wire.associate()
        cancel = command_set(us(0x0100, 0x0FFF), us(0x0120, 1), us(0x0800, 0x0101))
        wire.send(data_pdu(cancel, command=True) + data_pdu(echo_command(9), 3, command=True))
        assert wire.answer()[0x0120] == struct.pack("<H", 9)


def test_an_echo_with_a_data_set_is_answered_after_it(open_door):
    """A command that announces a data set where none belongs does not confuse what follows."""
    with Wire(open_door().port) as wire:
        wire.associate()
        command = command_set(ui(0x0002, VERIFICATION), us(0x0100, 0x30), us(0x0110, 1), us(0x0800, 1))
        wire.send(data_pdu(command, 3, command=True) + data_pdu(b"whatever", 3))
        assert wire.status() == 0x0000


def test_a_data_set_that_is_too_large_aborts(open_door, database_url):
    """Beyond max_instance_bytes the association is aborted, nothing is kept, and the row says why."""
    door = open_door(max_instance_bytes=2**20)
    with Wire(door.port) as wire:
        wire.associate()
        wire.send(data_pdu(store_command(UID), command=True))
        for _ in range(9):
            wire.send(data_pdu(bytes(130_000), last=False))
        assert wire.receive() == BY_USER
    door.acceptor.stop()
    door.importer(database_url).import_pending()
    [(ending, refused, reason)] = rows(database_url, "SELECT ending, refused_count, reason FROM association")
    assert (ending, refused) == ("aborted", 1)
    assert "larger than allowed" in reason
    assert not [path for path in door.folder.root.rglob("*") if path.suffix == ".part"]


def test_a_sop_class_may_have_a_limit_of_its_own(open_door):
    """Its instances are measured by it, those of other classes by the general one."""
    other = "1.2.840.10008.5.1.4.1.1.4"
    door = open_door(size_limits=[{"sop_class_uid": CT, "max_instance_bytes": 2000}])
    with Wire(door.port) as wire:
        wire.associate(contexts=((CT, EXPLICIT), (other, EXPLICIT)))
        wire.send(data_pdu(store_command(UID, sop_class_uid=other), 3, command=True) + data_pdu(bytes(3000), 3))
        assert wire.status() == 0xC000  # read to its end, and no data set
        wire.send(data_pdu(store_command(UID), command=True) + data_pdu(bytes(3000)))
        assert wire.receive() == BY_USER


@pytest.mark.parametrize("behind", [70_000, 900_000])
def test_a_header_may_be_long(open_door, behind):
    """What names the instance may stand behind the part of the header that is usually enough."""
    door = open_door()
    head, tail = ct_data_set(UID).split(element(0x0010, 0x0010, b"PN", b"CANARY^NAME"))
    long = struct.pack("<HH2sHL", 0x0009, 0x1002, b"OB", 0, behind) + bytes(behind)
    data_set = head + long + tail
    with Wire(door.port) as wire:
        wire.associate()
        wire.send(data_pdu(store_command(UID), command=True))
        for piece in pieces(data_set, 100_000):
            wire.send(data_pdu(piece, last=False))
        wire.send(data_pdu(b""))
        assert wire.status() == 0x0000


def _pixels(value: bytes) -> bytes:
    return struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, len(value)) + value
