"""TLS to a destination: everything that we ask of it goes through it, and each way it can fail has its name."""

import shutil
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from listener.scu.association import Deadlines
from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.echo import echo
from listener.scu.proof.commitment import CommitmentInquiry
from listener.scu.proof.read_back import FindInquiry
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from listener.scu.verdict import NoAnswer, no_answer_note
from storage.domain.commitment import Believed
from storage.domain.proof import ProofObject, ProofRequest, ProofWay, Word
from storage.domain.result import EvidenceObject, EvidenceRole
from tests.peers.certificates import Authority, Signed
from tests.peers.dcmtk_servers import StartStorescp
from tests.peers.evidence_files import evidence_object, frozen
from tests.peers.orthanc import Orthanc
from tests.peers.recording_pacs import RecordingPacs, silent_listener, trickling_listener
from tests.peers.result_desk import ResultDesk

STUDY = "1.2.826.0.1.3680043.8.498.7"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """The hospital's."""
    return Authority(tmp_path)


@pytest.fixture
def ours(authority: Authority) -> Signed:
    """Our own certificate."""
    return authority.sign("overread")


def place(port: int, authority: Authority, ours: Signed | None = None, **settings: Any) -> DestinationSettings:
    """A destination that is spoken to by TLS."""
    keys = {"name": "pacs", "ae_title": "PACS", "host": "127.0.0.1", "port": port, "tls": True}
    keys["tls_ca"] = authority.file
    if ours is not None:
        keys |= {"tls_certificate": ours.cert, "tls_key": ours.key}
    return DestinationSettings(**keys | settings)


def storescp(start: StartStorescp, shown: Signed, believed: Authority, *options: str) -> int:
    """DCMTK's archive, which wants a certificate of an authority that it believes."""
    port, _ = start("+tls", shown.key, shown.cert, "+cf", believed.file, *options)
    return port


def request(way: ProofWay, evidence: EvidenceObject) -> ProofRequest:
    """A question about one object."""
    one = ProofObject(1, STUDY, evidence.series_instance_uid, evidence.sop_class_uid, evidence.sop_instance_uid)
    return ProofRequest("1.2.826.0.1.3680043.8.498.8", "pacs", way, (one,))


def test_orthanc_is_sent_to_asked_and_told_by_tls_alone(
    desk: ResultDesk, start_orthanc: Callable[..., Orthanc], authority: Authority, ours: Signed, tmp_path: Path
) -> None:
    """C-STORE, C-FIND, N-ACTION and C-ECHO, with certificates on both sides; in the clear it answers nothing."""
    theirs = authority.sign("orthanc")
    tls = {
        "DicomTlsEnabled": True,
        "DicomTlsPrivateKey": theirs.key,
        "DicomTlsCertificate": theirs.cert,
        "DicomTlsTrustedCertificates": authority.file,
    }
    orthanc = start_orthanc({"overread": ("OVERREAD", "127.0.0.1", 104)}, settings=tls)
    where = place(orthanc.dicom_port, authority, ours, ae_title="ORTHANC")
    report = evidence_object(EvidenceRole.REPORT, 2000, STUDY)
    desk.owe(report)
    DeliveryWorker(desk.queue, desk.log, {"pacs": where}, StoreScu("OVERREAD"), desk.jobs, "test").deliver_one()

    assert desk.job()["state"] == "completed", desk.job()["reason_sentence"]
    (found,) = FindInquiry("OVERREAD").ask(where, request(ProofWay.QUERY, report), lambda: False)
    commitment = CommitmentInquiry("OVERREAD", lambda *_, **__: Believed.TAKEN, linger_seconds=0)
    assert found.word is Word.HELD
    assert commitment.ask(where, request(ProofWay.COMMITMENT, report), lambda: False) == ()
    assert echo("OVERREAD", where) is None
    in_the_clear = where.model_copy(update={"tls": False})
    assert echo("OVERREAD", in_the_clear) is NoAnswer.NO_ASSOCIATION


@pytest.mark.parametrize(
    ("why", "shown", "settings"),
    [
        (NoAnswer.CERTIFICATE_EXPIRED, {"days": -1}, {}),
        (NoAnswer.CERTIFICATE_OF_UNKNOWN_AUTHORITY, {"stranger": True}, {}),
        (NoAnswer.CERTIFICATE_OF_ANOTHER, {}, {"tls_server_name": "pacs.hospital"}),
        (NoAnswer.TLS_AUTHORITIES_UNUSABLE, {}, {"tls_ca": "/no/such/file"}),
        (NoAnswer.OUR_CERTIFICATE_UNUSABLE, {}, {"tls_key": "/no/such/file"}),
    ],
)
def test_what_is_wrong_with_certificates_and_files_has_a_name(
    start_storescp: StartStorescp,
    authority: Authority,
    ours: Signed,
    tmp_path: Path,
    why: NoAnswer,
    shown: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    """DCMTK's storescp shows a certificate that we do not believe, or we cannot read our own: each is one outcome."""
    signs = Authority(tmp_path, "stranger") if shown.get("stranger") else authority
    port = storescp(start_storescp, signs.sign("pacs", days=shown.get("days", 1)), authority)

    assert echo("OVERREAD", place(port, authority, ours, **settings)) is why


def test_a_certificate_of_ours_that_is_not_believed_has_a_name(
    start_storescp: StartStorescp, authority: Authority, tmp_path: Path
) -> None:
    """Of another authority, or none at all: the destination says so, and so do we."""
    port = storescp(start_storescp, authority.sign("pacs"), authority)
    stranger = Authority(tmp_path, "stranger").sign("overread")

    assert echo("OVERREAD", place(port, authority, stranger)) is NoAnswer.OUR_CERTIFICATE_REFUSED
    assert echo("OVERREAD", place(port, authority)) is NoAnswer.OUR_CERTIFICATE_REFUSED


def test_the_oldest_version_is_a_setting(authority: Authority) -> None:
    """A destination that stops at TLS 1.2 is spoken to, unless 1.3 is demanded; that is told by its name."""
    theirs = authority.sign("pacs")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(theirs.cert, theirs.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    pacs = RecordingPacs()
    port = pacs.start(tls=context)
    try:
        assert echo("OVERREAD", place(port, authority)) is None
        assert echo("OVERREAD", place(port, authority, tls_minimum_version="1.3")) is NoAnswer.TLS_NOT_AGREED
    finally:
        pacs.stop()


def test_nothing_goes_in_the_clear_to_who_does_not_speak_tls(
    desk: ResultDesk, recording_pacs: RecordingPacs, authority: Authority
) -> None:
    """Not even a request; the delivery waits with the sentence that says what to change."""
    desk.owe(evidence_object(EvidenceRole.REPORT))
    where = place(recording_pacs.port, authority)
    DeliveryWorker(desk.queue, desk.log, {"pacs": where}, StoreScu("OVERREAD"), desk.jobs, "test").deliver_one()

    assert recording_pacs.calling_ae_titles == []
    assert desk.job()["state"] == "scheduled"
    assert desk.job()["reason_sentence"] == no_answer_note(NoAnswer.TLS_NOT_SPOKEN)


def test_a_handshake_without_end_is_cut(authority: Authority, tmp_path: Path) -> None:
    """Who says nothing, or byte after byte, has as long as a connection may take, and no longer."""
    deadlines = Deadlines(connect=0.3, associate=0.3)
    sender = StoreScu("OVERREAD", deadlines)
    report = frozen(tmp_path, evidence_object(EvidenceRole.REPORT))
    with silent_listener() as silent, trickling_listener(b"\x16\x03\x03\x40\x00") as trickling:
        for port in (silent, trickling):
            (outcome,) = sender.send(place(port, authority), [report])
            assert outcome.note in (no_answer_note(NoAnswer.NO_ASSOCIATION), no_answer_note(NoAnswer.TLS_NOT_SPOKEN))


def test_a_renewed_file_counts_from_the_next_connection(
    start_storescp: StartStorescp, authority: Authority, ours: Signed, tmp_path: Path
) -> None:
    """Whoever replaces the file of authorities need not start anything anew."""
    stranger = Authority(tmp_path, "stranger")
    port = storescp(start_storescp, stranger.sign("pacs"), authority)
    believed = tmp_path / "believed.pem"
    shutil.copy(authority.file, believed)
    where = place(port, authority, ours, tls_ca=str(believed))
    assert echo("OVERREAD", where) is NoAnswer.CERTIFICATE_OF_UNKNOWN_AUTHORITY

    shutil.copy(stranger.file, believed)

    assert echo("OVERREAD", where) is None
