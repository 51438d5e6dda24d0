"""The job lifecycle exists three times: in the domain, in the database and on its page; here they are held equal."""

import contextlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest

from storage.domain.job import TRANSITIONS, JobEvent, JobState

_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "job-lifecycle.md"
_AS_TEXT = {(str(state), str(event), str(after)) for (state, event), after in TRANSITIONS.items()}


@pytest.fixture
def cursor(database_url: str) -> Iterator[Any]:
    """A cursor that commits at once, over a stable study with one algorithm."""
    with contextlib.closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as opened:
            opened.execute(
                "INSERT INTO study (study_instance_uid, patient_id, issuer_of_patient_id, accession_number, revision) "
                "VALUES ('1.2.3', '', '', '', 1);"
                "INSERT INTO study_revision (study_id, revision) VALUES (1, 1);"
                "INSERT INTO algorithm (name, version, stage, folder, manifest_sha256, artifact_sha256) "
                "VALUES ('lungs', '1', 'active', '', repeat('a', 64), repeat('b', 64))"
            )
            yield opened


_SCHEDULE = "INSERT INTO job (kind, study_id, revision, algorithm_id) VALUES ('inference', 1, 1, 1)"
_MOVE = """
UPDATE job SET state = %(state)s, attempt = 1, started_at = now(),
    lease_token = CASE WHEN %(state)s = 'in_progress' THEN gen_random_uuid() END,
    lease_expires_at = CASE WHEN %(state)s = 'in_progress' THEN now() END,
    finished_at = CASE WHEN %(state)s IN ('completed', 'failed', 'canceled') THEN now() END,
    outcome = CASE WHEN %(state)s = 'completed' THEN 'analysed' END,
    reason_code = 'why', reason_sentence = 'Because.'
"""


def test_the_page_has_the_table_of_the_domain() -> None:
    """Each row of the page is a transition of the domain, and none is missing."""
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \| .+ \|$", _PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert {row for row in rows if row[0] != "from"} == _AS_TEXT


def test_the_database_has_the_table_of_the_domain(cursor: Any) -> None:
    """The rows that the trigger reads are the domain's transitions."""
    cursor.execute("SELECT from_state, event, to_state FROM job_transition")

    assert set(cursor.fetchall()) == _AS_TEXT


def test_every_event_of_the_domain_can_happen() -> None:
    """No event is without a row."""
    assert {event for _, event in TRANSITIONS} == set(JobEvent)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(JobState, JobState)))
def test_the_database_moves_a_job_exactly_as_the_domain_allows(cursor: Any, before: JobState, after: JobState) -> None:
    """Every pair of states is tried; a change outside the table is refused by the trigger."""
    allowed = any((state, to) == (before, after) for (state, _), to in TRANSITIONS.items())
    cursor.execute(_SCHEDULE)
    cursor.execute("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")
    cursor.execute(_MOVE, {"state": str(before)})
    cursor.execute("ALTER TABLE job ENABLE TRIGGER job_follows_lifecycle")

    with contextlib.nullcontext() if allowed else pytest.raises(psycopg2.errors.CheckViolation, match="may not go"):
        cursor.execute(_MOVE, {"state": str(after)})

    cursor.execute("SELECT state FROM job")
    assert cursor.fetchone() == (str(after if allowed else before),)


def test_a_job_begins_as_scheduled(cursor: Any) -> None:
    """A job cannot be made in any other state."""
    with pytest.raises(psycopg2.errors.CheckViolation, match="a new job is scheduled"):
        cursor.execute(
            "INSERT INTO job (kind, study_id, revision, algorithm_id, state, finished_at, reason_code, reason_sentence)"
            "VALUES ('inference', 1, 1, 1, 'canceled', now(), 'why', 'Because.')"
        )


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'paused'", "job_state_known"),
        ("kind = 'errand'", "job_kind_known"),
        ("priority = 'urgent', priority_rank = DEFAULT", "priority_rank"),
        ("lease_token = gen_random_uuid()", "job_leased_while_in_progress"),
        ("lease_expires_at = now()", "job_leased_while_in_progress"),
        ("state = 'in_progress'", "job_leased_while_in_progress"),
        ("finished_at = now()", "job_finished_when_final"),
        ("state = 'canceled', reason_code = 'why', reason_sentence = 'Because.'", "job_finished_when_final"),
        ("state = 'canceled', finished_at = now()", "job_no_silent_end"),
        ("state = 'failed', finished_at = now()", "job_no_silent_end"),
        ("state = 'completed', finished_at = now()", "job_outcome_when_completed"),
        ("state = 'completed', finished_at = now(), outcome = 'not-analysed'", "job_no_silent_end"),
        ("outcome = 'analysed'", "job_outcome_when_completed"),
        ("reason_code = 'why'", "job_reason_is_whole"),
        ("attempt = 1", "job_started_when_attempted"),
        ("destination = 'pacs'", "job_names_its_work"),
        ("algorithm_id = NULL", "job_names_its_work"),
        ("kind = 'delivery'", "job_names_its_work"),
        ("kind = 'notice'", "job_names_its_work"),
        ("about_id = 1", "job_names_its_work"),
        ("kind = 'notice', about_id = 99", "job_about_id_fkey"),
    ],
)
def test_a_row_that_makes_no_sense_is_refused(cursor: Any, change: str, constraint: str) -> None:
    """Each invariant of a job is a constraint with a name that an error can tell."""
    cursor.execute(_SCHEDULE)
    cursor.execute("ALTER TABLE job DISABLE TRIGGER job_follows_lifecycle")

    with pytest.raises(psycopg2.errors.IntegrityError, match=constraint):
        cursor.execute("UPDATE job SET " + change)  # noqa: S608 - the words above


def test_one_inference_per_study_revision_and_algorithm(cursor: Any) -> None:
    """A second job for the same work must name its predecessor, and a job has one successor at most."""
    cursor.execute(_SCHEDULE)
    again = _SCHEDULE.replace("algorithm_id)", "algorithm_id, predecessor_id)").replace("1, 1, 1)", "1, 1, 1, 1)")

    with pytest.raises(psycopg2.errors.UniqueViolation, match="job_one_inference"):
        cursor.execute(_SCHEDULE)
    cursor.execute(again)
    with pytest.raises(psycopg2.errors.UniqueViolation, match="job_predecessor_id_key"):
        cursor.execute(again)
