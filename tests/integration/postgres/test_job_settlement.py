"""Ending a job: fenced by the token, whole or not at all, with its audit row."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from storage.domain.delivery import SendOutcome, Verdict
from storage.domain.job import ClaimedJob, JobKind, Reason, Refusal
from storage.domain.result import ResultPicture
from storage.errors import InvalidTransition, LeaseLost, StorageError, UnknownRecord
from storage.housekeeping.rescue_leases import rescue_leases
from storage.postgres.held_job import hold
from storage.postgres.result_rows import store_result
from storage.settings import JobSettings

WHY = Reason("trouble", "Something went wrong.")


def _everything(hospital: Any) -> list[Any]:
    """All rows that a job's end may touch."""
    return [
        hospital.rows(f"TABLE {table} ORDER BY id")
        for table in ("job", "result", "evidence", "delivery", "audit_event")
    ]


def test_an_analysed_job_leaves_its_result_and_one_delivery_per_destination(hospital: Any) -> None:
    """Result, inputs, evidence and the deliveries it owes appear together, with their audit rows."""
    hospital.install()
    arrivals = hospital.stable_study()
    job = hospital.claimed()
    result = hospital.result(arrivals)

    result_id = hospital.queue.complete_analysed(job, result, ["pacs", "archive"])

    assert hospital.rows("SELECT state, outcome FROM job WHERE kind = 'inference'") == [("completed", "analysed")]
    assert hospital.rows("SELECT id, report_text FROM result") == [(result_id, "No finding.")]
    assert hospital.rows("SELECT count(*) FROM result_input") == [(2,)]
    assert hospital.rows("SELECT destination, state FROM job WHERE kind = 'delivery' ORDER BY id") == [
        ("pacs", "scheduled"),
        ("archive", "scheduled"),
    ]
    assert hospital.rows("SELECT count(*) FROM delivery WHERE state = 'waiting'") == [(4,)]
    assert [hospital.audited(action) for action in ("job-completed", "result-stored", "job-scheduled")] == [1, 1, 3]
    delivery = hospital.claimed(JobKind.DELIVERY)
    assert (delivery.result_id, delivery.destination) == (result_id, "pacs")


def test_pictures_are_kept_in_order_and_owed_to_nobody(hospital: Any) -> None:
    """The row names title and digest of each picture; the bytes lie beside the evidence, and none is delivered."""
    hospital.install()
    pictures = (ResultPicture("Axial", b"first"), ResultPicture("Coronal", b"second"))
    result = replace(hospital.result(hospital.stable_study()), pictures=pictures)

    hospital.queue.complete_analysed(hospital.claimed(), result, ["pacs"])

    [told] = hospital.overview.report("1.2.3")
    assert [(one["title"], hospital.objects.evidence(one["sha256"]).read_bytes()) for one in told["pictures"]] == [
        ("Axial", b"first"),
        ("Coronal", b"second"),
    ]
    owed = hospital.deliveries.undelivered(hospital.claimed(JobKind.DELIVERY))
    assert [thing.role for thing in owed] == ["segmentation", "report"]


def test_evidence_is_frozen_and_owed_in_the_order_of_delivery(hospital: Any) -> None:
    """What is owed names the frozen files, the segmentation before the report that refers to it."""
    hospital.install()
    result = hospital.analysed()

    owed = hospital.deliveries.undelivered(hospital.claimed(JobKind.DELIVERY))

    assert [thing.role for thing in owed] == ["segmentation", "report"]
    assert [thing.path.read_bytes() for thing in owed] == [thing.part10 for thing in reversed(result.evidence)]
    assert [thing.size for thing in owed] == [len(thing.part10) for thing in reversed(result.evidence)]


def test_without_destinations_a_result_is_stored_and_nothing_is_owed(hospital: Any) -> None:
    """A site without destinations keeps its results and gets no delivery."""
    hospital.install()
    hospital.analysed(destinations=())

    assert hospital.rows("SELECT count(*) FROM result") == [(1,)]
    assert hospital.queue.claim(JobKind.DELIVERY, "sender") is None
    assert hospital.overview.status()["studies"][0]["state"] == "done"


def test_a_result_may_not_claim_inputs_that_its_revision_does_not_hold(hospital: Any) -> None:
    """An instance that came after the revision cannot be an input of its result; nothing is stored."""
    hospital.install()
    arrivals = hospital.stable_study()
    late = hospital.arrival()
    hospital.receive(late)
    hospital.settle()
    job = hospital.claimed()
    assert job.revision == 1

    with pytest.raises(UnknownRecord):
        hospital.queue.complete_analysed(job, hospital.result([*arrivals, late]), ["pacs"])

    assert hospital.rows("SELECT count(*) FROM result") == [(0,)]
    assert hospital.rows("SELECT state FROM job WHERE revision = 1") == [("in_progress",)]


def test_a_study_that_no_algorithm_takes_keeps_the_reason_and_the_refusals(hospital: Any) -> None:
    """Not analysed is an outcome with a reason, never silence."""
    hospital.install()
    hospital.stable_study()

    hospital.queue.complete_not_analysed(
        hospital.claimed(), Reason("no-series", "No series fits."), [Refusal("1.2.3.1", Reason("thick", "Too thick."))]
    )

    assert hospital.rows("SELECT state, outcome, reason_code, refusals FROM job WHERE kind = 'inference'") == [
        (
            "completed",
            "not-analysed",
            "no-series",
            [{"series_instance_uid": "1.2.3.1", "code": "thick", "sentence": "Too thick."}],
        )
    ]
    study = hospital.overview.status()["studies"][0]
    assert (study["state"], study["reason"], study["error"]) == ("not-analysed", "No series fits.", "No series fits.")


_ENDINGS: dict[str, Callable[[Any, ClaimedJob], object]] = {
    "renew": lambda hospital, job: hospital.queue.renew(job),
    "complete analysed": lambda hospital, job: hospital.queue.complete_analysed(
        job, replace(hospital.result([hospital.arrival()]), input_sop_instance_uids=()), ["pacs"]
    ),
    "complete not analysed": lambda hospital, job: hospital.queue.complete_not_analysed(job, WHY, []),
    "complete delivery": lambda hospital, job: hospital.queue.complete_delivery(job, []),
    "retry": lambda hospital, job: hospital.queue.retry(job, WHY, timedelta(0)),
    "fail": lambda hospital, job: hospital.queue.fail(job, WHY),
}


@pytest.mark.parametrize("ending", _ENDINGS)
@pytest.mark.parametrize("claimed_again", [False, True], ids=["rescued", "claimed again"])
def test_a_stale_worker_changes_nothing(hospital: Any, ending: str, claimed_again: bool) -> None:
    """Once the lease is taken, every way to settle the job raises LeaseLost and no row is different."""
    hospital.install()
    hospital.stable_study()
    stale = hospital.claimed()
    hospital.expire_leases()
    assert rescue_leases(hospital.database, hospital.settings) == 1
    if claimed_again:
        hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
        hospital.rows("UPDATE job SET due_at = now()")
        assert hospital.claimed(worker="worker two").job_id == stale.job_id
    before = _everything(hospital)

    with pytest.raises(LeaseLost):
        _ENDINGS[ending](hospital, stale)

    assert _everything(hospital) == before


def test_a_holder_whose_lease_ran_out_but_was_not_taken_may_still_complete(hospital: Any) -> None:
    """Finished work is not thrown away while nobody else has the job."""
    hospital.install()
    arrivals = hospital.stable_study()
    job = hospital.claimed()
    hospital.expire_leases()

    hospital.queue.complete_analysed(job, hospital.result(arrivals), [])

    assert rescue_leases(hospital.database, hospital.settings) == 0


def test_completion_and_rescue_that_race_leave_one_of_the_two(open_hospital: Callable[..., Any]) -> None:
    """Whoever comes second finds the job settled: each job has a result, or is scheduled again, never both."""
    worker, housekeeper = open_hospital(), open_hospital()
    worker.install()
    for number in range(12):
        arrivals = worker.stable_study(f"1.2.{number}")
        job = worker.claimed()
        worker.expire_leases()
        barrier = threading.Barrier(2)

        def rescue(barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            rescue_leases(housekeeper.database, housekeeper.settings)

        rescuer = threading.Thread(target=rescue)
        rescuer.start()
        barrier.wait()
        try:
            worker.queue.complete_analysed(job, worker.result(arrivals), [])
            expected = [("completed", 1)]
        except LeaseLost:
            expected = [("scheduled", 0)]
        rescuer.join()

        assert (
            worker.rows(
                "SELECT state, (SELECT count(*)::int FROM result WHERE result.job_id = job.id) FROM job WHERE id = %s",
                job.job_id,
            )
            == expected
        )


def test_a_retried_job_comes_back_when_due_and_keeps_its_first_start(hospital: Any) -> None:
    """The second attempt has a new token and the start time of the first."""
    hospital.install()
    hospital.stable_study()
    first = hospital.claimed()

    hospital.queue.retry(first, WHY, timedelta(0))
    second = hospital.claimed()

    assert (second.job_id, second.attempt, second.started_at) == (first.job_id, 2, first.started_at)
    assert second.lease_token != first.lease_token
    assert hospital.audited("job-retried") == 1


def test_a_retry_with_a_delay_is_not_due_before(hospital: Any) -> None:
    """The delay is counted by the database's clock."""
    hospital.install()
    hospital.stable_study()

    hospital.queue.retry(hospital.claimed(), WHY, timedelta(hours=1))

    assert hospital.queue.claim(JobKind.INFERENCE, "worker") is None
    assert hospital.rows("SELECT due_at > now() + interval '59 minutes', reason_code FROM job") == [(True, "trouble")]


def test_an_inference_whose_attempts_are_spent_fails_and_says_how_often_it_was_started(hospital: Any) -> None:
    """The last retry of the budget ends the job instead."""
    hospital.install()
    hospital.stable_study()

    for _ in range(3):
        hospital.queue.retry(hospital.claimed(), WHY, timedelta(0))

    [(state, code, sentence)] = hospital.rows(
        "SELECT state, reason_code, reason_sentence FROM job WHERE kind = 'inference'"
    )
    assert (state, code) == ("failed", "attempts-spent")
    assert "3 times" in sentence
    assert "Something went wrong." in sentence


def test_an_input_that_kills_every_worker_is_given_up(hospital: Any) -> None:
    """Rescued leases spend the budget too; then the job fails and is never claimed again."""
    hospital.install()
    hospital.stable_study()
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")

    for _ in range(3):
        hospital.rows("UPDATE job SET due_at = now()")
        hospital.claimed()
        hospital.expire_leases()
        rescue_leases(hospital.database, hospital.settings)

    assert hospital.rows("SELECT state, reason_code, attempt FROM job WHERE kind = 'inference'") == [
        ("failed", "attempts-spent", 3)
    ]
    assert [hospital.audited("job-retried"), hospital.audited("job-failed")] == [2, 1]
    assert hospital.rows("SELECT DISTINCT actor FROM audit_event WHERE action = 'job-failed'") == [("housekeeper",)]


def test_a_rescued_job_waits_before_its_next_attempt(hospital: Any) -> None:
    """The input may be what killed the worker, so the next attempt is not at once."""
    hospital.install()
    hospital.stable_study()
    hospital.claimed()
    hospital.expire_leases()

    rescue_leases(hospital.database, hospital.settings)

    assert hospital.rows("SELECT state, due_at > now(), reason_code FROM job") == [("scheduled", True, "lease-expired")]


def test_a_living_lease_is_not_rescued(hospital: Any) -> None:
    """Only leases that ran out by the database's clock are taken."""
    hospital.install()
    hospital.stable_study()
    hospital.claimed()

    assert rescue_leases(hospital.database, hospital.settings) == 0


def test_a_delivery_has_no_limit_of_attempts(hospital: Any) -> None:
    """A PACS that is down may be asked any number of times within the time limit."""
    hospital.install()
    hospital.analysed()

    for attempt in range(1, 8):
        job = hospital.claimed(JobKind.DELIVERY)
        assert (job.attempt, job.max_attempts > 1_000_000) == (attempt, True)
        hospital.queue.retry(job, WHY, timedelta(0))

    assert hospital.rows("SELECT state FROM job WHERE kind = 'delivery'") == [("scheduled",)]


def test_a_delivery_that_we_were_silent_about_for_days_is_tried_once_more(hospital: Any) -> None:
    """A machine of ours that stood still over a weekend costs no result: only what came of an attempt gives it up."""
    hospital.install()
    hospital.analysed()
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    hospital.rows("UPDATE job SET scheduled_at = now() - interval '25 hours' WHERE kind = 'delivery'")
    hospital.claimed(JobKind.DELIVERY)
    hospital.expire_leases()

    assert rescue_leases(hospital.database, hospital.settings) == 1

    assert hospital.rows("SELECT state, reason_code FROM job WHERE kind = 'delivery'") == [
        ("scheduled", "lease-expired")
    ]


def test_a_delivery_past_its_time_limit_fails_with_a_sentence(hospital: Any) -> None:
    """After delivery_give_up_hours the next retry gives up, naming the destination and the hours."""
    hospital.install()
    hospital.analysed()
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    hospital.rows("UPDATE job SET scheduled_at = now() - interval '25 hours' WHERE kind = 'delivery'")

    hospital.queue.retry(hospital.claimed(JobKind.DELIVERY), WHY, timedelta(0))

    [(state, code, sentence)] = hospital.rows(
        "SELECT state, reason_code, reason_sentence FROM job WHERE kind = 'delivery'"
    )
    assert (state, code) == ("failed", "delivery-expired")
    assert "pacs" in sentence
    assert "24 hours" in sentence
    study = hospital.overview.status()["studies"][0]
    assert (study["state"], study["error"]) == ("failed", sentence)


def test_a_delivery_completes_when_every_instance_is_acknowledged(hospital: Any) -> None:
    """Acknowledged instances are kept across attempts, sent no more, and each has an audit row."""
    hospital.install()
    report, segments = (thing.sop_instance_uid for thing in hospital.analysed().evidence)
    job = hospital.claimed(JobKind.DELIVERY)
    hospital.queue.retry(
        job,
        WHY,
        timedelta(0),
        [
            SendOutcome(segments, Verdict.DELIVERED, 0x0000, "Stored."),
            SendOutcome(report, Verdict.TRY_AGAIN, 0xA700, "Out of resources."),
        ],
    )
    job = hospital.claimed(JobKind.DELIVERY)
    assert [thing.sop_instance_uid for thing in hospital.deliveries.undelivered(job)] == [report]

    hospital.queue.complete_delivery(job, [SendOutcome(report, Verdict.DELIVERED, 0xB000, "Coerced.")])

    assert hospital.rows("SELECT state, attempts, status FROM delivery ORDER BY id") == [
        ("acknowledged", 2, 0xB000),
        ("acknowledged", 1, 0x0000),
    ]
    assert hospital.audited("delivery-acknowledged") == 2
    study = hospital.overview.status()["studies"][0]
    assert (study["state"], study["delivered_at"] is not None) == ("done", True)


def test_a_delivery_that_still_owes_an_instance_cannot_be_completed(hospital: Any) -> None:
    """Completion without every acknowledgement is refused and changes nothing."""
    hospital.install()
    hospital.analysed()
    job = hospital.claimed(JobKind.DELIVERY)
    before = _everything(hospital)

    with pytest.raises(InvalidTransition):
        hospital.queue.complete_delivery(job, [])

    assert _everything(hospital) == before


def test_a_refused_instance_fails_its_delivery_with_status_and_note(hospital: Any) -> None:
    """The refusal, its DIMSE status and the sentence are kept, and audited."""
    hospital.install()
    report, segments = (thing.sop_instance_uid for thing in hospital.analysed().evidence)
    job = hospital.claimed(JobKind.DELIVERY)

    hospital.queue.fail(
        job,
        Reason("refused", "The destination refused an instance."),
        [
            SendOutcome(segments, Verdict.REFUSED, 0x0122, "SOP class not supported."),
            SendOutcome(report, Verdict.DELIVERED, 0x0000, ""),
        ],
    )

    assert hospital.rows("SELECT state, status, note FROM delivery ORDER BY id DESC LIMIT 1") == [
        ("refused", 0x0122, "SOP class not supported.")
    ]
    assert [hospital.audited("delivery-refused"), hospital.audited("delivery-acknowledged")] == [1, 1]
    errors = {row["role"]: row["error"] for row in hospital.overview.status()["deliveries"]}
    assert errors == {"segmentation": "SOP class not supported.", "report": None}


def test_an_outcome_for_a_foreign_instance_is_refused(hospital: Any) -> None:
    """An outcome must name an instance that this delivery owes."""
    hospital.install()
    hospital.analysed()

    with pytest.raises(UnknownRecord):
        hospital.queue.fail(hospital.claimed(JobKind.DELIVERY), WHY, [SendOutcome("9.9.9", Verdict.DELIVERED, 0, "")])


def test_a_canceled_job_is_lost_to_its_worker(hospital: Any) -> None:
    """Canceling takes the lease away and is audited under the operator's name."""
    hospital.install()
    hospital.stable_study()
    job = hospital.claimed()

    hospital.queue.cancel(job.job_id, "alice")

    with pytest.raises(LeaseLost):
        hospital.queue.fail(job, WHY)
    assert hospital.rows("SELECT state, reason_code FROM job") == [("canceled", "canceled")]
    assert hospital.rows("SELECT actor FROM audit_event WHERE action = 'job-canceled'") == [("alice",)]
    assert hospital.overview.status()["studies"][0]["state"] == "canceled"


def test_a_canceled_delivery_can_be_resubmitted_for_what_is_still_owed(hospital: Any) -> None:
    """The new job names its predecessor and owes what was not acknowledged."""
    hospital.install()
    report, segments = (thing.sop_instance_uid for thing in hospital.analysed().evidence)
    job = hospital.claimed(JobKind.DELIVERY)
    hospital.queue.retry(job, WHY, timedelta(0), [SendOutcome(segments, Verdict.DELIVERED, 0, "")])
    hospital.queue.cancel(job.job_id, "alice")
    assert hospital.rows("SELECT state FROM delivery ORDER BY id") == [("canceled",), ("acknowledged",)]

    new_id = hospital.queue.resubmit(job.job_id, "alice")

    again = hospital.claimed(JobKind.DELIVERY)
    assert again.job_id == new_id
    assert [thing.sop_instance_uid for thing in hospital.deliveries.undelivered(again)] == [report]
    assert hospital.rows("SELECT predecessor_id FROM job WHERE id = %s", new_id) == [(job.job_id,)]
    hospital.queue.complete_delivery(again, [SendOutcome(report, Verdict.DELIVERED, 0, "")])
    assert hospital.overview.status()["studies"][0]["state"] == "done"


def test_a_resubmitted_inference_refers_to_the_bytes_frozen_first(hospital: Any) -> None:
    """One SOP Instance UID never stands for two contents, even when the second run made other bytes."""
    hospital.install()
    arrivals = hospital.stable_study()
    job = hospital.claimed()
    hospital.queue.complete_analysed(job, hospital.result(arrivals), ["pacs"])
    hospital.queue.resubmit(job.job_id, "alice")

    hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals, marker=" of other bytes"), ["pacs"])

    assert hospital.rows("SELECT count(*), count(DISTINCT sha256) FROM evidence") == [(4, 2)]
    second = hospital.rows("SELECT max(id) FROM job WHERE kind = 'delivery'")[0][0]
    jobs = [hospital.claimed(JobKind.DELIVERY) for _ in range(2)]
    owed = hospital.deliveries.undelivered(next(job for job in jobs if job.job_id == second))
    assert [thing.path.read_bytes() for thing in owed] == [b"segments", b"report"]


def test_a_later_revision_with_the_same_uids_delivers_the_bytes_frozen_first(hospital: Any) -> None:
    """What a second revision finds in the same images goes out under the same UIDs, byte for byte the same."""
    hospital.install()
    hospital.analysed()
    arrivals = hospital.stable_study()
    job = hospital.claimed()
    assert job.revision == 2

    hospital.queue.complete_analysed(job, hospital.result(arrivals, marker=" of other bytes"), ["pacs"])

    assert hospital.rows("SELECT count(*), count(DISTINCT sha256) FROM evidence") == [(4, 2)]
    for _ in range(2):
        delivery = hospital.claimed(JobKind.DELIVERY)
        owed = hospital.deliveries.undelivered(delivery)
        assert [thing.path.read_bytes() for thing in owed] == [b"segments", b"report"]
        sent = [SendOutcome(thing.sop_instance_uid, Verdict.DELIVERED, 0, "") for thing in owed]
        hospital.queue.complete_delivery(delivery, sent)
    assert hospital.overview.status()["studies"][0]["state"] == "done"
    assert hospital.overview.no_silent_state() == []
    assert len(hospital.overview.explain("1.2.3.7.1")["results"]) == 2


def test_two_revisions_stored_at_once_share_the_bytes_frozen_first(open_hospital: Callable[..., Any]) -> None:
    """The job that stores its result second waits for the first, and then finds its evidence."""
    hospital, other = open_hospital(), open_hospital()
    hospital.install()
    first = hospital.stable_study()
    early = hospital.claimed()
    second = hospital.stable_study()
    late = hospital.claimed()

    def store_late() -> None:
        other.queue.complete_analysed(late, other.result(second, marker=" of other bytes"), [])

    storing = threading.Thread(target=store_late)
    with hospital.database.transaction() as session:
        held = hold(session, early)
        file = hospital.objects.freeze([b"report"])
        result = hospital.result(first)
        store_result(session, held, result, [file] * len(result.evidence), [])
        storing.start()
        waiting = [(0,)]
        while waiting == [(0,)] and storing.is_alive():
            waiting = hospital.rows(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
    storing.join()

    assert hospital.rows("SELECT count(*), count(DISTINCT sha256) FROM evidence") == [(4, 1)]


def test_final_states_never_reopen(hospital: Any) -> None:
    """A job that ended can be resubmitted once, and neither canceled nor resubmitted again."""
    hospital.install()
    hospital.stable_study()
    job = hospital.claimed()
    with pytest.raises(InvalidTransition):
        hospital.queue.resubmit(job.job_id, "alice")
    hospital.queue.fail(job, WHY)

    with pytest.raises(InvalidTransition):
        hospital.queue.cancel(job.job_id, "alice")
    successor = hospital.queue.resubmit(job.job_id, "alice")
    with pytest.raises(InvalidTransition, match=str(successor)):
        hospital.queue.resubmit(job.job_id, "alice")


@pytest.mark.parametrize("operation", ["cancel", "resubmit"])
def test_an_unknown_job_is_named_as_such(hospital: Any, operation: str) -> None:
    """Operations on a job that does not exist say so."""
    with pytest.raises(UnknownRecord):
        getattr(hospital.queue, operation)(4711, "alice")


def test_a_refused_change_never_repeats_the_row(hospital: Any) -> None:
    """A constraint's error names the constraint and not the values, which may be a patient's."""
    with pytest.raises(StorageError) as caught, hospital.database.transaction() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO study (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, revision) "
            "VALUES ('1.2.3', 'SECRET', '', '', -1)"
        )

    assert "study_revision_counts_up" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_settings_decide_the_budget_at_once(open_hospital: Callable[..., Any]) -> None:
    """A smaller budget of attempts holds for jobs that were scheduled before."""
    hospital = open_hospital(max_attempts=5)
    hospital.install()
    hospital.stable_study()
    hospital.claimed()
    hospital.expire_leases()

    rescue_leases(hospital.database, JobSettings(max_attempts=1))

    assert hospital.rows("SELECT state FROM job WHERE kind = 'inference'") == [("failed",)]
