"""Results as HL7 over MLLP: to a real server, and to rude ones."""

import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from listener.notify.hl7 import Hl7Sender
from listener.notify.lane import NotifyLane
from listener.notify.mllp import Outcome, answer_of
from listener.notify.settings import NotifySettings
from storage.domain.notification import Answer, NotificationEvent
from storage.domain.result import EvidenceRole
from storage.postgres.notification_rows import PostgresNotifications
from tests.peers.certificates import Authority
from tests.peers.evidence_files import evidence_object
from tests.peers.free_ports import free_port
from tests.peers.mllp_receiver import honest_receiver, rude_receiver
from tests.peers.result_desk import ResultDesk
from tests.peers.told_results import request

CONTROL_ID = "0123456789ABCDEF0123"


def place(port: int, **keys: Any) -> NotifySettings:
    """A receiver of HL7 at this port."""
    usual = {"name": "ris", "kind": "hl7", "host": "127.0.0.1", "port": port, "answer_seconds": 5.0}
    return NotifySettings(**usual | keys)


def sent(port: int, **keys: Any) -> Answer:
    """What came of one message."""
    sender = Hl7Sender(place(port, **keys))
    return sender.send(request(), sender.body(request()), lambda: False)


def acknowledgement(code: str, control_id: str = CONTROL_ID) -> bytes:
    """A frame with one."""
    return f"\x0bMSH|^~\\&|RIS||OVERREAD||20261128||ACK^R01|1|P|2.5.1\rMSA|{code}|{control_id}\r\x1c\r".encode()


def test_a_result_reaches_a_real_server(desk: ResultDesk) -> None:
    """python-hl7's server reads what the outbox sends, and its acknowledgement ends it."""
    rows = PostgresNotifications(desk.database)
    rows.begin(["ris"])
    report = evidence_object(EvidenceRole.REPORT)
    desk.owe(report, destinations=())
    with honest_receiver() as receiver:
        lane = NotifyLane(rows, place(receiver.port), Hl7Sender(place(receiver.port)))
        assert lane.tell_once()

    (message,) = receiver.messages
    assert report.sop_instance_uid in str(message)
    assert desk.execute("SELECT state, tries FROM notification") == [{"state": "delivered", "tries": 1}]


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("AA", Outcome.ACCEPTED),
        ("CA", Outcome.ACCEPTED),
        ("AE", Outcome.ERROR),
        ("CE", Outcome.ERROR),
        ("AR", Outcome.REJECTED),
        ("CR", Outcome.REJECTED),
        ("OK", Outcome.UNKNOWN_CODE),
    ],
)
def test_each_code_of_an_acknowledgement_has_its_meaning(code: str, outcome: Outcome) -> None:
    """HL7 table 0008: accepted, an error that may pass, or rejected."""
    with rude_receiver(lambda caller, _: caller.sendall(acknowledgement(code))) as port:
        assert sent(port) == answer_of(outcome)


def test_what_a_receiver_writes_is_repeated_nowhere(desk: ResultDesk, caplog: pytest.LogCaptureFixture) -> None:
    """An engine may tell of the patient in MSA-3 or ERR; neither log nor row has it, and the reason is ours."""
    rows = PostgresNotifications(desk.database)
    rows.begin(["ris"])
    desk.owe(evidence_object(EvidenceRole.REPORT), destinations=())

    def reject(caller: socket.socket, _: threading.Event) -> None:
        (sent_id,) = desk.execute("SELECT upper(left(replace(message_uid::text, '-', ''), 20)) AS id FROM notification")
        text = acknowledgement("AR", f"{sent_id['id']}|MUELLER^ANNA is unknown").replace(b"\x1c", b"ERR|MUELLER\r\x1c")
        caller.sendall(text)

    with rude_receiver(reject) as port:
        assert NotifyLane(rows, place(port), Hl7Sender(place(port))).tell_once()

    (row,) = desk.execute("SELECT state, reason_code, reason_sentence, body FROM notification")
    assert (row["state"], row["reason_code"], row["body"]) == ("refused", "mllp-rejected", None)
    assert "MUELLER" not in str(row) + caplog.text + str(desk.execute("SELECT * FROM audit_event"))
    assert "receiver ris refused a message" in caplog.text


def endless(caller: socket.socket, ended: threading.Event) -> None:
    """Bytes without an end."""
    caller.sendall(b"\x0b")
    while not ended.is_set():
        caller.sendall(b"MSA|AA|" * 1000)


def dripping(caller: socket.socket, ended: threading.Event) -> None:
    """A byte now and then, for ever."""
    caller.sendall(b"\x0b")
    while not ended.wait(0.05):
        caller.sendall(b"M")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (lambda caller, _: caller.sendall(acknowledgement("AA", "ANOTHER")), Outcome.OF_ANOTHER),
        (lambda caller, _: caller.sendall(b"\x0bMSH|^~\\&|\rMSA|AA\r\x1c\r"), Outcome.UNREADABLE),
        (lambda caller, _: caller.sendall(b"X" + acknowledgement("AA")[1:]), Outcome.UNREADABLE),
        (lambda caller, _: caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Outcome.UNREADABLE),
        (lambda caller, _: caller.sendall(b"\x0b\x00\xff\xfe\x80\x1c\r"), Outcome.UNREADABLE),
        (lambda caller, _: caller.sendall(acknowledgement("AA")[:-5]), Outcome.UNREADABLE),
        (lambda caller, _: None, Outcome.BROKEN),
        (lambda _, ended: ended.wait(30), Outcome.TOO_SLOW),
        (dripping, Outcome.TOO_SLOW),
        (endless, Outcome.TOO_LONG),
    ],
    ids=[
        "of another",
        "no id",
        "no start",
        "no MLLP",
        "binary",
        "cut short",
        "hangs up",
        "silent",
        "dripping",
        "endless",
    ],
)
def test_whatever_a_rude_receiver_answers_has_a_name(answer: Any, outcome: Outcome) -> None:
    """None of it is taken for an acceptance, and none is waited for beyond its time."""
    with rude_receiver(answer) as port:
        got = sent(port, answer_seconds=1.0 if outcome is Outcome.TOO_SLOW else 10.0)

    assert got == answer_of(outcome)
    assert got.event is NotificationEvent.POSTPONE


def test_who_is_not_there_is_tried_again() -> None:
    """Neither a closed port nor a name that nobody has ends a message."""
    assert sent(free_port()) == answer_of(Outcome.UNREACHABLE)
    assert sent(1, host="ris..example") == answer_of(Outcome.UNKNOWN_HOST)


def test_it_goes_by_tls_where_that_is_asked_for(tmp_path: Path) -> None:
    """The host is proved, a certificate of ours is shown, and nothing goes in the clear if either fails."""
    authority = Authority(tmp_path)
    theirs, ours = authority.sign("ris"), authority.sign("overread")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs.cert, theirs.key)
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    keys = {"tls": True, "tls_ca": str(authority.file)}
    shown = {"tls_certificate": str(ours.cert), "tls_key": str(ours.key)}

    with honest_receiver(context) as receiver:
        assert sent(receiver.port, **keys, **shown) == answer_of(Outcome.ACCEPTED)
        strangers = Authority(tmp_path, "strangers")
        other = sent(receiver.port, tls=True, tls_ca=str(strangers.file), **shown)
        assert other.code == "certificate-of-unknown-authority"
        assert "receiver" in other.sentence
        assert "destination" not in other.sentence
    assert len(receiver.messages) == 1
    with rude_receiver(lambda caller, _: caller.sendall(acknowledgement("AA")), context) as port:
        assert sent(port, **keys).code == "our-certificate-refused"
