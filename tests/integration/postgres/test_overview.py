"""What an administrator reads: every state has a name, every end a reason, and nothing falls silent."""

import json
from datetime import timedelta
from typing import Any

import pytest

from storage.domain.delivery import SendOutcome, Verdict
from storage.domain.job import JobKind, Reason, Refusal
from storage.domain.open_trouble import open_trouble
from storage.domain.study import StudyState
from storage.errors import UnknownRecord

WHY = Reason("trouble", "Something went wrong.")


def _populate(hospital: Any) -> dict[str, str]:
    """One study in each state, by the last component of its UID; says which state each must have."""
    hospital.stable_study("1.2.1")
    hospital.install()
    hospital.receive(hospital.arrival("1.2.2"), hospital.arrival("1.2.2", patient_id="P2"))
    hospital.stable_study("1.2.3")
    hospital.queue.fail(hospital.claimed(), WHY)
    hospital.stable_study("1.2.4")
    hospital.queue.cancel(hospital.claimed().job_id, "alice")
    result = hospital.analysed("1.2.5")
    hospital.queue.complete_delivery(
        hospital.claimed(JobKind.DELIVERY),
        [SendOutcome(thing.sop_instance_uid, Verdict.DELIVERED, 0, "") for thing in result.evidence],
    )
    hospital.analysed("1.2.6")
    hospital.stable_study("1.2.7")
    hospital.queue.complete_not_analysed(hospital.claimed(), Reason("no-series", "No series fits."), [])
    hospital.stable_study("1.2.8")
    hospital.claimed()
    hospital.stable_study("1.2.9")
    hospital.receive(hospital.arrival("1.2.10"), hospital.arrival("1.2.5", sop_instance_uid="1.2.5.7.1"))
    hospital.arrivals.record([], [hospital.quarantined("1.2.11")], [])
    return {
        "1.2.1": "not-analysed",
        "1.2.2": "parked",
        "1.2.3": "failed",
        "1.2.4": "canceled",
        "1.2.5": "done",
        "1.2.6": "delivering",
        "1.2.7": "not-analysed",
        "1.2.8": "analysing",
        "1.2.9": "queued",
        "1.2.10": "receiving",
    }


def test_every_state_of_a_study_is_reached_by_rows(hospital: Any) -> None:
    """The view derives each state of the domain, and no other."""
    expected = _populate(hospital)

    states = {study["study_instance_uid"]: study["state"] for study in hospital.overview.status()["studies"]}

    assert states == expected
    assert set(states.values()) == set(StudyState)


def test_the_status_is_json_and_every_bad_end_has_a_sentence(hospital: Any) -> None:
    """Lists of plain objects with study, state and error; failed and parked ones say why."""
    _populate(hospital)

    status = json.loads(json.dumps(hospital.overview.status()))

    for key in ("studies", "jobs", "deliveries", "quarantined"):
        assert status[key]
        for row in status[key]:
            assert {"study_instance_uid", "state", "error"} <= set(row)
            if row["state"] in ("failed", "parked", "refused", "quarantined"):
                assert row["error"].endswith(".")
    assert {study["error"] for study in status["studies"] if study["state"] == "done"} == {None}


def test_each_kind_of_open_trouble_is_told_however_much_came_after(hospital: Any) -> None:
    """Refusals of different series, failures, what is held back and what was refused: each once, with its number."""
    _populate(hospital)
    other, third = Reason("slice-gap", "Slices are missing."), Reason("no-spacing", "There is no spacing.")
    for study_instance_uid in ("1.2.20", "1.2.21"):
        hospital.stable_study(study_instance_uid)
        refusals = [Refusal("1.9.1", other), Refusal("1.9.2", third), Refusal("1.9.3", other)]
        hospital.queue.complete_not_analysed(hospital.claimed(), Reason("no-series-accepted", "None."), refusals)

    told = [(one.count, one.what, one.sentence) for one in open_trouble(hospital.overview.status())]

    assert (2, "analysis by lungs 1: not analysed", other.sentence) in told
    assert (2, "analysis by lungs 1: not analysed", third.sentence) in told
    assert (1, "analysis by lungs 1 given up", WHY.sentence) in told
    assert sorted(what for _, what, _ in told if "analysis" not in what) == ["object set aside", "study held back"]


def test_trouble_that_was_dealt_with_is_told_no_more(hospital: Any) -> None:
    """What was done again or canceled is no longer open."""
    hospital.stable_study("1.2.3")
    hospital.install()
    hospital.stable_study("1.2.4")
    job = hospital.claimed()
    hospital.queue.fail(job, WHY)
    assert open_trouble(hospital.overview.status())

    hospital.queue.resubmit(job.job_id, "alice")

    assert open_trouble(hospital.overview.status()) == []


def test_trouble_that_another_version_was_given_is_told_no_more(hospital: Any) -> None:
    """After `overread jobs submit` the later analysis counts, however it ends; a shadow's is no answer to it."""
    hospital.install()
    hospital.stable_study("1.2.3")
    hospital.queue.fail(hospital.claimed(), WHY)
    hospital.algorithms.add(hospital.registered("lungs", "2"), "tester")
    hospital.algorithms.shadow("lungs", "2", "tester")
    hospital.queue.submit("1.2.3", "alice")
    in_shadow = hospital.claimed()
    assert in_shadow.shadow
    hospital.queue.fail(in_shadow, Reason("worse", "It is worse."))
    assert {one.sentence for one in open_trouble(hospital.overview.status())} == {WHY.sentence, "It is worse."}

    hospital.algorithms.promote("lungs", "2", "tester")
    hospital.queue.submit("1.2.3", "alice")

    assert open_trouble(hospital.overview.status()) == []
    hospital.queue.fail(hospital.claimed(), Reason("again", "It failed again."))
    assert [(one.count, one.what) for one in open_trouble(hospital.overview.status())] == [
        (1, "analysis by lungs 2 given up")
    ]


def test_no_acknowledged_instance_is_silent(hospital: Any) -> None:
    """Over a mixed population the query finds nothing to complain about."""
    _populate(hospital)

    assert hospital.overview.no_silent_state() == []


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM delivery; DELETE FROM evidence; DELETE FROM result_input; "
        "UPDATE job SET result_id = NULL; DELETE FROM result; DELETE FROM job",
        "DELETE FROM delivery; DELETE FROM evidence; DELETE FROM result_input; DELETE FROM result",
        "UPDATE job SET state = 'completed' WHERE kind = 'delivery'",
        "UPDATE job SET outcome = NULL",
    ],
    ids=["jobs lost", "result lost", "delivery ended unsent", "outcome lost"],
)
def test_an_instance_that_fell_silent_is_found(hospital: Any, damage: str) -> None:
    """With the constraints out of the way each kind of loss shows up as a row."""
    hospital.install()
    hospital.analysed()
    hospital.analysed("1.2.4")
    assert hospital.overview.no_silent_state() == []
    for constraint in ("job_finished_when_final", "job_outcome_when_completed", "job_names_its_work"):
        hospital.rows(f"ALTER TABLE job DROP CONSTRAINT {constraint}")

    hospital.rows(f"SET session_replication_role = replica; {damage}")

    silent = hospital.overview.no_silent_state()
    assert {row["study_instance_uid"] for row in silent} == {"1.2.3", "1.2.4"}
    assert len(silent) == 4


def test_times_of_the_whole_way_are_told(hospital: Any) -> None:
    """First received, stable, inferred and delivered are ISO times in order."""
    hospital.install()
    result = hospital.analysed()
    hospital.queue.complete_delivery(
        hospital.claimed(JobKind.DELIVERY),
        [SendOutcome(thing.sop_instance_uid, Verdict.DELIVERED, 0, "") for thing in result.evidence],
    )

    [study] = hospital.overview.status()["studies"]

    times = [
        study[key] for key in ("first_received_at", "last_received_at", "stable_at", "inferred_at", "delivered_at")
    ]
    assert times == sorted(times)
    assert all(time.endswith("+00:00") for time in times)
    assert (study["instances"], study["excluded"], study["series"], study["revision"]) == (2, 0, 1, 1)


def test_a_waiting_delivery_says_why_it_is_not_there(hospital: Any) -> None:
    """Between two attempts the study is delivering and its error is the last reason."""
    hospital.install()
    hospital.analysed()
    hospital.queue.retry(hospital.claimed(JobKind.DELIVERY), WHY, timedelta(hours=1))

    status = hospital.overview.status()

    assert (status["studies"][0]["state"], status["studies"][0]["error"]) == ("delivering", WHY.sentence)
    assert {row["error"] for row in status["deliveries"]} == {WHY.sentence}


def test_a_resubmitted_job_speaks_for_its_predecessor(hospital: Any) -> None:
    """Once the second run is delivered, the failed delivery of the first one no longer counts."""
    hospital.install()
    arrivals = hospital.stable_study()
    first = hospital.claimed()
    hospital.queue.complete_analysed(first, hospital.result(arrivals), ["pacs"])
    hospital.queue.fail(hospital.claimed(JobKind.DELIVERY), WHY)
    assert hospital.overview.status()["studies"][0]["state"] == "failed"

    hospital.queue.resubmit(first.job_id, "alice")
    result = hospital.result(arrivals)
    hospital.queue.complete_analysed(hospital.claimed(), result, ["pacs"])
    hospital.queue.complete_delivery(
        hospital.claimed(JobKind.DELIVERY),
        [SendOutcome(thing.sop_instance_uid, Verdict.DELIVERED, 0, "") for thing in result.evidence],
    )

    [study] = hospital.overview.status()["studies"]
    assert (study["state"], study["error"]) == ("done", None)


def test_a_study_of_nothing_but_old_failures_is_done_with_its_next_revision(hospital: Any) -> None:
    """The verdict is that of the newest revision."""
    hospital.install()
    hospital.stable_study()
    hospital.queue.fail(hospital.claimed(), WHY)
    arrivals = [hospital.arrival()]
    hospital.receive(*arrivals)
    hospital.settle()
    hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals), [])

    assert [study["state"] for study in hospital.overview.status()["studies"]] == ["done"]


@pytest.mark.parametrize(
    ("uid", "level"),
    [("1.2.3", "study"), ("1.2.3.1", "series"), ("1.2.3.7.2", "evidence"), ("1.2.3.7", "evidence")],
)
def test_explain_takes_any_uid_of_a_study(hospital: Any, uid: str, level: str) -> None:
    """Study, series and our own evidence lead to the same facts."""
    hospital.install()
    hospital.analysed()

    facts = json.loads(json.dumps(hospital.overview.explain(uid)))

    assert (facts["level"], facts["study"]["study_instance_uid"]) == (level, "1.2.3")
    assert facts["associations"][0]["calling_ae_title"] == "CT1"
    assert facts["series"][0]["instances"] == 2
    assert facts["results"][0]["algorithm_name"] == "lungs"
    assert facts["results"][0]["artifact_sha256"] == "b" * 64
    assert [thing["role"] for thing in facts["results"][0]["evidence"]] == ["report", "segmentation"]
    assert [row["state"] for row in facts["deliveries"]] == ["waiting", "waiting"]
    assert [job["kind"] for job in facts["jobs"]] == ["inference", "delivery"]
    assert "P1" not in json.dumps(facts)


def test_explain_takes_the_uid_of_an_instance(hospital: Any) -> None:
    """A SOP Instance UID adds the facts of that instance."""
    arrival = hospital.arrival()
    hospital.receive(arrival)

    facts = hospital.overview.explain(arrival.header.sop_instance_uid)

    assert (facts["level"], facts["instance"]["sha256"], facts["instance"]["revision"]) == (
        "instance",
        arrival.sha256,
        None,
    )


def test_explain_tells_refusals_and_exclusions(hospital: Any) -> None:
    """Why a series was refused and which instances do not count are among the facts."""
    hospital.install()
    hospital.analysed()
    hospital.receive(hospital.arrival(sop_instance_uid="1.2.3.7.1"), hospital.arrival())
    hospital.settle()
    hospital.queue.complete_not_analysed(hospital.claimed(), WHY, [Refusal("1.2.3.1", WHY)])

    facts = hospital.overview.explain("1.2.3")

    assert [row["excluded_rule"] for row in facts["excluded"]] == ["own-result"]
    assert facts["jobs"][-2]["refusals"] == [
        {"series_instance_uid": "1.2.3.1", "code": WHY.code, "sentence": WHY.sentence}
    ]
    assert [row["revision"] for row in facts["revisions"]] == [1, 2]


def test_explain_knows_what_was_only_set_aside(hospital: Any) -> None:
    """An object in quarantine is explained although its study was never stored."""
    hospital.arrivals.record([], [hospital.quarantined()], [])

    facts = hospital.overview.explain("1.2.3.9")

    assert (facts["level"], facts["study"], len(facts["quarantined"])) == ("quarantined", None, 1)
    assert facts["associations"][0]["calling_ae_title"] == "CT1"


def test_an_unknown_uid_is_named_as_such(hospital: Any) -> None:
    """A UID that no row has raises UnknownRecord, for explain and for report."""
    for question in (hospital.overview.explain, hospital.overview.report):
        with pytest.raises(UnknownRecord):
            question("9.9.9")


def test_the_report_has_text_and_evidence(hospital: Any) -> None:
    """One entry per result, with the digest of every object; none before there is a result."""
    hospital.install()
    hospital.analysed("1.2.4")
    hospital.receive(hospital.arrival())
    assert hospital.overview.report("1.2.3") == []

    [result] = hospital.overview.report("1.2.4")

    assert result["report_text"] == "No finding."
    assert {(thing["role"], thing["sop_instance_uid"], len(thing["sha256"])) for thing in result["evidence"]} == {
        ("report", "1.2.4.7.1", 64),
        ("segmentation", "1.2.4.7.2", 64),
    }
