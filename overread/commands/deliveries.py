"""`overread deliveries`: how far each object is, and asking again whether it arrived."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from overread.caller import caller
from overread.commands.status import output_console
from overread.database import existing_database
from overread.settings import Settings, load_settings
from storage.domain.delivery import how_far
from storage.domain.job import JobKind, JobState
from storage.errors import UnknownRecord
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.postgres.job_queue import PostgresJobQueue
from storage.postgres.proof_rows import PostgresProofs
from storage.postgres.site_reading import PostgresSiteReading

_STYLES = {"committed": "green", "found": "green", "refused": "red", "lost": "red", "unproven": "red"}
_SHOWN = 200
_MOST_RETRIED = 10_000


@click.group()
def deliveries() -> None:
    """List what was sent where and whether it is proven to be there, and have it asked again."""


@deliveries.command("list")
@click.option("--unproven", is_flag=True, help="Only what is not there, or not proven to be there where that is asked.")
@click.option("--destination", default=None, metavar="NAME", help="Only of this destination.")
@click.option(
    "--most", type=click.IntRange(1, 100_000), default=_SHOWN, show_default=True, help="So many, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_deliveries(unproven: bool, destination: str | None, most: int, as_json: bool) -> None:
    """Tell how far each object on its way to a destination is, from waiting to found, committed, lost or unproven."""
    settings = load_settings()
    with _proofs(settings) as proofs:
        found = proofs.arrivals(destination=destination, unproven=unproven, rows=most + 1)
    rows = [
        {"arrival": how_far(row["state"], row["attempts"], row["status"], row["proof_state"], row["proof_way"]), **row}
        for row in found[:most]
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not rows:
        click.echo("Nothing is unproven." if unproven else "Nothing was sent anywhere yet.")
        never = [
            each.name for each in settings.destinations if each.proof == "none" and destination in (None, each.name)
        ]
        if unproven and never:
            click.echo(f"What {', '.join(never)} acknowledged is not proven either: proof is none there.")
        return
    _print(rows)
    if len(found) > most:
        click.echo("… and older ones; --most shows more.")


@deliveries.command()
@click.option("--destination", default=None, metavar="NAME", help="Only what this destination acknowledged.")
def prove(destination: str | None) -> None:
    """Ask again for what is unproven, and for what was acknowledged before the destination was to prove it."""
    settings = load_settings()
    asked = {place.name: place.proof_wish() for place in settings.destinations}
    places = [name for name, wish in asked.items() if wish is not None and destination in (None, name)]
    if not places:
        which = "destination" if destination is None else f"destination {destination}"
        raise UnknownRecord(f'No {which} is to prove arrival; set proof = "query" in its [[destinations]] entry.')
    with _proofs(settings) as proofs:
        number = sum(proofs.reopen(place, caller(), wish) for place in places if (wish := asked[place]) is not None)
    click.echo(f"{number} {'object is' if number == 1 else 'objects are'} asked about again.")


@deliveries.command()
@click.option("--destination", default=None, metavar="NAME", help="Only those to this destination.")
def retry(destination: str | None) -> None:
    """Send again what deliveries that were given up still owe, once the destination works."""
    settings = load_settings()
    with existing_database(settings) as url:
        database = open_database(url, "overread deliveries")
        try:
            failed = PostgresSiteReading(database).jobs(
                state=JobState.FAILED, kind=JobKind.DELIVERY, rows=_MOST_RETRIED
            )
            again = [job for job in reversed(failed) if job["resubmittable"] and destination in (None, job["what"])]
            queue = PostgresJobQueue(database, ObjectStore(DataFolder(settings.data_dir)), settings.jobs)
            for job in again:
                new_id = queue.resubmit(job["id"], caller())
                click.echo(
                    f"Job {new_id} is scheduled; it does the delivery of job {job['id']} to {job['what']} again."
                )
        finally:
            database.close()
    if not again:
        click.echo("No delivery was given up.")


@contextmanager
def _proofs(settings: Settings) -> Iterator[PostgresProofs]:
    with existing_database(settings) as url:
        database = open_database(url, "overread deliveries")
        try:
            yield PostgresProofs(database)
        finally:
            database.close()


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("destination", "form", "state", "sent", "asked", "SOP Instance UID", "why"):
        table.add_column(column, no_wrap=column.endswith("UID"), overflow="fold")
    for row in rows:
        style = _STYLES.get(row["arrival"], "default")
        table.add_row(
            escape(row["destination"]),
            row["form"],
            f"[{style}]{row['arrival']}[/]",
            str(row["attempts"]),
            "" if row["asks"] is None else str(row["asks"]),
            row["sop_instance_uid"],
            escape(row["why"] or ""),
        )
    output_console().print(table)
