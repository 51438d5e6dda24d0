"""Results as FHIR resources: the same report however often it is sent."""

import json
from urllib.parse import parse_qs

from fhir.resources.R4B.diagnosticreport import DiagnosticReport

from listener.notify.fhir import FhirSender
from listener.notify.lane import NotifyLane
from listener.notify.settings import NotifySettings
from storage.domain.result import EvidenceRole
from storage.postgres.notification_rows import PostgresNotifications
from tests.peers.evidence_files import evidence_object
from tests.peers.result_desk import ResultDesk
from tests.peers.stow_archive import StowArchive, reply


def test_a_report_is_created_once_however_often_it_is_sent(desk: ResultDesk, stow_archive: StowArchive) -> None:
    """Each try asks for a create unless the report is there, by its UID; where that is not had, for one fixed id."""
    rows, report = PostgresNotifications(desk.database), evidence_object(EvidenceRole.REPORT)
    whole = json.dumps({"resourceType": "DiagnosticReport", "conclusion": "x" * (1 << 17)}).encode()
    stow_archive.answers = [reply(500), reply(201, whole), reply(500), reply(200)]
    for name, write in (("creating", "create"), ("updating", "update")):
        rows.begin([name])
        desk.owe(report, destinations=())
        place = NotifySettings(
            name=name, kind="fhir", url=f"http://127.0.0.1:{stow_archive.port}/fhir/", fhir_write=write
        )
        lane = NotifyLane(rows, place, FhirSender(place))
        assert lane.tell_once()
        desk.execute("UPDATE notification SET due_at = now()")
        desk.execute("UPDATE notification_receiver SET hold_until = now()")
        assert lane.tell_once()

    first, again, put, put_again = stow_archive.requests
    assert first.line == again.line == "POST /fhir/DiagnosticReport HTTP/1.1"
    assert first.body == again.body
    assert first.header["prefer"] == "return=minimal"  # and who repeats it all the same is understood
    assert parse_qs(first.header["if-none-exist"]) == {
        "identifier": [f"urn:dicom:uid|urn:oid:{report.sop_instance_uid}"]
    }
    told = DiagnosticReport.model_validate_json(put.body)
    assert put.line == put_again.line == f"PUT /fhir/DiagnosticReport/{told.id} HTTP/1.1"
    assert put.body == put_again.body
    assert "id" not in json.loads(first.body)
    assert [row["state"] for row in desk.execute("SELECT state FROM notification")] == ["delivered", "delivered"]
