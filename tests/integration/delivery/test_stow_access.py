"""Who we are over the web: passwords, tokens and certificates at our own door, and tokens of a token server."""

import base64
import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from listener.scu.settings import DestinationSettings
from listener.scu.verdict import NoAnswer, no_answer_note
from listener.scu.web.answer import NO_REPLY_RULES, http_rule
from listener.scu.web.line import NoReply, WebDeadlines
from listener.scu.web.stow import StowSender
from storage.domain.delivery import Verdict
from storage.domain.result import EvidenceRole, FrozenEvidence
from tests.peers.certificates import Authority
from tests.peers.evidence_files import data_set_bytes
from tests.peers.free_ports import free_ports
from tests.peers.spool_content import waiting_digests
from tests.peers.stow_archive import Answer, StowArchive, opened, raw, reply
from tests.peers.web_door import PASSWORD, WebDoor
from tests.peers.web_door import opened as opened_door

Freeze = Callable[..., FrozenEvidence]
PATIENT = WebDeadlines(connect=10, silence=30, answer=60, total=120)
QUICK = WebDeadlines(connect=1, silence=1, answer=1, total=20)
SECRET = "a s+cret/of:ours%"  # what form-encoding changes


def place(url: str, **settings: Any) -> DestinationSettings:
    """A destination over the web."""
    return DestinationSettings.model_validate({"name": "pacs", "kind": "stow", "url": url, **settings})


@pytest.fixture
def report(freeze_evidence: Freeze) -> FrozenEvidence:
    """A small report."""
    return freeze_evidence(EvidenceRole.REPORT)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Whom both sides believe."""
    return Authority(tmp_path)


@contextmanager
def tls_door(database_url: str, folder: Path, authority: Authority) -> Iterator[WebDoor]:
    """Our own web door with TLS, which knows the certificate of CN=sender as its account operator."""
    own = authority.sign("door")
    with opened_door(
        database_url,
        folder,
        tls_certificate=own.cert,
        tls_key=own.key,
        tls_client_ca=authority.file,
        client_certificates=[{"subject": "CN=sender,O=Hospital", "account": "operator"}],
    ) as door:
        yield door


def test_our_own_door_is_shown_a_certificate_or_a_password(
    database_url: str, tmp_path: Path, authority: Authority, freeze_evidence: Freeze
) -> None:
    """It takes both over TLS and has the frozen data sets; another account, password or authority gets nothing in."""
    shown = authority.sign("sender")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "wrong").write_text("another password altogether")
    by_certificate, by_password, not_sent = (freeze_evidence(EvidenceRole.REPORT) for _ in range(3))
    trust = {"tls_ca": authority.file}
    basic = {"username": "operator", "password_file": str(tmp_path / "password")}

    def sent(one: FrozenEvidence, **settings: str) -> tuple[Verdict, str]:
        (outcome,) = StowSender(PATIENT).send(place(url, **settings), [one])
        return outcome.verdict, outcome.note

    with tls_door(database_url, tmp_path / "data", authority) as door:
        url = f"https://127.0.0.1:{door.port}/dicom-web"
        certified = sent(by_certificate, **trust, tls_certificate=shown.cert, tls_key=shown.key)
        logged_in = sent(by_password, **trust, **basic)
        unknown = sent(not_sent, **trust)
        wrong = sent(not_sent, **trust, **basic | {"password_file": str(tmp_path / "wrong")})
        viewer = sent(not_sent, **trust, **basic | {"username": "viewer"})
        stranger = sent(not_sent, tls_ca=Authority(tmp_path, "another").file, **basic)

    assert [certified[0], logged_in[0]] == [Verdict.DELIVERED, Verdict.DELIVERED]
    assert unknown == wrong == (Verdict.REFUSED, http_rule(401).note)
    assert viewer == (Verdict.REFUSED, http_rule(403).note)
    assert stranger == (Verdict.TRY_AGAIN, no_answer_note(NoAnswer.CERTIFICATE_OF_UNKNOWN_AUTHORITY))
    assert waiting_digests(tmp_path / "data") == {
        one.sop_instance_uid: hashlib.sha256(data_set_bytes(one.path.read_bytes())).hexdigest()
        for one in (by_certificate, by_password)
    }


def test_the_name_in_a_certificate_must_be_that_of_the_url(
    database_url: str, tmp_path: Path, authority: Authority, report: FrozenEvidence
) -> None:
    """The door's is for 127.0.0.1: under another name it is not believed, but for tls_server_name."""
    with tls_door(database_url, tmp_path / "data", authority) as door:
        url = f"https://localhost:{door.port}/dicom-web"
        (other,) = StowSender(PATIENT).send(place(url, tls_ca=authority.file), [report])
        (named,) = StowSender(PATIENT).send(place(url, tls_ca=authority.file, tls_server_name="127.0.0.1"), [report])

    assert other.note == no_answer_note(NoAnswer.CERTIFICATE_OF_ANOTHER)
    assert named.note == http_rule(401).note


def test_a_token_of_a_file_is_read_for_each_delivery(
    stow_archive: StowArchive, report: FrozenEvidence, tmp_path: Path
) -> None:
    """It can be renewed in place; one that is no token is never sent."""
    file = tmp_path / "token"
    where = place(stow_archive.url, token_file=str(file))
    sender = StowSender(QUICK)
    notes = []
    for content in ("first\n", "second", "", "two words", "a\nX-Injected: b", "caf\u00e9"):
        file.write_text(content, encoding="utf-8")
        notes.append(sender.send(where, [report])[0].note)

    assert [request.header["authorization"] for request in stow_archive.requests] == ["Bearer first", "Bearer second"]
    assert set(notes[2:]) == {NO_REPLY_RULES[NoReply.NOTHING_TO_SHOW].note}


@pytest.fixture
def token_server() -> Iterator[StowArchive]:
    """What gives tokens as a test says."""
    with opened() as server:
        yield server


def granted(token: str, **more: object) -> Answer:
    """A token as RFC 6749 section 5.1 has it."""
    return reply(200, json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 3600} | more).encode())


@pytest.fixture
def oauth(stow_archive: StowArchive, token_server: StowArchive, tmp_path: Path) -> DestinationSettings:
    """The archive, with client credentials at the token server."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    return place(
        stow_archive.url,
        oauth_token_url=f"http://127.0.0.1:{token_server.port}/token",
        oauth_client_id="overread",
        oauth_client_secret_file=str(tmp_path / "secret"),
        oauth_scope="dicom.write",
    )


def test_a_token_is_asked_for_once_and_shown_until_shortly_before_its_end(
    stow_archive: StowArchive, token_server: StowArchive, oauth: DestinationSettings, report: FrozenEvidence
) -> None:
    """One request with id and secret as RFC 6749 encodes them; a token that ends at once is not kept."""
    token_server.answers += [granted("one"), granted("two", expires_in=1e-9), granted("three")]
    sender = StowSender(QUICK)

    sender.send(oauth, [report])
    sender.send(oauth, [report])
    another = StowSender(QUICK)
    another.send(oauth, [report])
    another.send(oauth, [report])

    shown = [request.header["authorization"] for request in stow_archive.requests]
    assert shown == ["Bearer one", "Bearer one", "Bearer two", "Bearer three"]
    first = token_server.requests[0]
    assert first.line == "POST /token HTTP/1.1"
    assert first.body == b"grant_type=client_credentials&scope=dicom.write"
    assert base64.b64decode(first.header["authorization"].removeprefix("Basic ")) == (
        b"overread:a+s%2Bcret%2Fof%3Aours%25"
    )


def test_a_token_that_is_not_believed_is_replaced_once(
    stow_archive: StowArchive, token_server: StowArchive, oauth: DestinationSettings, report: FrozenEvidence
) -> None:
    """After a 401 the same goes again with a new token; after a second one it is refused, and nothing loops."""
    token_server.answers += [granted("old"), granted("new"), granted("newer"), granted("newest")]
    stow_archive.answers.append(reply(401))
    sender = StowSender(QUICK)

    (taken,) = sender.send(oauth, [report])
    stow_archive.answers += [reply(401), reply(401)]
    (refused,) = sender.send(oauth, [report])

    assert taken.verdict is Verdict.DELIVERED
    assert (refused.verdict, refused.note) == (Verdict.REFUSED, http_rule(401).note)
    shown = [request.header["authorization"].removeprefix("Bearer ") for request in stow_archive.requests]
    assert shown == ["old", "new", "new", "newer"]
    assert {tuple(uids) for uids in stow_archive.sent} == {(report.sop_instance_uid,)}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(401, b'{"error": "invalid_client"}'), NoReply.NOT_GRANTED),
        (reply(400, b'{"error": "invalid_scope"}'), NoReply.NOT_GRANTED),
        (reply(503), NoReply.NO_GRANTING_SERVER),
        (reply(302, Location="http://127.0.0.1:1/token"), NoReply.NO_GRANTING_SERVER),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), NoReply.NO_GRANTING_SERVER),
        (reply(200, b"<html>"), NoReply.GRANT_UNUSABLE),
        (reply(200, b"[]"), NoReply.GRANT_UNUSABLE),
        (reply(200, b'{"access_token": "a"}'), NoReply.GRANT_UNUSABLE),
        (granted("a", token_type="mac"), NoReply.GRANT_UNUSABLE),
        (granted("two words"), NoReply.GRANT_UNUSABLE),
        (granted("a\r\nX-Injected: b"), NoReply.GRANT_UNUSABLE),
        (granted("a", expires_in="soon"), NoReply.GRANT_UNUSABLE),
        (granted("a", expires_in=-1), NoReply.GRANT_UNUSABLE),
        (granted("a", padding="x" * 100_000), NoReply.GRANT_UNUSABLE),
    ],
)
def test_without_a_token_nothing_is_sent(
    stow_archive: StowArchive,
    token_server: StowArchive,
    oauth: DestinationSettings,
    report: FrozenEvidence,
    answer: Answer,
    why: NoReply,
) -> None:
    """The sentence says what to correct, and the archive sees nothing of it."""
    token_server.answers.append(answer)

    (outcome,) = StowSender(QUICK).send(oauth, [report])

    assert (outcome.verdict, outcome.note) == (Verdict.TRY_AGAIN, NO_REPLY_RULES[why].note)
    assert stow_archive.requests == []


def test_no_secret_is_in_what_we_write(
    stow_archive: StowArchive,
    token_server: StowArchive,
    oauth: DestinationSettings,
    report: FrozenEvidence,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """No log of any level, sentence or settings hold the secret, a token or an address, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    of_another_kind = granted("a-token-of-ours", token_type="mac")
    token_server.answers += [granted("a-token-of-ours"), of_another_kind, granted("a-token-of-ours")]
    stow_archive.answers += [reply(401), raw()]
    sender = StowSender(QUICK)

    outcomes = [*sender.send(oauth, [report]), *sender.send(oauth, [report])]
    gone = oauth.model_copy(update={"oauth_token_url": f"http://127.0.0.1:{free_ports(1)[0]}/token", "name": "gone"})
    outcomes += sender.send(gone, [report])

    written = caplog.text + repr(outcomes) + repr(oauth) + "".join(str(record.exc_info) for record in caplog.records)
    assert [record.name for record in caplog.records if record.name.startswith(("httpx", "httpcore"))] == []
    encoded = base64.b64encode(b"overread:a+s%2Bcret%2Fof%3Aours%25").decode()
    assert [word for word in (SECRET, "a-token-of-ours", encoded, "s%2Bcret") if word in written] == []
