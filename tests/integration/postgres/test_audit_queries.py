"""Each question of docs/reference/audit-queries.md, asked as it stands there, of rows whose answer is known."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from storage.domain.association import AssociationEnd
from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.coded_concept import CodedConcept
from storage.domain.delivery import SendOutcome, Verdict
from storage.domain.finding import Classification, Finding, Measurement
from storage.domain.job import JobKind, Reason
from storage.postgres.audit_trail import PostgresAuditTrail

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "audit-queries.md"


def _queries() -> dict[str, str]:
    """The page's queries by the number or the word their heading begins with."""
    parts = re.split(r"^## ", _PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        re.split(r"[.\s:]", part)[0]: query
        for part in parts
        for query in re.findall(r"```sql\n(.*?)```", part, re.DOTALL)
    }


@pytest.fixture
def hospital_week(hospital: Any) -> Any:
    """What happened in a small hospital: two studies, two versions, a refused delivery, people who looked."""
    hospital.install("lungs", "1")
    hospital.analysed("1.2.3")
    _deliver(hospital, Verdict.REFUSED)
    hospital.install("lungs", "2")
    _analysed_with_findings(hospital, "1.2.4")
    _deliver(hospital, Verdict.DELIVERED)
    _association(hospital, AssociationEnd.REJECTED, "CT9", "unknown calling AE title")
    _look_and_log_in(hospital)
    return hospital


def _analysed_with_findings(hospital: Any, study: str) -> None:
    association = hospital.association(calling_ae_title="MR7")
    arrivals = [hospital.arrival(study, association, patient_id="P2") for _ in range(3)]
    hospital.receive(*arrivals)
    hospital.settle()
    nodule = CodedConcept("27925004", "SCT", "Nodule")
    volume = Measurement(
        CodedConcept("118565006", "SCT", "Volume"), 1.5, CodedConcept("ml", "UCUM", "milliliter"), derivation=None
    )
    lung = CodedConcept("39607008", "SCT", "Lung")
    said = Classification("nodule", 0.75, 0.5, "Chosen for a test.", True, f"{study}.1.1", 3, 3)
    findings = (
        Finding(nodule, lung, "nodule 1", "2.25.1", (volume,)),
        Finding(nodule, None, "class 1", "2.25.2", (), said),
    )
    job = hospital.claimed()
    hospital.queue.complete_analysed(job, replace(hospital.result(arrivals), findings=findings), ["pacs"])


def _deliver(hospital: Any, verdict: Verdict) -> None:
    job = hospital.claimed(JobKind.DELIVERY)
    status = 0 if verdict is Verdict.DELIVERED else 0xA900
    owed = hospital.deliveries.undelivered(job)
    outcomes = [SendOutcome(thing.sop_instance_uid, verdict, status, "as the PACS said") for thing in owed]
    if verdict is Verdict.DELIVERED:
        hospital.queue.complete_delivery(job, outcomes)
    else:
        hospital.queue.fail(job, Reason("refused", "The PACS refused the objects."), outcomes)


def _association(hospital: Any, end: AssociationEnd, ae_title: str, reason: str) -> None:
    association = hospital.association(calling_ae_title=ae_title, end=end, reason=reason)
    ended = replace(association, ended_at=association.started_at + timedelta(seconds=1))
    hospital.arrivals.record([], [], [ended])


def _look_and_log_in(hospital: Any) -> None:
    trail = PostgresAuditTrail(hospital.database)
    here: dict[str, str | int | float | None] = {"address": "10.0.0.7"}
    trail.record(AuditEvent(AuditAction.LOGIN_FAILED, "alice", AuditOutcome.MINOR_FAILURE, details=here))
    trail.record(AuditEvent(AuditAction.LOGIN_SUCCEEDED, "alice", details=here))
    trail.record(AuditEvent(AuditAction.STUDY_VIEWED, "alice", study_instance_uid="1.2.3", details=here))
    trail.record(AuditEvent(AuditAction.INSTANCES_RETRIEVED, "bob", study_instance_uid="1.2.4", details=here))


def _ask(hospital: Any, question: str, **variables: str) -> list[dict[str, Any]]:
    """Ask as psql would, after \\set of the variables; the rows by the names of their columns."""
    query = re.sub(r":'(\w+)'", r"%(\1)s", _queries()[question].replace("%", "%%"))
    assert set(re.findall(r"%\((\w+)\)s", query)) == set(variables)
    return hospital.named_rows(query, variables)


def _pairs(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]


def test_the_page_asks_ten_questions() -> None:
    """Each has a number, a query and a test below."""
    assert set(_queries()) == {*map(str, range(1, 11)), "For"}


def test_which_model_bytes_made_this_result(hospital_week: Any) -> None:
    """From the UID of an object in the PACS to the version and the digest that made it."""
    ((uid,),) = hospital_week.rows(
        "SELECT evidence.sop_instance_uid FROM evidence JOIN result_origin USING (result_id) "
        "WHERE study_instance_uid = '1.2.4' AND role = 'report'"
    )

    (row,) = _ask(hospital_week, "1", sop_instance_uid=uid)

    assert (row["algorithm_name"], row["algorithm_version"], row["artifact_sha256"]) == ("lungs", "2", "b" * 64)
    assert (row["artifact_as_added"], row["inputs"]) == (True, 3)


def test_who_looked_at_this_patients_studies(hospital_week: Any) -> None:
    """Only the looks at studies of this patient."""
    assert _pairs(_ask(hospital_week, "2", patient_id="P2"), "actor", "action", "study_instance_uid") == [
        ("bob", "instances-retrieved", "1.2.4")
    ]


def test_what_was_refused_last_week_and_why(hospital_week: Any) -> None:
    """The refused delivery, the rejected association and the failed login, each with its reason."""
    rows = _ask(hospital_week, "3")

    assert _pairs(rows, "action", "code") == [
        ("delivery-refused", "43264"),
        ("delivery-refused", "43264"),
        ("job-failed", "refused"),
        ("association-rejected", "unknown calling AE title"),
        ("login-failed", None),
    ]
    assert rows[2]["why"] == "The PACS refused the objects."
    hospital_week.rows("ALTER TABLE audit_event DISABLE TRIGGER USER")
    hospital_week.rows("UPDATE audit_event SET recorded_at = now() - interval '8 days'")
    assert _ask(hospital_week, "3") == []


def test_which_results_did_a_version_make(hospital_week: Any) -> None:
    """Each version answers for its own."""
    asked = [_ask(hospital_week, "4", name="lungs", version=version) for version in ("1", "2", "3")]

    assert [_pairs(rows, "study_instance_uid", "revision", "superseded_by") for rows in asked] == [
        [("1.2.3", 1, None)],
        [("1.2.4", 1, None)],
        [],
    ]


def test_a_later_result_of_the_same_algorithm_supersedes(hospital_week: Any) -> None:
    """After a late image the first result names the one that replaced it, and is no longer among the newest."""
    late = hospital_week.arrival("1.2.3")
    hospital_week.receive(late)
    hospital_week.settle()
    hospital_week.queue.complete_analysed(hospital_week.claimed(), hospital_week.result([late], "again"), [])

    (first,) = _ask(hospital_week, "4", name="lungs", version="1")
    findings = _ask(hospital_week, "For", name="lungs")

    assert first["superseded_by"] is not None
    assert ("1.2.3", "1") not in _pairs(findings, "study_instance_uid", "algorithm_version")
    assert ("1.2.3", "2") in _pairs(findings, "study_instance_uid", "algorithm_version")


def test_what_was_received_from_an_application_entity(hospital_week: Any) -> None:
    """The studies it brought with their counts; a rejected one shows with none."""
    asked = {ae: _ask(hospital_week, "5", ae_title=ae) for ae in ("MR7", "CT9", "XX")}

    assert _pairs(asked["MR7"], "study_instance_uid", "instances", "excluded") == [("1.2.4", 3, 0)]
    assert _pairs(asked["CT9"], "study_instance_uid", "instances", "ending") == [(None, 0, "rejected")]
    assert asked["XX"] == []


def test_which_deliveries_failed(hospital_week: Any) -> None:
    """The objects of the refused result with the PACS's status; those that arrived are not among them."""
    rows = _ask(hospital_week, "6")

    assert {row["study_instance_uid"] for row in rows} == {"1.2.3"}
    assert sorted(_pairs(rows, "role", "state", "status")) == [
        ("report", "refused", "0xA900"),
        ("segmentation", "refused", "0xA900"),
    ]


def test_no_acknowledged_instance_is_unaccounted_for(hospital_week: Any) -> None:
    """None is; where a job is lost by force, its instances are named."""
    before = _ask(hospital_week, "7")
    hospital_week.rows("SET session_replication_role = replica; DELETE FROM job WHERE study_id = 1")

    assert before == []
    assert {row["study_instance_uid"] for row in _ask(hospital_week, "7")} == {"1.2.3"}


def test_who_changed_which_algorithm(hospital_week: Any) -> None:
    """Every addition, promotion and retirement in order, with the account and the digest."""
    rows = _ask(hospital_week, "8", name="lungs")

    assert _pairs(rows, "action", "algorithm_version", "previous_version") == [
        ("algorithm-added", "1", None),
        ("algorithm-promoted", "1", None),
        ("algorithm-added", "2", None),
        ("algorithm-retired", "1", None),
        ("algorithm-promoted", "2", "1"),
    ]
    assert {(row["actor"], row["artifact_sha256"]) for row in rows} == {("tester", "b" * 64)}


def test_who_logged_in_and_failed(hospital_week: Any) -> None:
    """Counted by account and address."""
    assert _pairs(_ask(hospital_week, "9"), "account", "address", "logins", "failures") == [("alice", "10.0.0.7", 1, 1)]


def test_what_happened_to_a_study_in_order(hospital_week: Any) -> None:
    """From its arrival to the look at it, each with the sender, algorithm or destination it is about."""
    rows = _ask(hospital_week, "10", study_instance_uid="1.2.4")

    assert _pairs(rows, "action", "who_or_what") == [
        ("instance-stored", "MR7"),
        ("study-stable", None),
        ("job-scheduled", "lungs 2"),
        ("job-claimed", "lungs 2"),
        ("result-stored", "lungs 2"),
        ("job-scheduled", "pacs"),
        ("job-completed", "lungs 2"),
        ("job-claimed", "pacs"),
        ("delivery-acknowledged", "pacs"),
        ("delivery-acknowledged", "pacs"),
        ("job-completed", "pacs"),
        ("instances-retrieved", None),
    ]


def test_findings_are_a_table_without_patients(hospital_week: Any) -> None:
    """Measurements and classes in columns, a result without a finding as one empty row, and no patient anywhere."""
    rows = _ask(hospital_week, "For", name="lungs")

    assert _pairs(
        rows, "study_instance_uid", "algorithm_version", "finding", "site", "class", "probability", "value"
    ) == [
        ("1.2.3", "1", None, None, None, None, None),
        ("1.2.4", "2", "Nodule", "Lung", None, None, 1.5),
        ("1.2.4", "2", "Nodule", None, "nodule", 0.75, None),
    ]
    columns = hospital_week.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'finding_overview'::regclass AND attnum > 0"
    )
    assert not {name for (name,) in columns} & {"patient_id", "issuer_of_patient_id", "accession_number", "study_date"}
    assert "P2" not in str(hospital_week.rows("TABLE finding_overview"))


def test_every_view_is_on_the_page(hospital: Any) -> None:
    """Whoever looks at the list of views finds what each is for."""
    described = _PAGE.read_text(encoding="utf-8")
    views = hospital.rows("SELECT viewname FROM pg_views WHERE schemaname = 'public' AND viewname <> 'study_object'")

    assert [name for (name,) in views if f"`{name}`" not in described] == []
