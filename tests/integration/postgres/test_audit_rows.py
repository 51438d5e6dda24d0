"""Every change and its audit row are one transaction: where the row cannot be written, nothing is changed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from storage.domain.association import AssociationEnd
from storage.domain.delivery import SendOutcome, Verdict
from storage.domain.job import JobKind, Reason, Refusal
from storage.errors import StorageError
from storage.housekeeping.rescue_leases import rescue_leases

WHY = Reason("trouble", "Something went wrong.")
REFUSED = Refusal("1.2.3.1", WHY)
_TABLES = (
    "association",
    "study",
    "study_revision",
    "series",
    "instance",
    "quarantined_object",
    "algorithm",
    "job",
    "result",
    "result_input",
    "evidence",
    "delivery",
)


def _rejected(hospital: Any) -> Any:
    association = hospital.association()
    return replace(association, ended_at=association.started_at, end=AssociationEnd.REJECTED)


def _prepare_claimed_delivery(hospital: Any) -> Callable[[], object]:
    evidence = hospital.analysed().evidence
    job = hospital.claimed(JobKind.DELIVERY)
    outcomes = [SendOutcome(thing.sop_instance_uid, Verdict.DELIVERED, 0, "") for thing in evidence]
    return lambda: hospital.queue.complete_delivery(job, outcomes)


def _prepare_result(hospital: Any) -> Callable[[], object]:
    arrivals = hospital.stable_study()
    job = hospital.claimed()
    return lambda: hospital.queue.complete_analysed(job, hospital.result(arrivals), ["pacs"])


def _prepare_claimed(hospital: Any, then: Callable[[Any], object]) -> Callable[[], object]:
    hospital.stable_study()
    job = hospital.claimed()
    return lambda: then(job)


def _prepare_rescue(hospital: Any) -> Callable[[], object]:
    hospital.stable_study()
    hospital.claimed()
    hospital.expire_leases()
    return lambda: rescue_leases(hospital.database, hospital.settings)


def _prepare_settlement(hospital: Any) -> Callable[[], object]:
    hospital.receive(hospital.arrival())
    return hospital.settle


def _prepare_claim(hospital: Any) -> Callable[[], object]:
    hospital.stable_study()
    return hospital.claimed


def _prepare_notice(hospital: Any) -> Callable[[], object]:
    arrivals = hospital.stable_study()
    hospital.queue.fail(hospital.claimed(), WHY)
    notice = hospital.claimed(JobKind.NOTICE)
    return lambda: hospital.queue.complete_notice(notice, hospital.result(arrivals), ["pacs"])


def _prepare_resubmission(hospital: Any) -> Callable[[], object]:
    hospital.stable_study()
    job = hospital.claimed()
    hospital.queue.fail(job, WHY)
    return lambda: hospital.queue.resubmit(job.job_id, "alice")


def _prepare_mix(hospital: Any) -> Callable[[], object]:
    hospital.receive(hospital.arrival())
    return lambda: hospital.receive(hospital.arrival(patient_id="P2"))


_CHANGES: dict[str, Callable[[Any], Callable[[], object]]] = {
    "an association ends": lambda h: lambda: h.arrivals.record([], [], [_rejected(h)]),
    "an instance arrives": lambda h: lambda: h.receive(h.arrival()),
    "an object is set aside": lambda h: lambda: h.arrivals.record([], [h.quarantined()], []),
    "a second patient parks a study": _prepare_mix,
    "a study becomes stable": _prepare_settlement,
    "a job is claimed": _prepare_claim,
    "a job is retried": lambda h: _prepare_claimed(h, lambda job: h.queue.retry(job, WHY, timedelta(0))),
    "a job fails": lambda h: _prepare_claimed(h, lambda job: h.queue.fail(job, WHY)),
    "a job is not analysed": lambda h: _prepare_claimed(h, lambda job: h.queue.complete_not_analysed(job, WHY, [])),
    "a notice is owed": lambda h: _prepare_claimed(h, lambda job: h.queue.complete_not_analysed(job, WHY, [REFUSED])),
    "a notice is told": _prepare_notice,
    "a job is canceled": lambda h: _prepare_claimed(h, lambda job: h.queue.cancel(job.job_id, "alice")),
    "a result is stored": _prepare_result,
    "a delivery is acknowledged": _prepare_claimed_delivery,
    "a lease is rescued": _prepare_rescue,
    "a job is resubmitted": _prepare_resubmission,
    "an algorithm is replaced": lambda h: lambda: h.install("lungs", "2"),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_a_change_without_its_audit_row_does_not_happen(hospital: Any, change: str) -> None:
    """With the audit table out of reach the change is refused whole; with it, the change and its row are there."""
    hospital.install()
    make_change = _CHANGES[change](hospital)
    before = [hospital.rows(f"TABLE {table} ORDER BY 1, 2") for table in _TABLES]
    written = hospital.rows("SELECT count(*) FROM audit_event")
    hospital.rows("ALTER TABLE audit_event RENAME TO out_of_reach")

    with pytest.raises(StorageError):
        make_change()

    assert [hospital.rows(f"TABLE {table} ORDER BY 1, 2") for table in _TABLES] == before
    hospital.rows("ALTER TABLE out_of_reach RENAME TO audit_event")
    make_change()
    assert [hospital.rows(f"TABLE {table} ORDER BY 1, 2") for table in _TABLES] != before
    assert hospital.rows("SELECT count(*) FROM audit_event") > written
