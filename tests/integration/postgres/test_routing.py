"""A study is analysed and delivered as the name says under which it came."""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from click.testing import CliRunner

from overread.commands.jobs import jobs
from storage.domain.association import Door
from storage.domain.explanation import sentences
from storage.domain.job import JobKind, Priority, Reason
from storage.domain.route import Route, Routes, Rule, RuleAttribute, Sender
from storage.domain.series_attributes import SeriesAttributes
from storage.errors import InvalidTransition
from storage.housekeeping.settle_studies import settle_studies
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.study_settlement import PostgresStudySettlement

ROUTES = Routes(
    [Route("LUNG", frozenset({"lungs"}), frozenset({"pacs"})), Route("STAT", priority=Priority.STAT)],
    [Sender("ER1", (ip_network("127.0.0.0/8"),), Priority.STAT)],
)


@pytest.fixture
def queue(hospital: Any) -> Iterator[PostgresJobQueue]:
    """The hospital's queue with the routes."""
    with closing(PostgresJobQueue(hospital.database, hospital.objects, hospital.settings, ROUTES)) as opened:
        yield opened


def test_the_called_title_chooses_algorithms_and_destinations(hospital: Any) -> None:
    """What came under a route gets its algorithm and its destination; what came under our own title gets all."""
    hospital.install("lungs")
    hospital.install("liver")
    routed = hospital.arrival("1.2.3", hospital.association(called_ae_title="LUNG"))
    other = hospital.arrival("1.2.4")
    hospital.receive(routed, other)

    assert settle_studies(hospital.database, 0, ROUTES) == 2

    assert hospital.rows(
        "SELECT study_instance_uid, name FROM job JOIN algorithm ON algorithm.id = algorithm_id "
        "JOIN study ON study.id = study_id ORDER BY 1, 2"
    ) == [("1.2.3", "lungs"), ("1.2.4", "liver"), ("1.2.4", "lungs")]

    queue = PostgresJobQueue(hospital.database, hospital.objects, hospital.settings, ROUTES)
    for _ in range(2):
        job = queue.claim(JobKind.INFERENCE, "worker")
        assert job is not None
        arrivals = [routed] if job.study_instance_uid == "1.2.3" else [other]
        queue.complete_analysed(job, hospital.result(arrivals, str(job.job_id)), ["pacs", "research"])
    queue.close()
    assert set(
        hospital.rows(
            "SELECT study_instance_uid, destination FROM job JOIN study ON study.id = study_id WHERE kind = 'delivery'"
        )
    ) == {("1.2.3", "pacs"), ("1.2.4", "pacs"), ("1.2.4", "research")}


def test_a_study_whose_route_has_no_active_algorithm_says_why_not(hospital: Any) -> None:
    """Silence is no answer: the study is not analysed, with the reason."""
    hospital.install("liver")
    hospital.receive(hospital.arrival("1.2.3", hospital.association(called_ae_title="LUNG")))

    assert settle_studies(hospital.database, 0, ROUTES) == 1

    [study] = hospital.overview.status()["studies"]
    assert (study["state"], study["reason_code"]) == ("not-analysed", "no-algorithm")


@pytest.mark.parametrize(
    ("association", "told"),
    [
        ({"called_ae_title": "STAT"}, "[[listener.routes]] gives it to what comes under STAT."),
        ({"calling_ae_title": "ER1"}, "[[listener.peers]] gives it to what ER1 sends."),
    ],
)
def test_what_is_stat_by_its_route_or_its_sender_is_claimed_and_delivered_first(
    hospital: Any, queue: PostgresJobQueue, association: dict[str, str], told: str
) -> None:
    """It overtakes what waits, so does its delivery, and audit and explain say who said so; its shadow stays low."""
    hospital.install()
    hospital.algorithms.add(hospital.registered("lungs", "2"), "tester")
    hospital.algorithms.shadow("lungs", "2", "tester")
    urgent = hospital.arrival("1.2.4", hospital.association(**association))
    hospital.receive(hospital.arrival("1.2.3"))
    settle_studies(hospital.database, 0, ROUTES)
    hospital.receive(urgent)
    settle_studies(hospital.database, 0, ROUTES)

    job = queue.claim(JobKind.INFERENCE, "worker")

    assert job is not None
    assert job.study_instance_uid == "1.2.4"
    queue.complete_analysed(job, hospital.result([urgent]), ["pacs"])
    assert hospital.rows(
        "SELECT kind, shadow, priority FROM job JOIN study ON study.id = study_id WHERE study_instance_uid = '1.2.4' "
        "ORDER BY job.id"
    ) == [("inference", False, "stat"), ("inference", True, "low"), ("delivery", False, "stat")]
    assert hospital.rows(
        "SELECT details->>'priority', details->>'because' FROM audit_event "
        "WHERE job_id = %s AND action = 'job-scheduled'",
        job.job_id,
    ) == [("stat", told)]
    assert f"lungs 1 has the priority stat here: {told}" in list(sentences(hospital.overview.explain("1.2.4")))
    assert "priority" not in " ".join(sentences(hospital.overview.explain("1.2.3")))


def test_who_says_that_a_study_is_complete_does_not_change_its_route(hospital: Any) -> None:
    """What an account has analysed at once gets the algorithms and the priority of the way by which it came."""
    hospital.install("liver")
    hospital.install("lungs")
    routed = hospital.arrival("1.2.3", hospital.association(called_ae_title="LUNG", calling_ae_title="ER1"))
    hospital.receive(routed)

    settlement = PostgresStudySettlement(hospital.database, ROUTES)
    assert settlement.settle_now("1.2.3", [routed.header.sop_instance_uid], "researcher")

    assert hospital.rows("SELECT name, priority FROM job JOIN algorithm ON algorithm.id = algorithm_id") == [
        ("lungs", "stat")
    ]


def test_a_submitted_study_goes_by_its_route_unless_an_operator_says_otherwise(
    hospital: Any, queue: PostgresJobQueue
) -> None:
    """What the route leaves out runs only if it is named, and the priority is the asked one; explain says who asked."""
    routed = hospital.arrival("1.2.3", hospital.association(called_ae_title="LUNG"))
    hospital.receive(routed)
    settle_studies(hospital.database, 0, ROUTES)
    hospital.install("liver")

    with pytest.raises(InvalidTransition, match=r"leads to lungs only.*--algorithm"):
        queue.submit("1.2.3", "operator")
    with pytest.raises(InvalidTransition, match="None of spleen is active"):
        queue.submit("1.2.3", "operator", algorithms=["spleen"])
    assert hospital.rows("SELECT count(*) FROM job") == [(0,)]

    (job_id,) = queue.submit("1.2.3", "operator", algorithms=["liver"], priority=Priority.STAT)

    assert hospital.rows("SELECT id, priority FROM job") == [(job_id, "stat")]
    told = list(sentences(hospital.overview.explain("1.2.3")))
    assert "liver 1 has the priority stat here: An operator asked for it." in told


def test_a_submitted_study_has_the_priority_of_its_route(hospital: Any, queue: PostgresJobQueue) -> None:
    """An algorithm added since is as urgent as those before."""
    hospital.receive(hospital.arrival("1.2.3", hospital.association(called_ae_title="STAT")))
    settle_studies(hospital.database, 0, ROUTES)
    hospital.install("lungs")

    queue.submit("1.2.3", "operator")

    assert hospital.rows("SELECT priority FROM job") == [("stat",)]


def test_a_job_that_becomes_urgent_waits_for_no_next_attempt(hospital: Any, queue: PostgresJobQueue) -> None:
    """What was put off for an hour is claimed at once; one that becomes less urgent is put off as before."""
    hospital.install()
    hospital.stable_study("1.2.3")
    job = hospital.claimed()
    queue.retry(job, Reason("away", "Away."), timedelta(hours=1))
    queue.prioritise(job.job_id, Priority.LOW, "alice")
    assert queue.claim(JobKind.INFERENCE, "worker") is None

    queue.prioritise(job.job_id, Priority.STAT, "alice")

    assert hospital.claimed().job_id == job.job_id


def test_a_job_that_waits_gets_another_priority(hospital: Any, queue: PostgresJobQueue) -> None:
    """A STAT that is known late overtakes with a turn in its own line; audit and explain say so."""
    hospital.install()
    for number in range(3):
        hospital.stable_study(f"1.2.{number}")
    [(last,)] = hospital.rows("SELECT max(id) FROM job")

    queue.prioritise(last, Priority.STAT, "alice")

    assert hospital.rows("SELECT priority, turn FROM job WHERE id = %s", last) == [("stat", 0)]
    assert hospital.claimed().job_id == last
    assert hospital.rows(
        "SELECT actor, details->>'before', details->>'priority' FROM audit_event WHERE action = 'job-prioritised'"
    ) == [("alice", "routine", "stat")]
    told = list(sentences(hospital.overview.explain("1.2.2")))
    assert "lungs 1 has the priority stat here: An operator asked for it." in told


def test_a_job_keeps_its_place_when_it_has_the_priority_already(hospital: Any, queue: PostgresJobQueue) -> None:
    """Asking twice neither puts it behind others nor writes a row."""
    hospital.install()
    for number in range(3):
        hospital.stable_study(f"1.2.{number}")
    [(first,)] = hospital.rows("SELECT min(id) FROM job")

    queue.prioritise(first, Priority.ROUTINE, "alice")

    assert hospital.claimed().job_id == first
    assert hospital.audited("job-prioritised") == 0


def test_a_job_that_does_not_wait_or_runs_in_shadow_keeps_its_priority(hospital: Any, queue: PostgresJobQueue) -> None:
    """What is under way or over cannot be done sooner, and shadows come after all other work."""
    hospital.install()
    hospital.algorithms.add(hospital.registered("lungs", "2"), "tester")
    hospital.algorithms.shadow("lungs", "2", "tester")
    hospital.stable_study()
    job = hospital.claimed()
    [(shadow,)] = hospital.rows("SELECT id FROM job WHERE shadow")

    with pytest.raises(InvalidTransition, match=f"Job {job.job_id} is in_progress"):
        queue.prioritise(job.job_id, Priority.STAT, "alice")
    with pytest.raises(InvalidTransition, match="shadow"):
        queue.prioritise(shadow, Priority.STAT, "alice")
    assert hospital.audited("job-prioritised") == 0


def test_the_command_line_submits_and_prioritises(hospital: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator names algorithm and priority, and gives what waits another one; what is no priority is refused."""
    monkeypatch.setenv("OVERREAD_CONFIG", os.devnull)
    monkeypatch.setenv("OVERREAD_DATABASE_URL", hospital.url)
    monkeypatch.setenv("OVERREAD_LISTENER_ROUTES", '[{"ae_title": "LUNG", "algorithms": ["lungs"]}]')
    hospital.receive(hospital.arrival("1.2.3", hospital.association(called_ae_title="LUNG")))
    settle_studies(hospital.database, 0, ROUTES)
    hospital.install("liver")

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(jobs, words)
        return done.exit_code, done.output or str(done.exception)

    assert "leads to lungs only" in run("submit", "1.2.3")[1]
    assert run("submit", "1.2.3", "--algorithm", "liver", "--priority", "low") == (0, "Job 1 is scheduled.\n")
    assert run("prioritise", "1", "STAT") == (0, "Job 1 has the priority stat.\n")
    assert run("prioritise", "1", "urgent")[0] == 2
    assert hospital.rows("SELECT priority FROM job") == [("stat",)]
    assert "inference (stat)" in run("list")[1]


RULES = Routes(
    [
        Route(
            "OVERREAD", frozenset({"lungs"}), frozenset({"pacs"}), rules=(Rule(RuleAttribute.STATION_NAME, ("CT*",)),)
        ),
        Route("OVERREAD", frozenset({"liver"})),
    ]
)


def test_what_the_images_say_chooses_algorithms_and_destinations(hospital: Any) -> None:
    """The first instance of a series is believed, explain says which entry was chosen, and the result goes its way."""
    hospital.install("lungs")
    hospital.install("liver")
    first, second = hospital.arrival("1.2.3"), hospital.arrival("1.2.3")
    first = replace(first, attributes=SeriesAttributes(station_name="CT7", study_description="JANE DOE"))
    hospital.receive(first)
    hospital.receive(replace(second, attributes=SeriesAttributes(station_name="MR1")))
    hospital.receive(replace(hospital.arrival("1.2.4"), attributes=SeriesAttributes(station_name="MR1")))
    hospital.receive(hospital.arrival("1.2.5"))  # as of an earlier release

    assert settle_studies(hospital.database, 0, RULES) == 3

    assert hospital.rows(
        "SELECT study_instance_uid, name FROM job JOIN algorithm ON algorithm.id = algorithm_id "
        "JOIN study ON study.id = study_id ORDER BY 1, 2"
    ) == [("1.2.3", "lungs"), ("1.2.4", "liver"), ("1.2.5", "liver")]
    told = " ".join(sentences(hospital.overview.explain("1.2.3")))
    assert "goes by entry 1 of [[listener.routes]], because station_name is CT*: to the algorithms lungs only" in told
    assert "JANE DOE" not in told
    assert "goes by entry 2" in " ".join(sentences(hospital.overview.explain("1.2.4")))
    with closing(PostgresJobQueue(hospital.database, hospital.objects, hospital.settings, RULES)) as queue:
        job = queue.claim(JobKind.INFERENCE, "worker")
        assert job is not None
        assert job.study_instance_uid == "1.2.3"
        queue.complete_analysed(job, hospital.result([first]), ["pacs", "research"])
    assert hospital.rows("SELECT destination FROM job WHERE kind = 'delivery'") == [("pacs",)]


def test_images_that_say_stat_are_analysed_first(hospital: Any) -> None:
    """A scanner that repeats the worklist's priority needs no route; the word of one series is enough."""
    hospital.install()
    hospital.stable_study("1.2.3")
    hospital.receive(
        hospital.arrival("1.2.4"),
        replace(
            hospital.arrival("1.2.4", series_instance_uid="1.2.4.2"),
            attributes=SeriesAttributes(requested_procedure_priority="STAT"),
        ),
    )
    settle_studies(hospital.database, 0, ROUTES)

    assert hospital.claimed().study_instance_uid == "1.2.4"
    assert "Its images say so" in " ".join(sentences(hospital.overview.explain("1.2.4")))


def test_what_comes_over_the_web_goes_by_an_entry_of_its_own(hospital: Any) -> None:
    """The account that sent it is what a rule asks for."""
    hospital.install("lungs")
    hospital.install("liver")
    routes = Routes([Route("", frozenset({"liver"}), rules=(Rule(RuleAttribute.ACCOUNT, ("trial",)),))])
    web = {"called_ae_title": "", "calling_ae_title": "", "door": Door.WEB}
    hospital.receive(
        hospital.arrival("1.2.3", hospital.association(account="trial", **web)),
        hospital.arrival("1.2.4", hospital.association(account="clinic", **web)),
    )

    assert settle_studies(hospital.database, 0, routes) == 2

    assert hospital.rows(
        "SELECT study_instance_uid, name FROM job JOIN algorithm ON algorithm.id = algorithm_id "
        "JOIN study ON study.id = study_id ORDER BY 1, 2"
    ) == [("1.2.3", "liver"), ("1.2.4", "liver"), ("1.2.4", "lungs")]
