"""Proof by storage commitment: of Orthanc, which reports on an association of its own, and of a rude PACS."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom.dsutils import encode

from listener.scp.acceptor import Acceptor
from listener.scp.association_policy import AssociationPolicy
from listener.scp.commitment_reports import read_report
from listener.scp.store import StoreHandler
from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.proof.commitment import CommitmentInquiry
from listener.scu.proof.prover import Prover
from listener.scu.proof.report_taking import ReportTaking
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from listener.settings import ListenerSettings
from storage.domain.result import EvidenceObject, EvidenceRole
from storage.errors import UnreadableDataSet
from storage.objects.commitment_folder import CommitmentFolder
from storage.objects.report_folder import ReportFolder
from storage.objects.spool import FileSpool
from storage.postgres.proof_reports import take_report
from storage.postgres.proof_rows import PostgresProofs
from storage.settings import JobSettings, SpoolSettings
from tests.peers.commitment_pacs import CommitmentPacs, report_on
from tests.peers.evidence_files import evidence_object
from tests.peers.free_ports import free_port
from tests.peers.orthanc import Orthanc
from tests.peers.result_desk import ResultDesk

STUDY = "1.2.826.0.1.3680043.8.498.5"
_STATES = """
SELECT evidence.sop_instance_uid AS uid, delivery_proof.state, delivery_proof.reason, delivery_proof.note
FROM delivery_proof JOIN delivery ON delivery.id = delivery_id JOIN evidence ON evidence.id = evidence_id
"""


@pytest.fixture
def desk(database_url: str, tmp_path: Path) -> Iterator[ResultDesk]:
    """Results in the database of the listener."""
    desk = ResultDesk(database_url, tmp_path / "data", JobSettings())
    yield desk
    desk.close()


@pytest.fixture
def segmentation() -> EvidenceObject:
    """A segmentation of the study."""
    return evidence_object(EvidenceRole.SEGMENTATION, study_instance_uid=STUDY)


@pytest.fixture
def report() -> EvidenceObject:
    """A report of the study."""
    return evidence_object(EvidenceRole.REPORT, study_instance_uid=STUDY)


def place(port: int, ae_title: str) -> DestinationSettings:
    """A destination that is asked for storage commitment, at once."""
    keys = {"name": "pacs", "ae_title": ae_title, "host": "127.0.0.1", "port": port}
    return DestinationSettings(**keys, proof="commitment", proof_after_seconds=0)


def delivered(desk: ResultDesk, where: DestinationSettings, *evidence: EvidenceObject) -> None:
    """Let evidence of one study be owed, and send it."""
    if evidence:
        desk.owe(*evidence)
    worker = DeliveryWorker(desk.queue, desk.log, {"pacs": where}, StoreScu("OVERREAD"), desk.jobs, "test")
    assert worker.deliver_one()


def ask(desk: ResultDesk, where: DestinationSettings, linger_seconds: float = 0) -> dict[str, str]:
    """Put one question now; the state of each proof right afterwards."""
    policy = where.proof_policy()
    assert policy is not None
    desk.execute("UPDATE delivery_proof SET due_at = now()")
    inquiry = CommitmentInquiry("OVERREAD", partial(take_report, desk.database), linger_seconds=linger_seconds)
    assert Prover(PostgresProofs(desk.database), where, policy, inquiry).ask_once()
    return states(desk)


def states(desk: ResultDesk) -> dict[str, str]:
    """The state of each proof by SOP Instance UID."""
    return {row["uid"]: row["state"] for row in desk.execute(_STATES)}


class OurDoor:
    """An acceptor that keeps reports, and what reads them."""

    def __init__(self, desk: ResultDesk, peers: list[dict[str, Any]]) -> None:
        settings = ListenerSettings.model_validate({"port": 0, "peers": peers})
        folder = desk.store._folder
        self._spool = FileSpool(folder, SpoolSettings(min_free_bytes=0))
        self.reports = ReportFolder(folder)
        self._acceptor = Acceptor(
            settings,
            AssociationPolicy(settings),
            StoreHandler(self._spool),
            commitments=CommitmentFolder(folder),
            reports=self.reports,
        )
        self._acceptor.start()
        self.port = self._acceptor.port
        self.taking = ReportTaking(self.reports, partial(take_report, desk.database), settings)

    def close(self) -> None:
        """Stop listening."""
        self._acceptor.stop()
        self._spool.close()


@pytest.fixture
def our_door(desk: ResultDesk) -> Iterator[Callable[..., OurDoor]]:
    """Opens our door to these peers; to this machine where there are none."""
    with contextlib.ExitStack() as stack:

        def start(*peers: dict[str, Any]) -> OurDoor:
            door = OurDoor(desk, list(peers))
            stack.callback(door.close)
            return door

        yield start


def test_orthanc_reports_what_it_has_and_what_it_lost(
    desk: ResultDesk,
    listener_process: Callable[..., Any],
    start_orthanc: Callable[..., Orthanc],
    database_url: str,
    segmentation: EvidenceObject,
    report: EvidenceObject,
) -> None:
    """One instance was deleted there before we ask: 0x0112 comes, it is sent again, and then committed to."""
    port = free_port()
    orthanc = start_orthanc(modalities={"overread": ("OVERREAD", "127.0.0.1", port)})
    listener_process(database_url, port=port)
    where = place(orthanc.dicom_port, orthanc.ae_title)
    delivered(desk, where, segmentation, report)
    [lost] = orthanc.json("POST", "/tools/lookup", segmentation.sop_instance_uid.encode())
    orthanc.request("DELETE", f"/instances/{lost['ID']}")

    assert set(ask(desk, where).values()) == {"asked"}

    orthanc.wait_until(lambda: "asked" not in states(desk).values(), "no report came")
    assert states(desk) == {segmentation.sop_instance_uid: "lost", report.sop_instance_uid: "proven"}
    assert {row["reason"] for row in desk.execute(_STATES)} == {0x0112, None}
    delivered(desk, where)
    ask(desk, where)
    orthanc.wait_until(lambda: set(states(desk).values()) == {"proven"}, "no second report came")
    assert len(orthanc.instances_of(STUDY)) == 2


def test_a_report_on_the_association_of_the_request_counts(
    desk: ResultDesk, commitment_pacs: CommitmentPacs, segmentation: EvidenceObject, report: EvidenceObject
) -> None:
    """It is answered with success, and the objects are proven without our door."""
    where = place(commitment_pacs.port, "PACS")
    delivered(desk, where, segmentation, report)
    commitment_pacs.report = report_on

    assert set(ask(desk, where, linger_seconds=30).values()) == {"proven"}

    [action] = commitment_pacs.requests
    asked = {str(item.ReferencedSOPInstanceUID) for item in action.ReferencedSOPSequence}
    assert asked == {segmentation.sop_instance_uid, report.sop_instance_uid}
    assert commitment_pacs.answered.wait(30)
    assert commitment_pacs.answers == [0x0000]


def test_a_report_on_what_it_was_not_asked_proves_nothing(
    desk: ResultDesk, commitment_pacs: CommitmentPacs, report: EvidenceObject
) -> None:
    """On the association of our request too, a report counts for a transaction of ours alone."""
    where = place(commitment_pacs.port, "PACS")
    delivered(desk, where, report)
    commitment_pacs.report = partial(report_on, transaction_uid="2.25.17")

    assert set(ask(desk, where, linger_seconds=30).values()) == {"asked"}

    assert len(desk.execute("SELECT id FROM audit_event WHERE action = 'commitment-report-refused'")) == 1


def test_a_report_that_never_comes_is_asked_for_again(
    desk: ResultDesk, commitment_pacs: CommitmentPacs, report: EvidenceObject
) -> None:
    """Each question is a transaction of its own."""
    where = place(commitment_pacs.port, "PACS")
    delivered(desk, where, report)

    assert set(ask(desk, where).values()) == {"asked"}
    assert set(ask(desk, where).values()) == {"asked"}

    first, second = commitment_pacs.requests
    assert first.TransactionUID != second.TransactionUID


def test_a_request_that_is_refused_is_put_again_later(
    desk: ResultDesk, commitment_pacs: CommitmentPacs, report: EvidenceObject
) -> None:
    """The status is in the note, and nothing is awaited."""
    where = place(commitment_pacs.port, "PACS")
    delivered(desk, where, report)
    commitment_pacs.status = 0x0213

    assert set(ask(desk, where).values()) == {"owed"}
    assert "0x0213" in desk.execute(_STATES)[0]["note"]


@pytest.mark.parametrize("role", [True, False])
def test_a_report_to_our_door_is_kept_until_the_database_is_asked(
    desk: ResultDesk,
    our_door: Callable[..., OurDoor],
    commitment_pacs: CommitmentPacs,
    report: EvidenceObject,
    role: bool,
) -> None:
    """With role selection or, as some do, without: it is answered once it is a file, and taken from there, once."""
    door = our_door()
    where = place(commitment_pacs.port, "PACS")
    delivered(desk, where, report)
    ask(desk, where)
    told = report_on(commitment_pacs.requests[0])

    assert commitment_pacs.report_to(door.port, told, role=role) == 0x0000
    assert commitment_pacs.report_to(door.port, told, role=role) == 0x0000

    assert states(desk) == {report.sop_instance_uid: "asked"}
    assert len(list(door.reports.waiting())) == 2
    door.taking.take_all()
    assert states(desk) == {report.sop_instance_uid: "proven"}
    assert list(door.reports.waiting()) == []


def test_a_stranger_proves_nothing(
    desk: ResultDesk, our_door: Callable[..., OurDoor], commitment_pacs: CommitmentPacs, report: EvidenceObject
) -> None:
    """Not on the list: turned away. Another title, though it knows the transaction: not believed. Unknown: neither."""
    door = our_door({"ae_title": "CT1", "networks": ["127.0.0.0/8"]}, {"ae_title": "PACS", "networks": ["127.0.0.0/8"]})
    where = place(commitment_pacs.port, "PACS")
    delivered(desk, where, report)
    ask(desk, where)
    told = report_on(commitment_pacs.requests[0])

    assert commitment_pacs.report_to(door.port, told, title="STRANGER") is None
    assert commitment_pacs.report_to(door.port, told, title="CT1") == 0x0000
    assert commitment_pacs.report_to(door.port, report_on(told, "2.25.17")) == 0x0000
    door.taking.take_all()

    assert states(desk) == {report.sop_instance_uid: "asked"}
    refused = desk.execute("SELECT details FROM audit_event WHERE action = 'commitment-report-refused' ORDER BY id")
    assert [(row["details"]["why"], row["details"]["calling_ae_title"]) for row in refused] == [
        ("not-the-destination", "CT1"),
        ("unknown-transaction", "PACS"),
    ]


@pytest.mark.parametrize(("listed", "state"), [("*", "asked"), ("PACS", "proven")])
def test_an_entry_for_anybody_vouches_for_nobody(
    desk: ResultDesk,
    our_door: Callable[..., OurDoor],
    commitment_pacs: CommitmentPacs,
    report: EvidenceObject,
    listed: str,
    state: str,
) -> None:
    """From another address than the destination's, a report counts only where an entry names its title."""
    door = our_door({"ae_title": listed, "networks": ["127.0.0.0/8"]})
    where = place(commitment_pacs.port, "PACS")
    delivered(desk, where, report)
    ask(desk, where)

    assert commitment_pacs.report_to(door.port, report_on(commitment_pacs.requests[0]), source="127.0.0.2") == 0x0000
    door.taking.take_all()

    assert states(desk) == {report.sop_instance_uid: state}


def test_a_report_that_cannot_be_read_says_so(
    our_door: Callable[..., OurDoor], commitment_pacs: CommitmentPacs
) -> None:
    """A UID that is none, and more reports than one title may leave: each has its status, and no file too many."""
    door = our_door()
    reference = Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = "1.2.3", "1.2.3.4"
    action = Dataset()
    action.TransactionUID, action.ReferencedSOPSequence = "2.25.17", [reference]
    broken = report_on(action)
    del broken.TransactionUID

    assert commitment_pacs.report_to(door.port, broken) == 0x0115
    assert [commitment_pacs.report_to(door.port, report_on(action)) for _ in range(65)] == [0x0000] * 64 + [0x0213]
    assert len(list(door.reports.waiting())) == 64


def two_sequences() -> Dataset:
    """A report of one success and one failure."""
    told = Dataset()
    told.TransactionUID = "2.25.17"
    good, bad = Dataset(), Dataset()
    good.ReferencedSOPClassUID, good.ReferencedSOPInstanceUID = "1.2.3", "1.2.3.4"
    bad.ReferencedSOPClassUID, bad.ReferencedSOPInstanceUID, bad.FailureReason = "1.2.3", "1.2.3.5", 0x0112
    told.ReferencedSOPSequence, told.FailedSOPSequence = [good], [bad]
    return told


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
@pytest.mark.parametrize("absent", ["", "ReferencedSOPSequence", "FailedSOPSequence"])
def test_a_report_is_read_with_either_sequence_or_both(syntax: str, absent: str) -> None:
    """A sequence without references may be left out, as Orthanc does."""
    told = two_sequences()
    if absent:
        delattr(told, absent)

    uid, committed, failures = read_report(encode(told, syntax.endswith(".2"), True) or b"", syntax)

    assert uid == "2.25.17"
    assert committed == (set() if absent == "ReferencedSOPSequence" else {"1.2.3.4"})
    assert failures == ({} if absent == "FailedSOPSequence" else {"1.2.3.5": 0x0112})


def test_a_report_that_is_cut_is_refused_or_says_less() -> None:
    """No length is believed beyond the bytes that are there, and nothing is proven that was not said whole."""
    whole = encode(two_sequences(), False, True) or b""
    for end in range(len(whole)):
        try:
            _, committed, _ = read_report(whole[:end], "1.2.840.10008.1.2.1")
        except UnreadableDataSet:
            continue
        assert committed == set()
