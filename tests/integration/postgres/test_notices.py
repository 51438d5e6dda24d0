"""Notices: what is told of an inference without a result, once, whoever ended it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from storage.domain.job import ClaimedJob, JobKind, Reason, Refusal
from storage.domain.not_analysed import TellNotAnalysed
from storage.domain.result import NewResult
from storage.errors import LeaseLost, UnknownRecord
from storage.housekeeping.rescue_leases import rescue_leases

WHY = Reason("too-few-slices", "The series has 2 slices.")
OTHER = Refusal("1.2.3.1", Reason("modality-not-accepted", "The series is CT; lungs takes MR."))
DERIVED = Refusal("1.2.3.2", Reason("derived-result", "The series holds derived objects."))
REFUSED = Refusal("1.2.3.3", WHY)


def _notices(hospital: Any) -> list[tuple[Any, ...]]:
    return hospital.rows("SELECT about_id, state, reason_code FROM job WHERE kind = 'notice' ORDER BY id")


def _report(hospital: Any, arrivals: Any, uid: str = "1.2.3.8.1") -> NewResult:
    """A report of no result, as a worker hands it over; storage does not look into it."""
    result = hospital.result(arrivals)
    return replace(result, execution_provider="", evidence=(replace(result.evidence[0], sop_instance_uid=uid),))


def _told(hospital: Any, arrivals: Any, uid: str = "1.2.3.8.1") -> int | None:
    return hospital.queue.complete_notice(
        hospital.claimed(JobKind.NOTICE), _report(hospital, arrivals, uid), ["pacs", "archive"]
    )


def _rescued_until_failed(hospital: Any, job: ClaimedJob) -> None:
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    for _ in range(3):
        hospital.expire_leases()
        rescue_leases(hospital.database, hospital.settings)
        hospital.rows("UPDATE job SET due_at = now()")
        hospital.queue.claim(JobKind.INFERENCE, "worker two")
    hospital.rows("ALTER TABLE job ENABLE TRIGGER job_follows_lifecycle")
    assert hospital.rows("SELECT state FROM job WHERE id = %s", job.job_id) == [("failed",)]


_ENDINGS: dict[str, Callable[[Any, ClaimedJob], object]] = {
    "refused": lambda h, job: h.queue.complete_not_analysed(job, WHY, [OTHER, REFUSED]),
    "failed": lambda h, job: h.queue.fail(job, WHY),
    "attempts spent": lambda h, job: h.queue.retry(replace(job, attempt=3), WHY, timedelta(0)),
    "rescued": _rescued_until_failed,
}


@pytest.mark.parametrize("ending", _ENDINGS)
def test_every_end_without_a_result_owes_one_notice(open_hospital: Callable[..., Any], ending: str) -> None:
    """Whoever ends the inference, its worker or the housekeeper, owes the notice in the same transaction."""
    hospital = open_hospital(max_attempts=3 if ending == "rescued" else 1)
    hospital.install()
    hospital.stable_study()
    job = hospital.claimed()

    _ENDINGS[ending](hospital, job)

    assert _notices(hospital) == [(job.job_id, "scheduled", None)]
    notice = hospital.claimed(JobKind.NOTICE)
    assert (notice.study_instance_uid, notice.algorithm_name, notice.max_attempts) == (
        "1.2.3",
        "lungs",
        hospital.settings.max_attempts,
    )
    told = hospital.queue.ended_inference(notice)
    assert (told.job_id, told.started_at) == (job.job_id, job.started_at)
    assert told.reason.code in (WHY.code, "attempts-spent")


_POLICIES = [
    (TellNotAnalysed.SAME_MODALITY, [OTHER, DERIVED], False),
    (TellNotAnalysed.SAME_MODALITY, [], False),
    (TellNotAnalysed.SAME_MODALITY, [OTHER, REFUSED], True),
    (TellNotAnalysed.ALWAYS, [OTHER], True),
    (TellNotAnalysed.ALWAYS, [], True),
    (TellNotAnalysed.NEVER, [REFUSED], False),
]


@pytest.mark.parametrize(("policy", "refusals", "owed"), _POLICIES)
def test_the_setting_decides_which_refusals_are_told(
    open_hospital: Callable[..., Any], policy: TellNotAnalysed, refusals: list[Refusal], owed: bool
) -> None:
    """A study with nothing of the algorithm's modality is silent by default; the other values are all or nothing."""
    hospital = open_hospital(not_analysed=policy)
    hospital.install()
    hospital.stable_study()

    hospital.queue.complete_not_analysed(hospital.claimed(), WHY, refusals)

    assert len(_notices(hospital)) == int(owed)


@pytest.mark.parametrize("policy", TellNotAnalysed)
def test_a_failure_is_told_unless_nothing_is(open_hospital: Callable[..., Any], policy: TellNotAnalysed) -> None:
    """A study that should have been analysed is told about, whatever its modality."""
    hospital = open_hospital(not_analysed=policy)
    hospital.install()
    hospital.stable_study()

    hospital.queue.fail(hospital.claimed(), WHY, refusals=[OTHER])

    assert len(_notices(hospital)) == int(policy is not TellNotAnalysed.NEVER)


def test_what_an_operator_cancels_is_not_told(hospital: Any) -> None:
    """Whoever stops an analysis knows that it is stopped."""
    hospital.install()
    hospital.stable_study()

    hospital.queue.cancel(hospital.claimed().job_id, "alice")

    assert _notices(hospital) == []


def test_a_report_is_stored_and_owed_to_every_destination(hospital: Any) -> None:
    """The report is what became of the inference; its bytes are frozen before a delivery is owed."""
    hospital.install()
    arrivals = hospital.stable_study()
    job = hospital.claimed()
    hospital.queue.fail(job, WHY)

    result_id = _told(hospital, arrivals)

    assert hospital.rows("SELECT id, job_id, execution_provider FROM result") == [(result_id, job.job_id, "")]
    assert hospital.rows("SELECT destination, state FROM job WHERE kind = 'delivery' ORDER BY id") == [
        ("pacs", "scheduled"),
        ("archive", "scheduled"),
    ]
    assert _notices(hospital) == [(job.job_id, "completed", None)]
    (owed,) = hospital.deliveries.undelivered(hospital.claimed(JobKind.DELIVERY))
    assert owed.path.read_bytes() == b"report"
    assert hospital.rows("SELECT action, job_id FROM audit_event WHERE action = 'result-stored'") == [
        ("result-stored", job.job_id)
    ]


def test_a_worker_that_lost_a_notice_changes_nothing(hospital: Any) -> None:
    """After a rescue the old token stores no report and owes no delivery."""
    hospital.install()
    arrivals = hospital.stable_study()
    hospital.queue.fail(hospital.claimed(), WHY)
    notice = hospital.claimed(JobKind.NOTICE)
    hospital.expire_leases()
    rescue_leases(hospital.database, hospital.settings)
    before = hospital.rows("SELECT count(*) FROM audit_event")

    with pytest.raises(LeaseLost):
        hospital.queue.complete_notice(notice, _report(hospital, arrivals), ["pacs"])

    assert hospital.rows("SELECT (SELECT count(*) FROM result), (SELECT count(*) FROM delivery)") == [(0, 0)]
    assert hospital.rows("SELECT count(*) FROM audit_event") == before


def test_a_notice_that_kills_its_workers_is_given_up_and_told_by_nobody(hospital: Any) -> None:
    """A notice has the attempts of an inference, and its own failure owes no other notice."""
    hospital.install()
    hospital.stable_study()
    hospital.queue.fail(hospital.claimed(), WHY)
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    for _ in range(3):
        hospital.claimed(JobKind.NOTICE)
        hospital.expire_leases()
        rescue_leases(hospital.database, hospital.settings)
        hospital.rows("UPDATE job SET due_at = now()")

    [(_, state, code)] = _notices(hospital)
    assert (state, code) == ("failed", "attempts-spent")
    [(sentence,)] = hospital.rows("SELECT reason_sentence FROM job WHERE kind = 'notice'")
    assert sentence.startswith("The report that there is no result was started 3 times")
    assert hospital.overview.status()["studies"][0]["state"] == "failed"


def test_a_notice_that_was_given_up_can_be_done_again(hospital: Any) -> None:
    """Once its trouble is mended an operator resubmits it, and the report of the same inference is sent."""
    hospital.install()
    arrivals = hospital.stable_study()
    job = hospital.claimed()
    hospital.queue.complete_not_analysed(job, WHY, [REFUSED])
    notice = hospital.claimed(JobKind.NOTICE)
    hospital.queue.fail(notice, Reason("unreadable", "Nothing can be read."))
    assert hospital.overview.status()["studies"][0]["state"] == "failed"

    hospital.queue.resubmit(notice.job_id, "alice")

    assert _told(hospital, arrivals) is not None
    assert [row[:2] for row in _notices(hospital)] == [(job.job_id, "failed"), (job.job_id, "completed")]
    assert hospital.overview.status()["studies"][0]["state"] == "not-analysed"


def test_an_analysis_done_again_speaks_for_the_notice_of_the_first_one(hospital: Any) -> None:
    """A notice that was given up no longer makes the study failed once the inference was resubmitted and analysed."""
    hospital.install()
    arrivals = hospital.stable_study()
    job = hospital.claimed()
    hospital.queue.complete_not_analysed(job, WHY, [REFUSED])
    hospital.queue.fail(hospital.claimed(JobKind.NOTICE), Reason("unreadable", "Nothing can be read."))
    hospital.queue.resubmit(job.job_id, "alice")

    hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals), [])

    assert hospital.overview.status()["studies"][0]["state"] == "done"


def test_the_same_refusal_of_the_same_images_is_told_once(hospital: Any) -> None:
    """Done again with the same end, the report has the same UID: it is not sent a second time."""
    hospital.install()
    arrivals = hospital.stable_study()
    job = hospital.claimed()
    hospital.queue.complete_not_analysed(job, WHY, [REFUSED])
    _told(hospital, arrivals)
    hospital.queue.resubmit(job.job_id, "alice")
    hospital.queue.complete_not_analysed(hospital.claimed(), WHY, [REFUSED])

    assert _told(hospital, arrivals) is None

    assert [row[1:] for row in _notices(hospital)] == [("completed", None), ("completed", "already-told")]
    assert hospital.rows("SELECT count(*) FROM evidence") == [(1,)]
    assert hospital.rows("SELECT count(*) FROM delivery") == [(2,)]


def test_an_inference_that_is_done_again_is_not_told(hospital: Any) -> None:
    """Between the failure and its report an operator resubmitted it: the new job speaks."""
    hospital.install()
    arrivals = hospital.stable_study()
    job = hospital.claimed()
    hospital.queue.fail(job, WHY)
    hospital.queue.resubmit(job.job_id, "alice")

    assert _told(hospital, arrivals) is None

    assert _notices(hospital) == [(job.job_id, "completed", "done-again")]
    assert hospital.rows("SELECT count(*) FROM result") == [(0,)]


def test_a_study_that_was_analysed_since_is_not_told(hospital: Any) -> None:
    """The missing slice came before the report was made: the later revision's result speaks."""
    hospital.install()
    arrivals = hospital.stable_study()
    hospital.queue.fail(hospital.claimed(), WHY)
    late = hospital.arrival()
    hospital.receive(late)
    hospital.settle()
    hospital.queue.complete_analysed(hospital.claimed(), hospital.result([*arrivals, late]), ["pacs"])

    assert _told(hospital, arrivals) is None

    assert [row[1:] for row in _notices(hospital)] == [("completed", "analysed-since")]


def test_a_study_that_was_analysed_before_a_late_image_is_not_told(hospital: Any) -> None:
    """A result stands in the PACS: no report beside it says that no algorithm saw the images."""
    hospital.install()
    arrivals = hospital.stable_study()
    hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals), [])
    late = hospital.arrival()
    hospital.receive(late)
    hospital.settle()
    hospital.queue.fail(hospital.claimed(), WHY)

    assert _told(hospital, [*arrivals, late]) is None

    assert [row[1:] for row in _notices(hospital)] == [("completed", "analysed-before")]
    assert hospital.rows("SELECT count(*) FROM result") == [(1,)]
    assert hospital.overview.status()["studies"][0]["state"] == "failed"


def test_a_later_revision_that_is_analysed_adds_its_result(hospital: Any) -> None:
    """What was told stays, because the PACS has it; the result comes beside it."""
    hospital.install()
    arrivals = hospital.stable_study()
    hospital.queue.fail(hospital.claimed(), WHY)
    _told(hospital, arrivals)
    late = hospital.arrival()
    hospital.receive(late)
    hospital.settle()

    hospital.queue.complete_analysed(hospital.claimed(), hospital.result([*arrivals, late]), ["pacs"])

    assert hospital.rows("SELECT count(*) FROM result") == [(2,)]
    assert hospital.rows("SELECT count(*), min(revision) FROM result_origin") == [(1, 2)]


def test_no_view_takes_a_report_of_no_result_for_a_negative(hospital: Any) -> None:
    """Results and findings do not show it; the study is failed with the inference's reason, never done."""
    hospital.install()
    arrivals = hospital.stable_study()
    hospital.queue.fail(hospital.claimed(), WHY)
    _told(hospital, arrivals)

    assert hospital.rows("SELECT (SELECT count(*) FROM result_origin), (SELECT count(*) FROM finding_overview)") == [
        (0, 0)
    ]
    assert hospital.overview.no_silent_state() == []
    study = hospital.overview.status()["studies"][0]
    assert (study["state"], study["reason_code"], study["error"]) == ("failed", WHY.code, WHY.sentence)


@pytest.mark.parametrize("away", [False, True])
def test_a_report_on_its_way_leaves_the_study_not_analysed(hospital: Any, away: bool) -> None:
    """While the destination is away the study is not one whose results are on their way, and its reason stays."""
    hospital.install()
    arrivals = hospital.stable_study()
    hospital.queue.complete_not_analysed(hospital.claimed(), WHY, [REFUSED])
    _told(hospital, arrivals)
    if away:
        trouble = Reason("delivery-waiting", "Nobody answers.")
        hospital.queue.retry(hospital.claimed(JobKind.DELIVERY), trouble, timedelta(hours=1))

    study = hospital.overview.status()["studies"][0]

    assert (study["state"], study["reason_code"]) == ("not-analysed", WHY.code)


def test_a_report_that_no_destination_took_makes_the_study_failed(hospital: Any) -> None:
    """An operator has to look at it: the radiologist was told nothing."""
    hospital.install()
    arrivals = hospital.stable_study()
    hospital.queue.complete_not_analysed(hospital.claimed(), WHY, [REFUSED])
    _told(hospital, arrivals)

    hospital.queue.fail(hospital.claimed(JobKind.DELIVERY), Reason("delivery-refused", "Refused."))

    study = hospital.overview.status()["studies"][0]
    assert (study["state"], study["error"]) == ("failed", "Refused.")


def test_only_an_inference_without_a_result_can_be_told(hospital: Any) -> None:
    """A notice that tells of nothing is a fault with a name."""
    hospital.install()
    hospital.stable_study()
    job = hospital.claimed()

    with pytest.raises(UnknownRecord, match="tells of no inference"):
        hospital.queue.ended_inference(job)


def test_one_inference_has_one_notice(hospital: Any) -> None:
    """The database itself refuses a second one."""
    hospital.install()
    hospital.stable_study()
    hospital.queue.fail(hospital.claimed(), WHY)
    twice = (
        "INSERT INTO job (kind, study_id, revision, algorithm_id, about_id) "
        "SELECT kind, study_id, revision, algorithm_id, about_id FROM job WHERE kind = 'notice'"
    )

    with pytest.raises(Exception, match="job_one_notice"):
        hospital.rows(twice)


def test_our_own_report_coming_back_triggers_nothing(hospital: Any) -> None:
    """A PACS that sends the report back makes no revision and no job."""
    hospital.install()
    arrivals = hospital.stable_study()
    hospital.queue.fail(hospital.claimed(), WHY)
    _told(hospital, arrivals)

    hospital.receive(hospital.arrival(sop_instance_uid="1.2.3.8.1"))

    assert hospital.settle() == 0
    assert hospital.rows("SELECT excluded_rule FROM instance WHERE sop_instance_uid = '1.2.3.8.1'") == [("own-result",)]
    assert hospital.rows("SELECT count(*) FROM job WHERE kind = 'inference'") == [(1,)]
