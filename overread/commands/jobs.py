"""`overread jobs`: look at work, stop it, ask for it again."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from listener.settings import routes_of
from overread.caller import caller
from overread.commands.status import print_jobs, with_overview
from overread.database import existing_database
from overread.plain_text import visible
from overread.settings import Settings, load_settings
from storage.domain.job import Priority
from storage.errors import UnknownRecord
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue

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
def list_jobs() -> None:
    """Every job, newest last."""
    with with_overview(load_settings()) as overview:
        print_jobs(overview.status()["jobs"])


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
