"""Sending over the web: to Orthanc as it is, and to archives that answer, refuse, cut, trickle or redirect."""

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.pace import Pace
from listener.scu.senders import probe_of
from listener.scu.settings import DestinationSettings
from listener.scu.verdict import NoAnswer
from listener.scu.web.answer import HTTP_RULES, NO_REPLY_RULES, Concerns, HttpRule
from listener.scu.web.line import NoReply, WebDeadlines
from listener.scu.web.multipart import DicomBody
from listener.scu.web.stow import StowSender
from storage.domain.delivery import DeliveryStanding, Verdict
from storage.domain.result import EvidenceForm, EvidenceRole, FrozenEvidence
from tests.peers.evidence_files import data_set_bytes, evidence_object, frozen
from tests.peers.free_ports import free_ports
from tests.peers.orthanc import Orthanc
from tests.peers.result_desk import ResultDesk
from tests.peers.stow_archive import Answer, Request, StowArchive, failed, raw, reply, response, stored

Freeze = Callable[..., FrozenEvidence]
QUICK = WebDeadlines(connect=1, silence=1, answer=1, total=20)
PATIENT = WebDeadlines(connect=10, silence=30, answer=60, total=120)
STUDY = "1.2.826.0.1.3680043.8.498.77"


def place(url: str, **settings: object) -> DestinationSettings:
    """A destination over the web."""
    return DestinationSettings.model_validate({"name": "pacs", "kind": "stow", "url": url, **settings})


@pytest.fixture
def report(freeze_evidence: Freeze) -> FrozenEvidence:
    """A small report."""
    return freeze_evidence(EvidenceRole.REPORT)


@pytest.fixture
def segmentation(freeze_evidence: Freeze) -> FrozenEvidence:
    """A segmentation that is read in several pieces."""
    return freeze_evidence(EvidenceRole.SEGMENTATION, payload=300_000)


@pytest.fixture
def web_orthanc(start_orthanc: Callable[..., Orthanc]) -> Orthanc:
    """An Orthanc with Debian's DICOMweb."""
    return start_orthanc(dicomweb=True)


def url_of(orthanc: Orthanc) -> str:
    """Its DICOMweb services."""
    return f"http://127.0.0.1:{orthanc.http_port}/dicom-web"


def test_orthanc_takes_the_frozen_bytes_over_the_web(desk: ResultDesk, web_orthanc: Orthanc) -> None:
    """It holds exactly our two instances, and their data sets are those that were frozen; a second send is no error."""
    segmentation = evidence_object(EvidenceRole.SEGMENTATION, 300_000, STUDY)
    report = evidence_object(EvidenceRole.REPORT, 2000, STUDY)
    desk.owe(segmentation, report)
    where = place(url_of(web_orthanc))

    assert DeliveryWorker(desk.queue, desk.log, {"pacs": where}, StowSender(PATIENT), desk.jobs, "test").deliver_one()

    assert desk.job()["state"] == "completed"
    assert set(desk.deliveries().values()) == {("acknowledged", 0x0000)}
    held = {uid: data_set_bytes(part10) for uid, part10 in web_orthanc.instances_of(STUDY)}
    assert held == {item.sop_instance_uid: data_set_bytes(item.part10) for item in (segmentation, report)}


def test_orthanc_takes_the_same_again_and_refuses_what_is_no_dicom(
    web_orthanc: Orthanc, report: FrozenEvidence, tmp_path: Path
) -> None:
    """After a lost answer the same goes again as a success; what it cannot read is refused."""
    sender, where = StowSender(PATIENT), place(url_of(web_orthanc))
    broken = frozen(tmp_path, evidence_object(EvidenceRole.REPORT))
    broken.path.write_bytes(b"\0" * broken.size)

    twice = [outcome.verdict for _ in range(2) for outcome in sender.send(where, [report])]
    (of_broken,) = sender.send(where, [broken])

    assert twice == [Verdict.DELIVERED, Verdict.DELIVERED]
    assert of_broken.verdict is Verdict.REFUSED


def test_the_pace_of_a_destination_counts_the_objects_of_requests(
    stow_archive: StowArchive, segmentation: FrozenEvidence, report: FrozenEvidence
) -> None:
    """The request that comes second waits for its turn, which is none of the time that its transfer may take."""
    pace = Pace(objects_per_second=1)
    sender = StowSender(WebDeadlines(connect=1, silence=1, answer=1, total=0.5), pace=pace)

    outcomes = sender.send(place(stow_archive.url), [segmentation, report])

    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELIVERED, Verdict.DELIVERED]
    assert pace.take_turn(1) > 0  # both were counted


def test_segmentations_go_together_before_the_report(stow_archive: StowArchive, freeze_evidence: Freeze) -> None:
    """The objects of one form share a request, the report has its own, and the parts are the files byte for byte."""
    segmentation, report = freeze_evidence(EvidenceRole.SEGMENTATION), freeze_evidence(EvidenceRole.REPORT)

    outcomes = StowSender(QUICK).send(place(stow_archive.url), [report, segmentation])

    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELIVERED, Verdict.DELIVERED]
    assert stow_archive.sent == [[segmentation.sop_instance_uid], [report.sop_instance_uid]]
    assert [request.files for request in stow_archive.requests] == [
        [segmentation.path.read_bytes()],
        [report.path.read_bytes()],
    ]
    first = stow_archive.requests[0]
    assert first.line == "POST /dicom-web/studies HTTP/1.1"
    assert first.header["accept"] == "application/dicom+json"
    assert first.header["content-type"].startswith('multipart/related; type="application/dicom"; boundary=')


def test_a_body_is_read_piece_by_piece(tmp_path: Path) -> None:
    """However large a file is, a piece of its body is not; the length that is announced is that of the pieces."""
    large = frozen(tmp_path, evidence_object(EvidenceRole.SEGMENTATION, payload=5_000_000))
    body = DicomBody([large, large])

    pieces = list(map(len, body.pieces()))

    assert max(pieces) <= 1 << 16
    assert sum(pieces) == body.size


def test_a_request_has_a_bound(
    stow_archive: StowArchive, freeze_evidence: Freeze, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what does not fit together the rest goes in a further request; what is larger alone goes alone."""
    monkeypatch.setattr("listener.scu.web.stow._MOST_REQUEST_BYTES", 12_000)
    sizes = (2000, 2000, 20_000, 2000)
    objects = [freeze_evidence(EvidenceRole.SEGMENTATION, payload=size) for size in sizes]

    outcomes = StowSender(QUICK).send(place(stow_archive.url), objects)

    uids = [one.sop_instance_uid for one in objects]
    assert stow_archive.sent == [uids[:2], uids[2:3], uids[3:]]
    assert {outcome.verdict for outcome in outcomes} == {Verdict.DELIVERED}


@pytest.mark.parametrize("rule", [rule for rule in HTTP_RULES if rule.last < 900], ids=lambda rule: str(rule.first))
def test_a_status_without_a_body_is_taken_as_the_table_says(
    stow_archive: StowArchive, segmentation: FrozenEvidence, report: FrozenEvidence, rule: HttpRule
) -> None:
    """Nothing is delivered by a status; what is to be tried again, and a refusal by the place itself, end all."""
    status = rule.last if rule.first in (200, 300, 400, 500) and rule.last != rule.first else rule.first
    stow_archive.answers.append(reply(status))

    of_segmentation, of_report = StowSender(QUICK).send(place(stow_archive.url), [segmentation, report])

    said_nothing = status in (200, 202)  # an empty body is none that can be read
    assert of_segmentation.verdict is rule.verdict
    assert of_segmentation.note == rule.note or said_nothing
    goes_on = rule.verdict is Verdict.REFUSED and rule.concerns is not Concerns.DESTINATION
    assert (of_report.verdict is Verdict.DELIVERED) == goes_on
    assert len(stow_archive.requests) == (2 if goes_on else 1)


def test_what_is_refused_together_is_sent_one_by_one(stow_archive: StowArchive, freeze_evidence: Freeze) -> None:
    """Only the object that is too large is refused for it."""
    objects = [freeze_evidence(EvidenceRole.SEGMENTATION) for _ in range(3)]
    stow_archive.answers += [reply(413), stored(), reply(413), stored()]

    outcomes = StowSender(QUICK).send(place(stow_archive.url), objects)

    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELIVERED, Verdict.REFUSED, Verdict.DELIVERED]
    assert [len(uids) for uids in stow_archive.sent] == [3, 1, 1, 1]


def test_in_one_answer_each_instance_has_its_own(stow_archive: StowArchive, freeze_evidence: Freeze) -> None:
    """202: one stored, one refused, one to be tried again; the report waits for that one."""
    good, bad, later = (freeze_evidence(EvidenceRole.SEGMENTATION) for _ in range(3))
    report = freeze_evidence(EvidenceRole.REPORT)
    reasons = {bad.sop_instance_uid: 0xA900, later.sop_instance_uid: 0xA700}
    stow_archive.answers.append(stored(202, but=reasons))

    outcomes = StowSender(QUICK).send(place(stow_archive.url), [good, bad, later, report])

    assert {outcome.sop_instance_uid: (outcome.verdict, outcome.status) for outcome in outcomes} == {
        good.sop_instance_uid: (Verdict.DELIVERED, 0x0000),
        bad.sop_instance_uid: (Verdict.REFUSED, 0xA900),
        later.sop_instance_uid: (Verdict.TRY_AGAIN, 0xA700),
        report.sop_instance_uid: (Verdict.TRY_AGAIN, None),
    }
    assert len(stow_archive.requests) == 1


def without_a_reason(caller: socket.socket, request: Request, ended: threading.Event) -> None:
    """202: it failed, and nothing says why."""
    [uid] = request.uids
    reply(202, response([], [{"00081155": {"vr": "UI", "Value": [uid]}}]))(caller, request, ended)


def of_no_instance(caller: socket.socket, request: Request, ended: threading.Event) -> None:
    """202: nothing is said of what was sent."""
    reply(202, response([]))(caller, request, ended)


@pytest.mark.parametrize("answer", [without_a_reason, of_no_instance])
def test_a_report_waits_for_a_segmentation_of_which_too_little_is_said(
    stow_archive: StowArchive, segmentation: FrozenEvidence, report: FrozenEvidence, answer: Answer
) -> None:
    """The segmentation is tried again; the report is not sent before it, and its note says that of it."""
    stow_archive.answers.append(answer)

    of_segmentation, of_report = StowSender(QUICK).send(place(stow_archive.url), [segmentation, report])

    assert (of_segmentation.verdict, of_report.verdict) == (Verdict.TRY_AGAIN, Verdict.TRY_AGAIN)
    assert "held back" in of_report.note
    assert stow_archive.sent == [[segmentation.sop_instance_uid]]


def test_a_report_goes_alone_once_it_waited_long_enough(
    stow_archive: StowArchive, segmentation: FrozenEvidence, report: FrozenEvidence
) -> None:
    """Where nothing is held back, a segmentation at which the archive fails again and again keeps nothing away."""
    stow_archive.answers.append(reply(500))

    outcomes = StowSender(QUICK).send(
        place(stow_archive.url), [segmentation, report], standing=DeliveryStanding(holds_back=False)
    )

    assert [outcome.verdict for outcome in outcomes] == [Verdict.TRY_AGAIN, Verdict.DELIVERED]


def test_what_the_archive_has_already_is_delivered(stow_archive: StowArchive, report: FrozenEvidence) -> None:
    """409 with 45070, as after an answer that was lost: our bytes are frozen, so it is ours that it holds."""
    stow_archive.answers.append(failed(409, 45070))

    (outcome,) = StowSender(QUICK).send(place(stow_archive.url), [report])

    assert (outcome.verdict, outcome.status) == (Verdict.DELIVERED, 45070)


def test_a_form_that_is_refused_gives_way_to_the_next(stow_archive: StowArchive, freeze_evidence: Freeze) -> None:
    """There is no negotiation over the web: the Failure Reason decides."""
    best = freeze_evidence(EvidenceRole.REPORT)
    instead = replace(freeze_evidence(EvidenceRole.REPORT), form=EvidenceForm.BASIC_TEXT)
    stow_archive.answers.append(failed(409, 0x0122))

    outcomes = StowSender(QUICK).send(place(stow_archive.url), [best, instead])

    verdicts = {outcome.sop_instance_uid: outcome.verdict for outcome in outcomes}
    assert verdicts == {best.sop_instance_uid: Verdict.NOT_NEEDED, instead.sop_instance_uid: Verdict.DELIVERED}


def endless(caller: socket.socket, ended: threading.Event) -> None:
    """More and more, as fast as it is read."""
    while not ended.is_set():
        caller.sendall(b" " * 65536)


def trickle(caller: socket.socket, ended: threading.Event, what: bytes = b" ") -> None:
    """A byte now and then, so that no silence is long."""
    while not ended.wait(0.05):
        caller.sendall(what)


def silent(_: socket.socket, ended: threading.Event) -> None:
    """Nothing."""
    ended.wait(60)


_OK = b"HTTP/1.1 200 OK\r\n"
_NO_LENGTH = _OK + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (raw(), NO_REPLY_RULES[NoReply.BROKEN].note),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), NO_REPLY_RULES[NoReply.BROKEN].note),
        (raw(_OK + b"Content-Length: 500\r\n\r\n{"), NO_REPLY_RULES[NoReply.BROKEN].note),
        (raw(_OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), NO_REPLY_RULES[NoReply.BROKEN].note),
        (raw(_OK + b"X: " + b"x" * 300_000), NO_REPLY_RULES[NoReply.BROKEN].note),
        (raw(then=silent), NO_REPLY_RULES[NoReply.TOO_SLOW].note),
        (raw(_NO_LENGTH, then=trickle), NO_REPLY_RULES[NoReply.TOO_SLOW].note),
        (raw(_OK + b"X: ", then=trickle), NO_REPLY_RULES[NoReply.TOO_SLOW].note),
        (raw(then=partial(trickle, what=b"HTTP/1.1 100 Continue\r\n\r\n")), NO_REPLY_RULES[NoReply.TOO_SLOW].note),
        (raw(_NO_LENGTH, then=endless), "no answer of STOW-RS"),
        (reply(200, b"<html>Welcome</html>", Content_Type="text/html"), "no answer of STOW-RS"),
        (reply(200, b"\x1f\x8b" + b"x" * 50, Content_Encoding="gzip"), "no answer of STOW-RS"),
        (reply(200, response([])), HTTP_RULES[0].note),
    ],
    ids=[
        "cut",
        "no-http",
        "truncated",
        "bad-chunk",
        "long-header",
        "silent",
        "slow-body",
        "slow-header",
        "slow-continue",
        "endless",
        "html",
        "gzip",
        "names-nothing",
    ],
)
def test_a_rude_answer_delivers_nothing(
    stow_archive: StowArchive, freeze_evidence: Freeze, report: FrozenEvidence, answer: Answer, sentence: str
) -> None:
    """What is no whole answer in time is none: it is tried again, and the report is not sent."""
    segmentation = freeze_evidence(EvidenceRole.SEGMENTATION)
    stow_archive.answers.append(answer)

    outcomes = StowSender(QUICK).send(place(stow_archive.url), [segmentation, report])

    assert {outcome.verdict for outcome in outcomes} == {Verdict.TRY_AGAIN}
    of_segmentation, of_report = outcomes
    assert sentence in of_segmentation.note
    assert sentence in of_report.note or "held back" in of_report.note
    assert len(stow_archive.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(stow_archive: StowArchive, report: FrozenEvidence, status: int) -> None:
    """Whatever it says and wherever it leads, nothing goes there."""
    stow_archive.answers.append(reply(status, Location=f"http://localhost:{stow_archive.port}/elsewhere/studies"))

    (outcome,) = StowSender(QUICK).send(place(stow_archive.url), [report])

    assert outcome.verdict is Verdict.TRY_AGAIN
    assert "redirects us" in outcome.note
    assert len(stow_archive.requests) == 1


def test_nothing_of_the_environment_leads_elsewhere(
    stow_archive: StowArchive, report: FrozenEvidence, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No proxy and no .netrc: what is sent goes to the url and with no password that somebody left on the machine."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_ports(1)[0]}")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password left\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    (outcome,) = StowSender(QUICK).send(place(stow_archive.url), [report])

    assert outcome.verdict is Verdict.DELIVERED
    assert "authorization" not in stow_archive.requests[0].header


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://no-such-host.invalid/dicom-web", NoReply.UNKNOWN_HOST),
        ("http://127.0.0.1:{free}/dicom-web", NoReply.UNREACHABLE),
        ("https://127.0.0.1:{open}/dicom-web", NoReply.NO_TLS),
    ],
)
def test_who_is_not_there_is_tried_again(
    stow_archive: StowArchive, segmentation: FrozenEvidence, report: FrozenEvidence, url: str, why: NoReply
) -> None:
    """The sentence says why, the lane may pause for it, and it is asked once for all that waits."""
    where = place(url.format(free=free_ports(1)[0], open=stow_archive.port))

    outcomes = StowSender(QUICK).send(where, [segmentation, report])

    assert {outcome.note for outcome in outcomes} == {NO_REPLY_RULES[why].note}
    assert {outcome.verdict for outcome in outcomes} == {Verdict.TRY_AGAIN}
    assert all(outcome.out_of_reach for outcome in outcomes)


def test_a_stop_cuts_a_request_that_waits(stow_archive: StowArchive, report: FrozenEvidence) -> None:
    """An archive that thinks for long does not keep the process from ending."""
    stow_archive.answers.append(raw(then=silent))

    (outcome,) = StowSender(PATIENT).send(
        place(stow_archive.url), [report], stopped=lambda: bool(stow_archive.requests)
    )

    assert outcome.verdict is Verdict.TRY_AGAIN
    assert outcome.note == NO_REPLY_RULES[NoReply.INTERRUPTED].note
    assert not outcome.out_of_reach


def test_a_place_that_asks_for_patience_gets_it(desk: ResultDesk, stow_archive: StowArchive) -> None:
    """503 with Retry-After: the delivery is due no sooner, and nothing was refused."""
    report = evidence_object(EvidenceRole.REPORT)
    desk.owe(report)
    stow_archive.answers.append(reply(503, Retry_After="900"))
    where = place(stow_archive.url)

    assert DeliveryWorker(desk.queue, desk.log, {"pacs": where}, StowSender(QUICK), desk.jobs, "test").deliver_one()

    (row,) = desk.execute("SELECT state, due_at > now() + interval '880 s' AS later FROM job WHERE kind = 'delivery'")
    assert row == {"state": "scheduled", "later": True}
    assert desk.deliveries() == {report.sop_instance_uid: ("waiting", None)}


def test_a_refusal_is_given_up_and_told(desk: ResultDesk, stow_archive: StowArchive) -> None:
    """403: parked at once, with the sentence what to do, and no word of the peer's."""
    desk.owe(evidence_object(EvidenceRole.REPORT))
    stow_archive.answers.append(reply(403, b"Patient Nobody^Test is not yours"))
    where = place(stow_archive.url)

    assert DeliveryWorker(desk.queue, desk.log, {"pacs": where}, StowSender(QUICK), desk.jobs, "test").deliver_one()

    job = desk.job()
    assert (job["state"], job["reason_code"]) == ("failed", "delivery-refused")
    assert "(403)" in job["reason_sentence"]
    assert "Nobody" not in job["reason_sentence"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(200, b"<html>Welcome"), None),
        (reply(404), None),
        (reply(401), None),
        (reply(302, Location="http://127.0.0.1:1/"), None),
        (reply(503), None),
        (reply(502), NoAnswer.UNREACHABLE),
        (reply(504), NoAnswer.UNREACHABLE),
        (raw(_NO_LENGTH, then=endless), None),
        (raw(), NoAnswer.UNREACHABLE),
    ],
)
def test_a_paused_place_is_asked_for_any_answer(
    stow_archive: StowArchive, tmp_path: Path, answer: Answer, why: NoAnswer | None
) -> None:
    """Whoever answers is there, but for a proxy without it; it is shown no token, however often it is asked."""
    (tmp_path / "token").write_text("a-token")
    stow_archive.answers.append(answer)
    where = place(stow_archive.url, token_file=str(tmp_path / "token"))

    assert probe_of(where, "OVERREAD", lambda: False)() is why

    (asked,) = stow_archive.requests
    assert asked.line == "GET /dicom-web/ HTTP/1.1"
    assert "authorization" not in asked.header


def test_a_paused_place_that_is_not_there_is_told_why(stow_archive: StowArchive) -> None:
    """The words are those of other destinations; a stop says nothing of the place."""
    free = free_ports(1)[0]

    def why(url: str, stopped: bool = False) -> NoAnswer | None:
        return probe_of(place(url), "OVERREAD", lambda: stopped)()

    assert why(f"http://127.0.0.1:{free}") is NoAnswer.UNREACHABLE
    assert why("http://no-such-host.invalid") is NoAnswer.UNKNOWN_HOST
    assert why(f"https://127.0.0.1:{stow_archive.port}") is NoAnswer.UNREACHABLE
    assert why(stow_archive.url, stopped=True) is NoAnswer.INTERRUPTED
