"""`overread status`: what was received, what waits, what failed and why."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from overread.data_folder import refuse_foreign_folder
from overread.database import existing_database
from overread.settings import Settings, load_settings
from storage.domain.delivery import DeliveryState, how_far
from storage.domain.explanation import not_needed
from storage.domain.job import Priority
from storage.domain.lane import LaneState
from storage.domain.open_trouble import OpenTrouble, open_trouble
from storage.domain.proof import ProofState
from storage.objects.capacity import spool_usage
from storage.objects.layout import DataFolder
from storage.postgres.embedded import running_url
from storage.postgres.engine import open_database
from storage.postgres.overview import Overview

_UNBROKEN = 1000
_SHOWN = 200  # of each kind; a sender gone wrong can leave thousands
_KINDS_OF_TROUBLE = 8  # lines that an eye takes in at once

_STATE_STYLES = {
    "done": "green",
    "completed": "green",
    "acknowledged": "green",
    "found": "green",
    "committed": "green",
    "unproven": "red",
    "lost": "red",
    "failed": "red",
    "refused": "red",
    "parked": "red",
    "not-analysed": "yellow",
    "canceled": "yellow",
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> None:
    """Show studies, jobs, deliveries, spool and destinations."""
    settings = load_settings()
    refuse_foreign_folder(settings)
    running = bool(settings.database.url) or running_url(settings.data_dir / "postgres") is not None
    with with_overview(settings) as overview:
        facts = overview.status()
    waiting = spool_usage(DataFolder(settings.data_dir))
    facts["spool"] = {"entries": waiting.entries, "bytes": waiting.bytes}
    paused = {lane["destination"]: lane for lane in facts["paused"]}
    facts["destinations"] = [
        {
            "name": place.name,
            "ae_title": place.ae_title,
            "host": place.host,
            "port": place.port,
            "url": place.url,
            "lane": LaneState.PAUSED if place.name in paused else LaneState.FLOWING,
        }
        for place in settings.destinations
    ]
    trouble = open_trouble(facts)
    if as_json:
        facts["trouble"] = [asdict(one) for one in trouble]
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    _print_newest(print_studies, facts["studies"], "studies", slice(None, _SHOWN))
    _print_newest(print_jobs, facts["jobs"], "jobs", slice(-_SHOWN, None))
    needed = [delivery for delivery in facts["deliveries"] if delivery["state"] != DeliveryState.NOT_NEEDED]
    _print_newest(print_deliveries, needed, "deliveries", slice(-_SHOWN, None))
    for line in not_needed(facts["deliveries"]):
        click.echo(line)
    _print_newest(_print_quarantined, facts["quarantined"], "objects that were set aside", slice(-_SHOWN, None))
    if not running:
        click.echo("Overread is not running on this data folder; `overread up` starts it.")
    click.echo(f"Spool: {waiting.entries} waiting, {waiting.bytes} bytes.")
    for place in settings.destinations:
        click.echo(f"Destination {place.name}: {place.address}.{_pause(paused.get(place.name))}")
    if not settings.destinations:
        click.echo("Destinations: none configured; results stay in storage.")
    known = {place.name for place in settings.destinations}
    for name in sorted({one["destination"] for one in facts["deliveries"] if _is_left(one)} - known):
        click.echo(f"Destination {name}: not in the settings; `overread destinations list` counts what it did not get.")
    _print_trouble(trouble)


def _pause(lane: Mapping[str, Any] | None) -> str:
    """Since when deliveries to it are paused, until when and why; nothing where they flow."""
    if lane is None:
        return ""
    since, until = time_of(lane["paused_at"]), time_of(lane["probe_at"])
    return f" Paused since {since}, tried again at {until}: {lane['note']}"


def _is_left(delivery: Mapping[str, Any]) -> bool:
    """Whether it did not arrive and nobody has canceled it, as `overread destinations list` counts."""
    return _state_of_delivery(delivery) in ("waiting", "refused", "failed")


def _shown_state(delivery: Mapping[str, Any]) -> str:
    """As ``_state_of_delivery``, and how far what arrived is proven, or whether it was lost."""
    state = _state_of_delivery(delivery)
    if state != DeliveryState.ACKNOWLEDGED and delivery.get("proof_state") != ProofState.LOST:
        return state
    return how_far(
        state, delivery["attempts"], delivery.get("status"), delivery.get("proof_state"), delivery.get("proof_way")
    )


def _state_of_delivery(delivery: Mapping[str, Any]) -> str:
    """Its state; what waits for a job that has ended waits no more and has the state of the job."""
    if delivery["state"] == "waiting" and delivery["job_state"] in ("failed", "canceled"):
        return str(delivery["job_state"])
    return str(delivery["state"])


@contextmanager
def with_overview(settings: Settings) -> Iterator[Overview]:
    """The rows, read-only, for as long as the block."""
    with existing_database(settings) as url:
        database = open_database(url, "overread status")
        try:
            yield Overview(database, settings.study.patience())
        finally:
            database.close()


def print_studies(studies: Sequence[Mapping[str, Any]]) -> None:
    """One line per study."""
    table = _table("Studies", "Study Instance UID", "state", "instances", "revision", "last received")
    for study in studies:
        table.add_row(
            study["study_instance_uid"],
            _state(study),
            str(study["instances"]),
            str(study["revision"]),
            time_of(study["last_received_at"]),
        )
    _print(table)


def print_jobs(jobs: Sequence[Mapping[str, Any]]) -> None:
    """One line per job."""
    table = _table("Jobs", "id", "kind", "what", "state", "attempt", "Study Instance UID")
    for job in jobs:
        what = job["destination"] or job["algorithm"]
        shown = {**job, "state": job["outcome"]} if job["outcome"] == "not-analysed" else job
        special = "shadow" if job["shadow"] else job["priority"]
        kind = job["kind"] if special == Priority.ROUTINE else f"{job['kind']} ({special})"
        table.add_row(str(job["id"]), kind, what, _state(shown), str(job["attempt"]), job["study_instance_uid"])
    _print(table)


def print_deliveries(deliveries: Sequence[Mapping[str, Any]]) -> None:
    """One line per instance and destination."""
    table = _table("Deliveries", "destination", "form", "state", "attempts", "SOP Instance UID")
    for delivery in deliveries:
        table.add_row(
            delivery["destination"],
            delivery["form"],
            _state({**delivery, "state": _shown_state(delivery)}),
            str(delivery["attempts"]),
            delivery["sop_instance_uid"],
        )
    _print(table)


def _print_quarantined(things: Sequence[Mapping[str, Any]]) -> None:
    for thing in things:
        click.echo(f"Set aside: {thing['sop_instance_uid'] or 'an object without a valid UID'}: {thing['error']}")


def _print_trouble(trouble: Sequence[OpenTrouble]) -> None:
    """Last of all, where a terminal stands still: every kind once, however many lines of it stand above."""
    table = _table("Open trouble", "how many", "what", "newest", "why")
    for one in trouble[:_KINDS_OF_TROUBLE]:
        table.add_row(str(one.count), escape(one.what), time_of(one.newest_at), escape(one.sentence))
    _print(table)
    if len(trouble) > _KINDS_OF_TROUBLE:
        click.echo(f"… and {len(trouble) - _KINDS_OF_TROUBLE} kinds more; `overread status --json` has all of them.")


def _print_newest(
    print_rows: Callable[[Sequence[Mapping[str, Any]]], None],
    rows: Sequence[Mapping[str, Any]],
    kind: str,
    newest: slice,
) -> None:
    print_rows(rows[newest])
    if len(rows) > _SHOWN:
        click.echo(f"… and {len(rows) - _SHOWN} older {kind}; `overread status --json` has all of them.")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=column.endswith("UID"), overflow="fold")
    return table


def output_console() -> Console:
    """A console that breaks no line when its output goes to a file or another program."""
    return Console() if sys.stdout.isatty() else Console(width=_UNBROKEN)


def _print(table: Table) -> None:
    console = output_console()
    if table.row_count == 0:
        console.print(f"{table.title}: none")
    else:
        console.print(table)


def _state(row: Mapping[str, Any]) -> str:
    style = _STATE_STYLES.get(row["state"], "default")
    text = f"[{style}]{row['state']}[/]"
    return f"{text}: {escape(row['error'])}" if row["error"] else text


def time_of(iso: str | None) -> str:
    """A time of the facts for an eye: UTC, to the second."""
    return iso[:19].replace("T", " ") + "Z" if iso else ""
