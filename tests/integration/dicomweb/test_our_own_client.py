"""What we send and ask over the web as a user agent, at our own door as the other side."""

from collections.abc import Callable
from pathlib import Path

from listener.scu.instance_query import Found
from listener.scu.settings import DestinationSettings
from listener.scu.web.access import Caller, access_to
from listener.scu.web.line import WebLine
from listener.scu.web.qido import count_of, look_up
from listener.scu.web.stow import StowSender
from storage.domain.delivery import Verdict
from storage.domain.proof import ProofObject
from storage.domain.result import EvidenceRole
from tests.integration.dicomweb.conftest import WebDoor
from tests.peers.evidence_files import COMPREHENSIVE_3D_SR, evidence_object, frozen

STUDY = "1.2.826.0.1.3680043.8.498.10"


def test_another_overread_takes_finds_and_counts_what_we_send(
    open_web_door: Callable[..., WebDoor], tmp_path: Path
) -> None:
    """Stored once however often it is sent, found in its series under its class, and the study has so many."""
    door = open_web_door()
    (tmp_path / "password").write_text("secret\n")
    where = DestinationSettings(
        name="other", kind="stow", url=door.url, username="operator", password_file=str(tmp_path / "password")
    )
    roles = (EvidenceRole.SEGMENTATION, EvidenceRole.REPORT)
    segmentation, report = (frozen(tmp_path, evidence_object(role, study_instance_uid=STUDY)) for role in roles)

    sent = [StowSender().send(where, [segmentation, report]) for _ in range(2)]
    door.importer.import_pending()

    assert {(one.verdict, one.status) for outcomes in sent for one in outcomes} == {(Verdict.DELIVERED, 0x0000)}
    sought = ProofObject(1, STUDY, report.series_instance_uid, COMPREHENSIVE_3D_SR, report.sop_instance_uid)
    elsewhere = ProofObject(1, STUDY, segmentation.series_instance_uid, COMPREHENSIVE_3D_SR, report.sop_instance_uid)
    other_class = ProofObject(1, STUDY, report.series_instance_uid, "1.2.3", report.sop_instance_uid)
    with WebLine(lambda: False, where) as line:
        caller = Caller(line, access_to(where))
        found = [look_up(caller, where.url, STUDY, one) for one in (sought, elsewhere, other_class)]
        unknown = look_up(caller, where.url, "1.2.3.4", sought)
        counted = [count_of(caller, where.url, study) for study in (STUDY, "1.2.3.4")]
    assert found == [Found.FOUND, Found.NOT_FOUND, Found.OTHER_CLASS]
    assert unknown is Found.NOT_FOUND
    assert counted == [2, 0]
