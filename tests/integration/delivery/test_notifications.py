"""Other systems are told of results: by whom, when, how often, and what becomes of a message that nobody takes."""

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from listener.notify.lane import NotifyLane, notifying
from listener.notify.senders import sender_of
from listener.notify.settings import NotifySettings
from overread.cli import overread
from storage.domain.explanation import sentences
from storage.domain.notification import Answer, NotificationEvent, NotificationRequest
from storage.domain.open_trouble import open_trouble
from storage.domain.result import EvidenceRole
from storage.postgres.notification_rows import PostgresNotifications
from storage.postgres.overview import Overview
from storage.postgres.site_reading import PostgresSiteReading
from storage.postgres.statement import statement
from tests.peers.evidence_files import evidence_object
from tests.peers.free_ports import free_port
from tests.peers.result_desk import ResultDesk
from tests.peers.stow_archive import StowArchive, raw, reply

KEY = bytes(range(32))
Place = Callable[..., NotifySettings]


@pytest.fixture
def place(stow_archive: StowArchive, tmp_path: Path) -> Place:
    """A webhook at the scripted server, which answers as a test says."""
    (tmp_path / "secret").write_text(f"whsec_{base64.b64encode(KEY).decode()}\n")

    def one(**keys: Any) -> NotifySettings:
        usual = {"name": "ris", "kind": "webhook", "url": f"http://127.0.0.1:{stow_archive.port}/told"}
        return NotifySettings(**usual | {"secret_file": str(tmp_path / "secret"), "answer_seconds": 1.0} | keys)

    return one


@pytest.fixture
def rows(desk: ResultDesk) -> PostgresNotifications:
    """The messages of the desk."""
    return PostgresNotifications(desk.database)


@pytest.fixture
def lane(desk: ResultDesk, rows: PostgresNotifications, place: Place) -> NotifyLane:
    """The lane of the webhook, which is told of what is stored from now on."""
    rows.begin(["ris"])
    return NotifyLane(rows, place(), sender_of(place()))


def owe_result(desk: ResultDesk, *destinations: str) -> str:
    """A new result with one report; the UID of the report."""
    report = evidence_object(EvidenceRole.REPORT)
    desk.owe(report, destinations=destinations)
    return report.sop_instance_uid


def acknowledge(desk: ResultDesk, destination: str) -> None:
    """The destination has taken all that it is owed."""
    desk.execute(
        "UPDATE delivery SET state = 'acknowledged', acknowledged_at = now() WHERE destination = %s", destination
    )


def let_time_pass(desk: ResultDesk) -> None:
    """Every pause is over."""
    desk.execute("UPDATE notification SET due_at = now() - interval '1 second'")
    desk.execute("UPDATE notification_receiver SET hold_until = now() - interval '1 second'")


def states(desk: ResultDesk) -> list[str]:
    """Of all messages, in their order."""
    return [row["state"] for row in desk.execute("SELECT state FROM notification ORDER BY id")]


def test_a_receiver_is_told_once_and_can_verify_who_told_it(
    desk: ResultDesk, lane: NotifyLane, stow_archive: StowArchive
) -> None:
    """It gets one message that names the report and no patient, signed as Standard Webhooks says, after the PACS has
    the report and not before."""
    stow_archive.answers = [reply(204)]
    report = owe_result(desk, "pacs")
    assert not lane.tell_once()
    assert (states(desk), stow_archive.requests) == (["held"], [])

    acknowledge(desk, "pacs")
    assert lane.tell_once()
    assert not lane.tell_once()

    (request,) = stow_archive.requests
    signed = f"{request.header['webhook-id']}.{request.header['webhook-timestamp']}.".encode() + request.body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert request.header["webhook-signature"] == f"v1,{expected}"
    body = json.loads(request.body)
    assert body["type"] == "result.created"
    assert body["data"]["report"]["sop_instance_uid"] == report
    assert set(body["data"]) == {
        *("study_instance_uid", "series_instance_uid", "revision", "algorithm", "findings", "report", "replaces"),
        "notice",
    }
    assert states(desk) == ["delivered"]
    assert desk.execute("SELECT body, reason_code FROM notification") == [{"body": None, "reason_code": None}]
    (audited,) = desk.execute("SELECT * FROM audit_event WHERE action = 'notification-delivered'")
    assert (audited["study_instance_uid"], audited["details"]["receiver"]) == (
        body["data"]["study_instance_uid"],
        "ris",
    )


def test_only_what_is_new_and_asked_for_is_told(desk: ResultDesk, rows: PostgresNotifications, place: Place) -> None:
    """A new receiver is not told of history, nobody of a shadow's results, and one with a choice only of its choice."""
    owe_result(desk)
    rows.begin(["ris", "choosy", "sparing"])
    new = owe_result(desk)
    owe_result(desk)
    desk.execute(
        "SET LOCAL session_replication_role = replica; UPDATE job SET shadow = true, priority = 'low' "
        "WHERE id = (SELECT max(job_id) FROM result)"
    )

    assert rows.note(place().policy()) == 1
    assert rows.note(place(name="choosy", algorithms=("other",)).policy()) == 0
    assert rows.note(place(name="sparing", findings_only=True).policy()) == 0
    assert rows.note(place().policy()) == 0

    request = rows.claim(place().policy())
    assert request is not None
    assert request.result.report is not None
    assert request.result.report.sop_instance_uid == new


def test_the_destination_that_counts_is_waited_for(desk: ResultDesk, rows: PostgresNotifications, place: Place) -> None:
    """With report_at another destination's acknowledgement does not do, and with "made" none is needed."""
    rows.begin(["ris", "hasty"])
    owe_result(desk, "pacs", "archive")
    acknowledge(desk, "pacs")

    rows.note(place(report_at="archive").policy())
    rows.note(place(name="hasty", when="made").policy())
    assert states(desk) == ["held", "waiting"]

    acknowledge(desk, "archive")
    rows.note(place(report_at="archive").policy())
    assert states(desk) == ["waiting", "waiting"]

    desk.owe(evidence_object(EvidenceRole.SEGMENTATION), destinations=("pacs",))
    rows.note(place().policy())
    assert states(desk)[-1] == "held"  # it has no report, and is nowhere yet


def test_each_try_repeats_the_id_and_the_bytes(
    desk: ResultDesk, lane: NotifyLane, rows: PostgresNotifications, place: Place, stow_archive: StowArchive
) -> None:
    """A busy receiver is left alone as long as it asks, and then gets the same message, which it can tell as such,
    whatever the settings are by then."""
    stow_archive.answers = [reply(503, Retry_After="1000"), reply(500), reply(200)]
    owe_result(desk)

    assert lane.tell_once()
    assert not lane.tell_once()
    (waits,) = desk.execute(
        "SELECT extract(epoch FROM due_at - now()) > 900 AS message, reason_code, "
        "(SELECT extract(epoch FROM hold_until - now()) > 900 FROM notification_receiver) AS receiver FROM notification"
    )
    assert waits == {"message": True, "receiver": True, "reason_code": "http-503"}
    changed = place(accession_number=True)
    for _ in range(2):
        let_time_pass(desk)
        assert NotifyLane(rows, changed, sender_of(changed)).tell_once()

    assert len(stow_archive.requests) == 3
    assert len({(request.header["webhook-id"], request.body) for request in stow_archive.requests}) == 1
    assert states(desk) == ["delivered"]


def test_a_receiver_that_is_away_is_not_called_for_each_message(
    desk: ResultDesk, lane: NotifyLane, stow_archive: StowArchive
) -> None:
    """What says that it is not there is left alone with all messages; what refuses one message is not."""
    stow_archive.answers = [reply(503, Retry_After="1000"), reply(422), reply(200)]
    owe_result(desk)
    owe_result(desk)

    assert [lane.tell_once() for _ in range(3)] == [True, False, False]
    let_time_pass(desk)
    assert [lane.tell_once() for _ in range(3)] == [True, True, False]
    assert sorted(states(desk)) == ["delivered", "refused"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (reply(302, Location="http://127.0.0.1:9/elsewhere"), "http-302"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "broken"),
        (raw(b"\x00\xff nothing that is HTTP\r\n\r\n"), "broken"),
        (raw(b"HTTP/1.1 200 OK\r\n\r\n", then=lambda _, ended: ended.wait(30)), "too-slow"),
    ],
    ids=["a redirect", "cut short", "no HTTP", "never ending"],
)
def test_no_answer_that_counts_is_a_reason_to_try_again(
    desk: ResultDesk, lane: NotifyLane, stow_archive: StowArchive, answer: Any, code: str
) -> None:
    """Whatever a rude receiver does has a name, and the message stays owed; a redirect is not followed."""
    stow_archive.answers = [answer]
    owe_result(desk)

    assert lane.tell_once()

    (row,) = desk.execute("SELECT state, reason_code, reason_sentence FROM notification")
    assert (row["state"], row["reason_code"]) == ("waiting", code)
    assert "destination" not in row["reason_sentence"]


def test_a_long_answer_is_not_read_to_its_end(desk: ResultDesk, lane: NotifyLane, stow_archive: StowArchive) -> None:
    """The status says that the message was taken; of an endless body 64 KiB are read."""
    stow_archive.answers = [raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n" + b"x" * (1 << 17))]
    owe_result(desk)

    assert lane.tell_once()

    assert states(desk) == ["delivered"]


def test_what_is_refused_waits_for_an_operator(
    desk: ResultDesk, lane: NotifyLane, rows: PostgresNotifications, stow_archive: StowArchive
) -> None:
    """410 and other refusals end the message with a reason, others go on, and an operator has it sent again."""
    stow_archive.answers = [reply(410), reply(200), reply(200)]
    owe_result(desk)
    owe_result(desk)

    assert [lane.tell_once() for _ in range(3)] == [True, True, False]
    assert states(desk) == ["refused", "delivered"]
    (told,) = rows.listed(undelivered=True)
    assert (told["reason_code"], told["tries"]) == ("http-410", 1)

    assert rows.retry("ris", "admin") == 1
    assert lane.tell_once()

    assert states(desk) == ["delivered", "delivered"]
    actions = desk.execute("SELECT action FROM audit_event WHERE action LIKE 'notification-%%' ORDER BY id")
    assert [row["action"].removeprefix("notification-") for row in actions] == [
        *("refused", "delivered", "retried", "delivered")
    ]


def test_of_two_processes_one_sends_and_one_that_died_is_replaced(
    desk: ResultDesk, rows: PostgresNotifications, place: Place
) -> None:
    """A message in hand is nobody else's until its time is over; what the first one says then counts no more."""
    rows.begin(["ris"])
    owe_result(desk)
    policy = place().policy()
    rows.note(policy)
    first = rows.claim(policy)
    assert first is not None
    assert rows.freeze(first, b"the bytes")
    assert rows.claim(policy) is None

    let_time_pass(desk)
    second = rows.claim(policy)
    assert second is not None
    assert (second.body, second.message_id) == (b"the bytes", first.message_id)
    rows.settle(first, policy, Answer(NotificationEvent.REFUSE, "late", "It is late."))
    assert not rows.freeze(first, b"other bytes")
    rows.settle(second, policy, Answer(NotificationEvent.DELIVER, "ok", ""))

    assert states(desk) == ["delivered"]


def test_a_message_that_cannot_be_made_is_put_off_with_a_reason(
    desk: ResultDesk, rows: PostgresNotifications, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours leaves no message in hand for ever; what went wrong is in the log by its kind alone."""

    class Faulty:
        def body(self, request: NotificationRequest) -> bytes:
            raise KeyError(request.result.patient_id or "Doe^Jane")

        def send(self, *_: object) -> Answer:
            raise AssertionError

    rows.begin(["ris"])
    owe_result(desk)

    assert NotifyLane(rows, place(), Faulty()).tell_once()

    assert desk.execute("SELECT state, reason_code FROM notification") == [
        {"state": "waiting", "reason_code": "not-made"}
    ]
    assert "KeyError" in caplog.text
    assert "Doe" not in caplog.text


def test_it_is_given_up_after_its_time_and_with_its_receiver(
    desk: ResultDesk, rows: PostgresNotifications, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody took for so many hours ends with a reason; so does what is owed to an entry that was removed."""
    rows.begin(["ris", "left"])
    owe_result(desk)
    dead = place(url=f"http://127.0.0.1:{free_port()}/")
    lane = NotifyLane(rows, dead, sender_of(dead))
    assert lane.tell_once()
    assert states(desk) == ["waiting"]

    desk.execute("UPDATE notification SET owed_since = now() - interval '73 hours'")
    let_time_pass(desk)
    assert lane.tell_once()
    assert states(desk) == ["waiting"]  # it was not tried while nobody of ours was there

    monkeypatch.setattr(rows, "_up_since", rows._up_since - 73 * 3600)
    let_time_pass(desk)
    rows.note(place(name="left").policy())
    assert lane.tell_once()
    assert rows.begin(["ris"]) == 1

    found = desk.execute("SELECT state, reason_code, reason_sentence FROM notification ORDER BY id")
    assert [(row["state"], row["reason_code"]) for row in found] == [
        ("given-up", "unreachable"),
        ("given-up", "not-configured"),
    ]
    assert found[0]["reason_sentence"].startswith("It was tried for 73 hours.")
    assert rows.retry(None, "admin") == 1


def test_a_secret_that_cannot_be_used_sends_nothing(
    desk: ResultDesk, rows: PostgresNotifications, place: Place, tmp_path: Path, stow_archive: StowArchive
) -> None:
    """An unsigned message never goes out; the sentence says which file to correct and not what is in it."""
    rows.begin(["ris"])
    owe_result(desk)
    (tmp_path / "short").write_text("whsec_c2hvcnQ=")
    lane = NotifyLane(rows, place(), sender_of(place(secret_file=str(tmp_path / "short"))))

    assert lane.tell_once()

    (row,) = desk.execute("SELECT reason_code, reason_sentence FROM notification")
    assert row["reason_code"] == "secret-unusable"
    assert "c2hvcnQ" not in row["reason_sentence"]
    assert stow_archive.requests == []


def test_whoever_looks_sees_what_was_not_taken(
    desk: ResultDesk, lane: NotifyLane, rows: PostgresNotifications, stow_archive: StowArchive
) -> None:
    """`explain`, `status` and the figures tell of a message that is refused, and of one that arrived when it did."""
    stow_archive.answers = [reply(422), reply(200)]
    owe_result(desk)
    lane.tell_once()
    (study,) = desk.execute("SELECT study_instance_uid FROM study")
    overview = Overview(desk.database)

    told = list(sentences(overview.explain(study["study_instance_uid"])))[-1]
    assert told.startswith("Receiver ris refused to be told of the result of test (job ")
    assert "(http-422): The receiver refused the message (4xx)" in told
    (trouble,) = open_trouble(overview.status())
    assert (trouble.what, trouble.count) == ("message to ris refused", 1)
    (counted,) = PostgresSiteReading(desk.database).summary(7)["notifications"]
    assert (counted["receiver"], counted["state"], counted["messages"]) == ("ris", "refused", 1)

    rows.retry(None, "admin")
    lane.tell_once()
    told = list(sentences(overview.explain(study["study_instance_uid"])))[-1]
    assert told.startswith("Receiver ris was told of the result of test (job ")
    assert open_trouble(overview.status()) == []
    assert PostgresSiteReading(desk.database).summary(7)["notifications"] == []


def test_a_result_on_late_images_says_what_it_replaces(
    desk: ResultDesk, lane: NotifyLane, stow_archive: StowArchive
) -> None:
    """Its message names the report of the earlier revision; that one is told of first."""
    stow_archive.answers = [reply(200), reply(200)]
    first = owe_result(desk)
    second = owe_result(desk)
    earlier, later = (row["id"] for row in desk.execute("SELECT id FROM result ORDER BY id"))
    desk.execute("UPDATE result SET predecessor_id = %s WHERE id = %s", earlier, later)

    assert [lane.tell_once() for _ in range(3)] == [True, True, False]

    older, newer = (json.loads(request.body) for request in stow_archive.requests)
    assert (older["type"], older["data"]["replaces"]) == ("result.created", None)
    assert newer["type"] == "result.replaced"
    assert newer["data"]["report"]["sop_instance_uid"] == second
    assert newer["data"]["replaces"]["sop_instance_uid"] == older["data"]["report"]["sop_instance_uid"] == first


def test_one_that_says_nothing_delays_no_other(
    desk: ResultDesk, rows: PostgresNotifications, place: Place, stow_archive: StowArchive
) -> None:
    """While one receiver is waited for, the other is told; the end of the process gives back what was in hand."""
    owe_result(desk)
    desk.execute("UPDATE result SET stored_at = now() + interval '1 hour'")  # after both were made known
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        stow_archive.answers = [reply(200)]
        slow = place(name="silent", url=f"http://127.0.0.1:{port}/", answer_seconds=180.0)
        with notifying(rows, [slow, place()], sender_of):
            silent.settimeout(30)
            in_hand, _ = silent.accept()
            deadline = time.monotonic() + 30
            while desk.execute("SELECT 1 FROM notification WHERE state = 'delivered'") == []:
                assert time.monotonic() < deadline, "the other one was not told"
                time.sleep(0.05)
            assert desk.execute("SELECT state FROM notification WHERE receiver = 'silent'") == [{"state": "sending"}]
        in_hand.close()

    (row,) = desk.execute("SELECT state, due_at <= now() AS due FROM notification WHERE receiver = 'silent'")
    assert row == {"state": "waiting", "due": True}


def test_the_command_lists_retries_and_probes(
    desk: ResultDesk,
    lane: NotifyLane,
    place: Place,
    stow_archive: StowArchive,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an operator sees of a refused message, and what sends it again; a probe tells of no result."""
    config = tmp_path / "overread.toml"
    config.write_text(
        f'[[notify]]\nname = "ris"\nkind = "webhook"\nurl = "{place().url}"\nsecret_file = "{place().secret_file}"\n'
        f'[[notify]]\nname = "lab"\nkind = "hl7"\nhost = "127.0.0.1"\nport = {stow_archive.port}\n'
        f'[[notify]]\nname = "ehr"\nkind = "fhir"\nurl = "{place().url}"\n'
        f'[[notify]]\nname = "away"\nkind = "hl7"\nhost = "127.0.0.1"\nport = {free_port()}\n'
    )
    monkeypatch.setenv("OVERREAD_CONFIG", str(config))
    monkeypatch.setenv("OVERREAD_DATABASE_URL", desk.database_url)
    monkeypatch.setenv("OVERREAD_DATA_DIR", str(desk.data_dir))
    stow_archive.answers = [reply(422), reply(200), reply(204), reply(200, b'{"resourceType": "CapabilityStatement"}')]
    owe_result(desk)
    lane.tell_once()

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(overread, ["notifications", *arguments])

    (told,) = json.loads(run("list", "--undelivered", "--json").output)
    assert (told["receiver"], told["state"], told["reason_code"]) == ("ris", "refused", "http-422")
    assert "The receiver refused" in run("list").output
    assert run("retry", "--receiver", "ris").output == "1 message is sent again.\n"
    assert "no" in str(run("retry", "--receiver", "nobody").exception).lower()
    lane.tell_once()
    assert run("list", "--undelivered").output == "Every message was delivered.\n"

    assert run("probe", "ris").output.endswith("The receiver took it.\n")
    assert json.loads(stow_archive.requests[-1].body)["type"] == "probe"
    assert run("probe", "ehr").exit_code == run("probe", "lab").exit_code == 0
    assert stow_archive.requests[-1].line == "GET /told/metadata HTTP/1.1"
    assert "could not be reached" in str(run("probe", "away").exception)


def test_what_was_held_for_long_is_looked_at_in_turn(
    desk: ResultDesk, rows: PostgresNotifications, place: Place
) -> None:
    """After an outage of the PACS every message goes out, and until then none is asked about each second."""
    rows.begin(["ris"])
    owe_result(desk, "pacs")
    rows.note(place().policy())
    acknowledge(desk, "pacs")
    now_in_turn = "CAST(floor(extract(epoch FROM now())) AS bigint) % 30"
    desk.execute(
        "UPDATE notification SET noted_at = now() - interval '1 day'; ALTER TABLE notification ALTER id DROP IDENTITY"
    )

    released = set()
    with desk.database.transaction() as session:
        clock = session.execute(text(f"SELECT {now_in_turn}")).scalar_one()
        for part in (clock, clock + 1):  # one transaction is one second
            session.execute(text("UPDATE notification SET id = :id, state = 'held'"), {"id": 300 + part})
            wanted = {"receiver": "ris", "held": True, "report_at": ""}
            session.execute(statement("release_notifications"), wanted)
            state = session.execute(text("SELECT state FROM notification")).scalar_one()
            released.add((part == clock, state))

    assert released == {(True, "waiting"), (False, "held")}
