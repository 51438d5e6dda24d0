"""Senders are served in turn: a flood of one of them does not hold up the single study of another."""

import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from overread.commands.jobs import jobs
from storage.domain.association import Door
from storage.domain.job import ClaimedJob, JobKind, Reason
from storage.housekeeping.rescue_leases import rescue_leases

WHY = Reason("test", "A test wanted it.")
_numbers = itertools.count(1)


def send(hospital: Any, sender: str, studies: int = 1, **association: Any) -> None:
    """Studies of one image each arrive over one association and become stable."""
    opened = hospital.association(calling_ae_title=sender, **association)
    hospital.receive(*(hospital.arrival(f"1.2.{next(_numbers)}", opened) for _ in range(studies)))
    assert hospital.settle() == studies


def sources(hospital: Any, claims: int) -> list[str]:
    """Who sent the studies of the next jobs that are claimed."""
    return [source(hospital, hospital.claimed()) for _ in range(claims)]


def source(hospital: Any, job: ClaimedJob) -> str:
    """Who sent the study of a job."""
    return str(hospital.rows("SELECT source FROM job WHERE id = %s", job.job_id)[0][0])


def turn(hospital: Any, job_id: int) -> int:
    """The turn of a job."""
    return int(hospital.rows("SELECT turn FROM job WHERE id = %s", job_id)[0][0])


def newest_turn(hospital: Any) -> int:
    """The turn of the job that was scheduled last."""
    return int(hospital.rows("SELECT turn FROM job ORDER BY id DESC LIMIT 1")[0][0])


def test_a_single_study_does_not_wait_behind_a_flood(hospital: Any) -> None:
    """Two hundred studies of one peer wait; that of another, which comes last, is claimed first or second."""
    hospital.install()
    send(hospital, "FLOOD", 200)
    sources(hospital, 5)

    send(hospital, "CT2")

    assert "CT2" in sources(hospital, 2)


def test_senders_with_unequal_loads_get_equal_turns(hospital: Any) -> None:
    """While all three have work each is served once in every round, whoever came first and whoever sent most."""
    hospital.install()
    send(hospital, "CT1", 60)
    send(hospital, "CT2", 30)
    send(hospital, "CT3", 10)

    rounds = [Counter(sources(hospital, 3)) for _ in range(10)]

    assert rounds == [Counter(CT1=1, CT2=1, CT3=1)] * 10
    assert Counter(sources(hospital, 40)) == Counter(CT1=20, CT2=20)
    assert sources(hospital, 30) == ["CT1"] * 30


def test_a_sender_that_was_silent_has_saved_nothing_up(hospital: Any) -> None:
    """Who comes late to a line that has moved on joins at its front, and does not catch up on turns of before."""
    hospital.install()
    send(hospital, "CT1", 40)
    sources(hospital, 20)

    send(hospital, "CT2", 10)

    assert Counter(sources(hospital, 10)) == Counter(CT1=5, CT2=5)


def test_a_sender_alone_is_served_first_come_first_served(hospital: Any) -> None:
    """Nothing changes for a hospital with one sender, while the line moves and grows."""
    hospital.install()
    scheduled: list[int] = []
    claimed: list[int] = []
    for _ in range(4):
        for _ in range(3):
            send(hospital, "CT1")
            scheduled += [job for (job,) in hospital.rows("SELECT max(id) FROM job")]
        claimed += [hospital.claimed().job_id for _ in range(2)]
    while (job := hospital.queue.claim(JobKind.INFERENCE, "worker")) is not None:
        claimed.append(job.job_id)

    assert claimed == scheduled


def test_stat_goes_before_routine_whatever_its_turn(hospital: Any) -> None:
    """The most urgent is claimed first even from the end of the longest line."""
    hospital.install()
    send(hospital, "FLOOD", 20)
    send(hospital, "CT2")
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    hospital.rows("UPDATE job SET priority = 'stat' WHERE turn = 19")

    assert turn(hospital, hospital.claimed().job_id) == 19


def test_each_priority_has_a_line_of_its_own(hospital: Any) -> None:
    """What a sender has waiting at low priority does not put its routine studies back."""
    hospital.install()
    send(hospital, "CT1", 5)
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    hospital.rows("UPDATE job SET priority = 'low'")

    send(hospital, "CT1")

    assert newest_turn(hospital) == 0


def test_workers_that_claim_at_once_stay_fair(open_hospital: Callable[..., Any]) -> None:
    """Two workers share two senders' jobs: none is taken twice, and the smaller load ends about halfway."""
    hospitals = [open_hospital() for _ in range(2)]
    hospitals[0].install()
    send(hospitals[0], "FLOOD", 60)
    send(hospitals[0], "CT2", 10)
    barrier = threading.Barrier(len(hospitals))
    taken: list[int] = []

    def work(hospital: Any) -> None:
        barrier.wait()
        while (job := hospital.queue.claim(JobKind.INFERENCE, "worker")) is not None:
            taken.append(job.job_id)

    threads = [threading.Thread(target=work, args=[hospital]) for hospital in hospitals]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(taken) == [job for (job,) in hospitals[0].rows("SELECT id FROM job ORDER BY id")]
    order = [name for (name,) in hospitals[0].rows("SELECT source FROM job ORDER BY started_at, id")]
    assert order[:24].count("CT2") == 10


def _retry(hospital: Any, job: ClaimedJob) -> None:
    hospital.queue.retry(job, WHY, timedelta(0))


def _rescue(hospital: Any, job: ClaimedJob) -> None:
    hospital.rows("UPDATE job SET lease_expires_at = now() - interval '1 second' WHERE id = %s", job.job_id)
    assert rescue_leases(hospital.database, hospital.settings) == 1
    hospital.rows("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    hospital.rows("UPDATE job SET due_at = now() WHERE id = %s", job.job_id)  # the pause before it is over


@pytest.mark.parametrize("give_back", [_retry, _rescue])
def test_a_job_given_back_waits_at_the_front(hospital: Any, give_back: Callable[..., None]) -> None:
    """It neither overtakes those who are there nor waits behind a flood: its next attempt is within one round."""
    hospital.install()
    send(hospital, "CT1", 40)
    send(hospital, "CT2", 40)
    first = hospital.claimed()
    sources(hospital, 21)

    give_back(hospital, first)

    assert turn(hospital, first.job_id) == 11
    assert first.job_id in [hospital.claimed().job_id for _ in range(3)]


def test_a_job_given_back_to_a_new_line_is_not_behind_all_of_it(hospital: Any) -> None:
    """The line ran empty and began anew while the job was tried; its turn of before would be far behind."""
    hospital.install()
    send(hospital, "CT1", 20)
    sources(hospital, 19)
    last = hospital.claimed()
    send(hospital, "FLOOD", 30)

    hospital.queue.retry(last, WHY, timedelta(0))

    assert last.job_id in [hospital.claimed().job_id for _ in range(2)]


def test_a_newcomer_does_not_slip_in_beside_a_job_that_waits_for_its_second_attempt(hospital: Any) -> None:
    """The line has moved on since that job was given back; a newcomer starts where the line is now."""
    hospital.install()
    send(hospital, "CT1", 20)
    hospital.queue.retry(hospital.claimed(), WHY, timedelta(hours=1))
    sources(hospital, 9)

    send(hospital, "CT2")

    assert newest_turn(hospital) == 10


def test_a_new_line_does_not_overtake_a_job_that_waits_for_its_second_attempt(hospital: Any) -> None:
    """When nothing else waits, newcomers start beside that job and not before it."""
    hospital.install()
    send(hospital, "CT1", 20)
    sources(hospital, 10)
    hospital.queue.retry(hospital.claimed(), WHY, timedelta(hours=1))
    sources(hospital, 9)

    send(hospital, "FLOOD", 2)

    assert hospital.rows("SELECT turn FROM job WHERE source = 'FLOOD' ORDER BY id") == [(11,), (12,)]


def test_each_algorithm_on_a_study_takes_a_turn(hospital: Any) -> None:
    """Turns count work: a study with two algorithms is two pieces of it."""
    hospital.install("lungs")
    hospital.install("liver")

    send(hospital, "CT1", 2)

    assert hospital.rows("SELECT name, turn FROM job JOIN algorithm ON algorithm.id = algorithm_id ORDER BY turn") == [
        ("liver", 0),
        ("lungs", 1),
        ("liver", 2),
        ("lungs", 3),
    ]


def test_a_resubmitted_job_joins_the_line_of_who_sent_the_study(hospital: Any) -> None:
    """What a person has done again for one sender waits behind that sender's own studies."""
    hospital.install()
    send(hospital, "FLOOD", 10)
    job = hospital.claimed()
    hospital.queue.cancel(job.job_id, "operator")

    again = hospital.queue.resubmit(job.job_id, "operator")

    assert hospital.rows("SELECT source, turn FROM job WHERE id = %s", again) == [("FLOOD", 10)]


def test_a_submitted_study_joins_the_line_of_who_sent_it(hospital: Any) -> None:
    """What a person has analysed after all takes the turn that its sender has."""
    arrival = hospital.arrival("1.2.3", hospital.association(calling_ae_title="CT2"))
    hospital.receive(arrival)
    hospital.settle()
    hospital.install()
    send(hospital, "FLOOD", 10)
    sources(hospital, 4)

    [job] = hospital.queue.submit("1.2.3", "operator")

    assert hospital.rows("SELECT source, turn FROM job WHERE id = %s", job) == [("CT2", 4)]


def test_the_source_is_who_brought_the_first_instance_of_the_revision(hospital: Any) -> None:
    """Titles count without their padding, the web by its account, and each revision by what was new in it."""
    hospital.install()
    hospital.receive(hospital.arrival("1.2.3", hospital.association(calling_ae_title=" CT1 ")))
    hospital.receive(hospital.arrival("1.2.3", hospital.association(calling_ae_title="CT2")))
    hospital.settle()
    hospital.receive(
        hospital.arrival("1.2.3", hospital.association(calling_ae_title="", door=Door.WEB, account="research"))
    )
    hospital.settle()

    assert hospital.rows("SELECT revision, source FROM job ORDER BY id") == [(1, "CT1"), (2, "research")]


def test_the_source_is_shown_and_cannot_act_on_the_terminal(hospital: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`overread jobs show` says who sent the study and where it stands; a title is text from anybody."""
    monkeypatch.setenv("OVERREAD_CONFIG", os.devnull)
    monkeypatch.setenv("OVERREAD_DATABASE_URL", hospital.url)
    hospital.install()
    send(hospital, "CT\x1b[2J")

    shown = CliRunner().invoke(jobs, ["show", "1"], catch_exceptions=False).output

    assert dict(line.split(None, 1) for line in shown.splitlines() if line.startswith(("source", "turn"))) == {
        "source": r"CT\u001b[2J",
        "turn": "0",
    }


def test_deliveries_have_no_turns(hospital: Any) -> None:
    """A delivery goes by the time at which it is due, also when it is given back."""
    hospital.install()
    hospital.analysed("1.2.3")
    send(hospital, "FLOOD", 3)
    sources(hospital, 2)
    delivery = hospital.claimed(JobKind.DELIVERY)

    hospital.queue.retry(delivery, WHY, timedelta(0))

    assert hospital.rows("SELECT source, turn FROM job WHERE kind = 'delivery'") == [("", 0)]
