"""`overread jobs`: look at work, stop it, ask for it again."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from listener.settings import routes_of
from overread.caller import caller
from overread.commands.status import print_jobs, with_overview
from overread.database import existing_database
from overread.plain_text import visible
from overread.settings import Settings, load_settings
from storage.domain.job import JobKind, JobState, Priority
from storage.errors import UnknownRecord
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue

_STATE = click.Choice([str(state) for state in JobState], case_sensitive=False)
_KIND = click.Choice([str(kind) for kind in JobKind], case_sensitive=False)
_PRIORITY = click.Choice([str(priority) for priority in Priority], case_sensitive=False)


@contextmanager
def _queue(settings: Settings, url: str) -> Iterator[PostgresJobQueue]:
    database = open_database(url, "overread jobs")
    try:
        objects = ObjectStore(DataFolder(settings.data_dir))
        yield PostgresJobQueue(database, objects, settings.jobs, routes_of(settings.listener))
    finally:
        database.close()


@click.group()
def jobs() -> None:
    """List, show, submit, prioritise, cancel and resubmit jobs."""


@jobs.command("list")
@click.option("--state", "states", type=_STATE, multiple=True, help="Only jobs in this state; may be repeated.")
@click.option("--kind", "kinds", type=_KIND, multiple=True, help="Only jobs of this kind; may be repeated.")
@click.option("--study", metavar="UID", help="Only jobs of this Study Instance UID.")
@click.option("--algorithm", metavar="NAME", help="Only jobs of this algorithm, of all its versions.")
@click.option("--code", help="Only jobs whose reason has this code, such as out-of-memory.")
@click.option("--last", type=click.IntRange(min=1), help="Only the newest so many of them.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array, with the reasons.")
def list_jobs(as_json: bool, last: int | None, **wanted: Any) -> None:  # noqa: ANN401 - the options above
    """Every job, or those that all options name, newest last."""
    with with_overview(load_settings()) as overview:
        found = [job for job in overview.status()["jobs"] if _is_wanted(job, **wanted)]
    found = found[-last:] if last else found
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    print_jobs(found)


def _is_wanted(
    job: Mapping[str, Any],
    states: Sequence[str],
    kinds: Sequence[str],
    study: str | None,
    algorithm: str | None,
    code: str | None,
) -> bool:
    name = (job["algorithm"] or "").rpartition(" ")[0]  # a version has no space
    asked = (
        (states, job["state"]),
        (kinds, job["kind"]),
        (study and [study], job["study_instance_uid"]),
        (algorithm and [algorithm], name),
        (code and [code], job["reason_code"]),
    )
    return all(not wanted or has in wanted for wanted, has in asked)


@jobs.command()
@click.argument("job_id", type=int)
def show(job_id: int) -> None:
    """One job with everything known about it."""
    with with_overview(load_settings()) as overview:
        for job in overview.status()["jobs"]:
            if job["id"] == job_id:
                for key, value in job.items():
                    click.echo(f"{key:22} {'' if value is None else visible(str(value))}")
                return
    raise UnknownRecord(f"No job {job_id} is known; `overread jobs list` shows those there are.")


@jobs.command()
@click.argument("job_id", type=int)
def cancel(job_id: int) -> None:
    """Stop a job that is scheduled or in progress."""
    settings = load_settings()
    with existing_database(settings) as url, _queue(settings, url) as queue:
        queue.cancel(job_id, caller())
    click.echo(f"Job {job_id} is canceled.")


@jobs.command()
@click.argument("study_instance_uid")
@click.option("--algorithm", "algorithms", multiple=True, metavar="NAME", help="Only this one; may be repeated.")
@click.option("--priority", type=_PRIORITY, help="Instead of the one that the study's route gives.")
def submit(study_instance_uid: str, algorithms: tuple[str, ...], priority: str | None) -> None:
    """Have a study analysed by the active algorithms that have not looked at it, such as one added since.

    They are those of the study's route, unless others are named. Versions in shadow look at it too, after all other
    work.
    """
    settings = load_settings()
    with existing_database(settings) as url, _queue(settings, url) as queue:
        asked = None if priority is None else Priority(priority)
        for job_id in queue.submit(study_instance_uid, caller(), algorithms=algorithms, priority=asked):
            click.echo(f"Job {job_id} is scheduled.")


@jobs.command()
@click.argument("job_id", type=int)
@click.argument("priority", type=_PRIORITY)
def prioritise(job_id: int, priority: str) -> None:
    """Have a job that waits done with another priority: stat before routine before low.

    Its results are delivered with the same one.
    """
    settings = load_settings()
    with existing_database(settings) as url, _queue(settings, url) as queue:
        queue.prioritise(job_id, Priority(priority), caller())
    click.echo(f"Job {job_id} has the priority {priority}.")


@jobs.command()
@click.argument("job_id", type=int)
def resubmit(job_id: int) -> None:
    """Do the work of a finished job again, as a new job that names it as its predecessor."""
    settings = load_settings()
    with existing_database(settings) as url, _queue(settings, url) as queue:
        new_id = queue.resubmit(job_id, caller())
    click.echo(f"Job {new_id} is scheduled; it does the work of job {job_id} again.")
