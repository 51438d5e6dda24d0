"""A version in shadow looks at the same studies, after all other work, and nobody is told what it finds."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg2.errors
import pytest

from storage.domain.algorithm import AlgorithmStage
from storage.domain.explanation import sentences, shadow_sentences
from storage.domain.job import ClaimedJob, JobKind, Reason, Refusal
from storage.domain.not_analysed import TellNotAnalysed
from storage.domain.route import Route, Routes
from storage.errors import InvalidTransition
from storage.postgres.site_reading import PostgresSiteReading
from storage.postgres.study_settlement import settle_next_study

WHY = Reason("too-few-slices", "The series has 2 slices.")
REFUSED = Refusal("1.2.3.1", WHY)


def _shadow(hospital: Any, name: str = "lungs", version: str = "2") -> None:
    """Install a version in shadow without disturbing the active one."""
    algorithm = hospital.registered(name, version)
    hospital.algorithms.add(algorithm, "tester")
    hospital.algorithms.shadow(name, version, "tester")


def _jobs(hospital: Any) -> list[tuple[Any, ...]]:
    return hospital.rows(
        "SELECT algorithm.version, job.shadow, job.priority FROM job JOIN algorithm ON algorithm.id = algorithm_id "
        "WHERE kind = 'inference' ORDER BY algorithm.version, job.id"
    )


def _shadow_job(hospital: Any) -> ClaimedJob:
    job = hospital.claimed()
    assert job.shadow
    return job


def test_every_shadow_and_the_active_version_get_a_job(hospital: Any) -> None:
    """Two shadows of one name stand beside its active version; a registered and a retired one get nothing."""
    hospital.install(version="1")
    for version in ("2", "3"):
        _shadow(hospital, version=version)
    hospital.algorithms.add(hospital.registered("lungs", "4"), "tester")
    hospital.algorithms.retire("lungs", "4", "tester")
    hospital.algorithms.add(hospital.registered("lungs", "5"), "tester")

    hospital.stable_study()

    assert _jobs(hospital) == [("1", False, "routine"), ("2", True, "low"), ("3", True, "low")]
    assert [known.version for known in hospital.algorithms.all(AlgorithmStage.ACTIVE)] == ["1"]


def test_a_route_to_other_algorithms_leads_to_no_shadow(hospital: Any) -> None:
    """A shadow gets a study only if its route leads to the shadow's name."""
    _shadow(hospital, "lungs")
    _shadow(hospital, "liver")
    hospital.receive(hospital.arrival())

    settle_next_study(hospital.database, 0, Routes([Route("OVERREAD", frozenset({"liver"}))]))

    names = "SELECT name FROM job JOIN algorithm ON algorithm.id = algorithm_id"
    assert hospital.rows(names) == [("liver",)]


def test_a_shadow_is_claimed_after_all_other_work(hospital: Any) -> None:
    """An older shadow job waits behind each inference, also behind one of low priority."""
    hospital.install()
    _shadow(hospital)
    hospital.stable_study("1.2.3")
    hospital.stable_study("1.2.4")
    hospital.rows(
        "ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle;"
        "UPDATE job SET priority = 'low' WHERE study_id = 2;"
        "UPDATE job SET due_at = due_at - interval '1 day' WHERE shadow;"
        "ALTER TABLE job ENABLE TRIGGER job_follows_lifecycle"
    )

    claimed = [hospital.claimed() for _ in range(4)]

    assert [(job.study_instance_uid, job.shadow) for job in claimed] == [
        ("1.2.3", False),
        ("1.2.4", False),
        ("1.2.3", True),
        ("1.2.4", True),
    ]


def test_of_a_shadows_result_only_the_findings_are_kept(hospital: Any) -> None:
    """No evidence, no picture, no delivery, although the worker made objects and there is a destination."""
    _shadow(hospital)
    arrivals = hospital.stable_study()

    hospital.queue.complete_analysed(_shadow_job(hospital), hospital.result(arrivals), ["pacs"])

    assert hospital.rows("SELECT report_text, pictures FROM result") == [("No finding.", [])]
    assert hospital.rows("SELECT count(*) FROM result_input") == [(2,)]
    assert hospital.rows("SELECT count(*) FROM evidence") == [(0,)]
    assert hospital.rows("SELECT kind FROM job") == [("inference",)]
    assert hospital.rows("SELECT details ->> 'stage' FROM audit_event WHERE action = 'result-stored'") == [("shadow",)]


def test_the_database_refuses_evidence_of_a_shadow(hospital: Any) -> None:
    """Whatever a program does, an object of a shadow cannot come to be."""
    _shadow(hospital)
    arrivals = hospital.stable_study()
    hospital.queue.complete_analysed(_shadow_job(hospital), hospital.result(arrivals), [])

    with pytest.raises(psycopg2.errors.CheckViolation, match="of a shadow"):
        hospital.rows(
            "INSERT INTO evidence (result_id, role, form, sop_class_uid, sop_instance_uid, series_instance_uid, "
            "transfer_syntax_uid, sha256, size) VALUES (1, 'report', 'basic-text', '1', '1', '1', '1', "
            "repeat('a', 64), 1)"
        )


_ENDINGS: dict[str, Callable[[Any, ClaimedJob], object]] = {
    "refused": lambda h, job: h.queue.complete_not_analysed(job, WHY, [REFUSED]),
    "failed": lambda h, job: h.queue.fail(job, WHY),
    "attempts spent": lambda h, job: h.queue.retry(job, WHY, timedelta(0)),
}


@pytest.mark.parametrize("ending", _ENDINGS)
def test_nobody_is_told_that_a_shadow_found_nothing(open_hospital: Callable[..., Any], ending: str) -> None:
    """No "Not analysed" report is owed, even where every such report is wanted; the study's state stays as it was."""
    hospital = open_hospital(max_attempts=1, not_analysed=TellNotAnalysed.ALWAYS)
    hospital.install()
    _shadow(hospital)
    arrivals = hospital.stable_study()
    hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals), [])

    _ENDINGS[ending](hospital, _shadow_job(hospital))

    assert hospital.rows("SELECT count(*) FROM job WHERE kind = 'notice'") == [(0,)]
    assert hospital.rows("SELECT state, reason_code FROM study_overview") == [("done", None)]


def test_a_study_that_only_shadows_look_at_is_not_analysed(hospital: Any) -> None:
    """It has the reason that no algorithm was active, before and after the shadow's result, and is accounted for."""
    _shadow(hospital)
    arrivals = hospital.stable_study()
    before = hospital.rows("SELECT state, reason_code FROM study_overview")

    hospital.queue.complete_analysed(_shadow_job(hospital), hospital.result(arrivals), ["pacs"])

    assert before == [("not-analysed", "no-algorithm")]
    assert hospital.rows("SELECT state, reason_code FROM study_overview") == before
    assert hospital.overview.no_silent_state() == []


def test_a_shadows_job_accounts_for_no_image(hospital: Any) -> None:
    """Where the real work is lost, the shadow's does not hide it."""
    hospital.install()
    _shadow(hospital)
    hospital.stable_study()
    hospital.rows("SET session_replication_role = replica; DELETE FROM job WHERE NOT shadow")

    assert len(hospital.overview.no_silent_state()) == 2


def test_a_failure_is_told_although_a_shadow_found_something(hospital: Any) -> None:
    """The shadow's result is no reason to keep still about the active version's failure."""
    hospital.install()
    _shadow(hospital)
    arrivals = hospital.stable_study()
    real = hospital.claimed()
    hospital.queue.complete_analysed(_shadow_job(hospital), hospital.result(arrivals), [])
    hospital.queue.fail(real, WHY)

    told = hospital.queue.complete_notice(hospital.claimed(JobKind.NOTICE), hospital.result(arrivals), ["pacs"])

    assert told is not None


def test_results_and_findings_of_shadows_stand_in_no_view(hospital: Any) -> None:
    """A researcher's table holds what counts, and a shadow's later result supersedes nothing."""
    hospital.install()
    _shadow(hospital)
    arrivals = hospital.stable_study()
    hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals), [])
    hospital.queue.complete_analysed(_shadow_job(hospital), hospital.result(arrivals), [])

    for view in ("result_origin", "finding_overview"):
        rows = hospital.named_rows(f"SELECT algorithm_version FROM {view}", {})  # noqa: S608 - the words above
        assert [row["algorithm_version"] for row in rows] == ["1"]
    assert hospital.rows("SELECT superseded_by FROM result_origin") == [(None,)]


def test_a_study_is_explained_without_its_shadow_and_the_shadow_apart(hospital: Any) -> None:
    """The story of the study does not speak of the shadow; the sentences about it say that nobody was told."""
    hospital.install()
    _shadow(hospital)
    arrivals = hospital.stable_study()
    hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals), [])
    hospital.queue.complete_analysed(_shadow_job(hospital), hospital.result(arrivals), [])

    facts = hospital.overview.explain("1.2.3")

    assert [result["algorithm_version"] for result in facts["results"]] == ["1"]
    assert [result["algorithm_version"] for result in hospital.overview.report("1.2.3")] == ["1"]
    assert "lungs 2" not in "\n".join(sentences(facts))
    [told] = shadow_sentences(facts)
    assert told.startswith("In shadow or for a cohort, told to nobody: lungs 2 analysed 2 instances of series 1.2.3.7")


def test_a_promoted_shadow_analyses_a_study_for_real(hospital: Any) -> None:
    """What it did in shadow does not count as done; the real job comes beside the shadow's."""
    _shadow(hospital)
    arrivals = hospital.stable_study()
    hospital.queue.complete_analysed(_shadow_job(hospital), hospital.result(arrivals), ["pacs"])
    hospital.algorithms.promote("lungs", "2", "tester")

    hospital.queue.submit("1.2.3", "alice")
    job = hospital.claimed()
    hospital.queue.complete_analysed(job, hospital.result(arrivals), ["pacs"])

    assert not job.shadow
    assert hospital.rows("SELECT count(*) FROM delivery") == [(2,)]
    assert hospital.rows("SELECT state FROM study_overview") == [("delivering",)]


def test_a_shadow_can_be_given_an_older_study(hospital: Any) -> None:
    """Submitting a study schedules its shadows too, once, and leaves the reason why nobody else looked at it."""
    hospital.stable_study()
    _shadow(hospital)

    hospital.queue.submit("1.2.3", "alice")

    assert _jobs(hospital) == [("2", True, "low")]
    assert hospital.rows("SELECT state, reason_code FROM study_overview") == [("not-analysed", "no-algorithm")]
    with pytest.raises(InvalidTransition):
        hospital.queue.submit("1.2.3", "alice")


def test_a_shadows_job_done_again_is_a_shadows(hospital: Any) -> None:
    """Also when the version has become active meanwhile."""
    _shadow(hospital)
    hospital.stable_study()
    job = _shadow_job(hospital)
    hospital.queue.fail(job, WHY)
    hospital.algorithms.promote("lungs", "2", "tester")

    hospital.queue.resubmit(job.job_id, "alice")

    assert _jobs(hospital) == [("2", True, "low"), ("2", True, "low")]
    assert _shadow_job(hospital).job_id != job.job_id


def test_the_active_version_in_shadow_leaves_its_name_without_one(hospital: Any) -> None:
    """What a version in doubt finds from then on is told to nobody; the audit row names where it stood."""
    hospital.install(version="1")

    hospital.algorithms.shadow("lungs", "1", "tester")

    assert hospital.algorithms.all(AlgorithmStage.ACTIVE) == ()
    [details] = hospital.rows("SELECT details FROM audit_event WHERE action = 'algorithm-shadowed'")[0]
    assert details == {
        "name": "lungs",
        "version": "1",
        "manifest_sha256": "a" * 64,
        "artifact_sha256": "b" * 64,
        "previous_stage": "active",
    }
    assert hospital.rows("SELECT action, algorithm_version FROM algorithm_history ORDER BY id DESC LIMIT 1") == [
        ("algorithm-shadowed", "1")
    ]
    with pytest.raises(InvalidTransition, match="in shadow already"):
        hospital.algorithms.shadow("lungs", "1", "tester")


def test_waiting_shadows_are_counted_apart(hospital: Any) -> None:
    """A shadow may wait for ever, so its wait is not that of an inference, on which an alarm may stand."""
    _shadow(hospital)
    hospital.stable_study()

    summary = PostgresSiteReading(hospital.database).summary(7)

    assert [(row["kind"], row["jobs"]) for row in summary["jobs"]] == [("shadow", 1)]
