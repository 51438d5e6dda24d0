"""`overread destinations`: where results go, and whether they would be taken there."""

import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from listener.scu.settings import DestinationSettings
from overread.caller import caller
from overread.commands.status import output_console, time_of, with_overview
from overread.database import database_exists, database_to_fill
from overread.errors import FrontDeskError
from overread.settings import Settings, load_settings
from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.domain.delivery import Verdict
from storage.domain.lane import LaneState
from storage.objects.layout import DataFolder
from storage.objects.site_secret import site_secret
from storage.postgres.audit_trail import PostgresAuditTrail
from storage.postgres.engine import open_database

if TYPE_CHECKING:
    from overread.destinations.report import ProbeReport
    from storage.domain.self_test import SelfTestInstance

_NOTHING: dict[str, Any] = {"waiting": 0, "failed": 0, "acknowledged": 0, "last_acknowledged_at": None, "error": None}


@click.group()
def destinations() -> None:
    """List the destinations of results, and try one with a self-test."""


@destinations.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_destinations(as_json: bool) -> None:
    """Every destination: what it is, and what waits for it or failed there."""
    settings = load_settings()
    owed, paused, unproven = _owed(settings) if database_exists(settings) else ({}, {}, {})
    rows = [
        _destination(one)
        | owed.pop(one.name, _NOTHING)
        | {"unproven": unproven.get(one.name, 0)}
        | _lane(paused.get(one.name))
        for one in settings.destinations
    ]
    rows += [
        {"name": name, "kind": None} | left | {"unproven": unproven.get(name, 0)}
        for name, left in owed.items()
        if left["waiting"] or left["failed"]
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    if not rows:
        click.echo("No [[destinations]]: results stay in storage and are sent nowhere.")
        return
    _print_list(rows)


def _owed(settings: Settings) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]], dict[str, int]]:
    """What waits, failed and arrived, where deliveries are paused, and what is unproven, by name of the destination."""
    with with_overview(settings) as overview:
        owed, paused, unproven = overview.destinations(), overview.paused(), overview.unproven()
    return (
        {row.pop("destination"): row for row in owed},
        {row.pop("destination"): row for row in paused},
        {row["destination"]: row["objects"] for row in unproven},
    )


def _lane(paused: Mapping[str, Any] | None) -> dict[str, Any]:
    """Whether deliveries flow, and of those that are paused since when, when it is tried next, and why."""
    if paused is None:
        return {"lane": LaneState.FLOWING, "paused_at": None, "probe_at": None, "pause_note": None}
    pause = {"paused_at": paused["paused_at"], "probe_at": paused["probe_at"], "pause_note": paused["note"]}
    return {"lane": LaneState.PAUSED, **pause}


def _destination(one: DestinationSettings) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "ae_title": one.ae_title,
        "host": one.host,
        "port": one.port,
        "tls": one.tls,
        "url": one.url,
        "profile": one.profile,
        "proof": one.proof,
    }


def _print_list(rows: Sequence[dict[str, Any]]) -> None:
    counted = ("waiting", "failed", "sent", "unproven")
    table = _table("name", "kind", "address", "profile", "proof", "lane", *counted, "why")
    for row in rows:
        known = row["kind"] is not None
        table.add_row(
            escape(row["name"]),
            row["kind"] if known else "not in the settings",
            escape(_address(row)) if known else "",
            row["profile"] if known else "",
            row["proof"] if known else "",
            _since(row) if known else "",
            *(str(row[count]) for count in ("waiting", "failed", "acknowledged")),
            str(row["unproven"]) if known and (row["unproven"] or row["proof"] != "none") else "",
            escape(_why(row)),
        )
    output_console().print(table)


def _address(row: Mapping[str, Any]) -> str:
    by_tls = " by TLS" if row["tls"] else ""
    return str(row["url"]) or f"{row['ae_title']}@{row['host']}:{row['port']}{by_tls}"


def _since(row: Mapping[str, Any]) -> str:
    return f"{row['lane']} since {time_of(row['paused_at'])}" if row["paused_at"] else str(row["lane"])


def _why(row: Mapping[str, Any]) -> str:
    """Why nothing is sent now; else why the newest of what waits or failed did not arrive."""
    if row.get("pause_note"):
        return str(row["pause_note"])
    return str(row["error"] or "") if row["waiting"] or row["failed"] else ""


@destinations.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 600),
    default=15.0,
    show_default=True,
    help="How many seconds to look for what was stored.",
)
def probe(name: str, as_json: bool, wait_seconds: float) -> None:
    """Send a marked self-test study to the destination NAME, in every form of its profile, and look for it there.

    It stays there, as the patient OVERREAD-SELFTEST. Exit 0 only if of each thing that is sent in daily work one form
    was accepted, and found again where the destination can be asked.
    """
    settings = load_settings()
    destination = _named(settings, name)
    report = _probed(settings, destination, wait_seconds)
    if as_json:
        click.echo(json.dumps(report.facts(), indent=2, ensure_ascii=False))
    else:
        _print_report(report)
    if not report.passed:
        raise click.exceptions.Exit(1)


def _named(settings: Settings, name: str) -> DestinationSettings:
    for one in settings.destinations:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in settings.destinations) or "none"
    raise FrontDeskError(f"No [[destinations]] entry has the name {name!r}; there are: {known}.")


def _probed(settings: Settings, destination: DestinationSettings, wait_seconds: float) -> "ProbeReport":
    # Imported here: the encoders need the extra cpu, and `list` does not.
    from listener.scu.probe import probe as probe_destination
    from listener.scu.web.probe import probe_over_the_web
    from overread.destinations.report import ProbeReport
    from overread.destinations.self_test import make_self_test

    for library in ("pynetdicom", "pydicom", "highdicom"):  # what they would repeat of a peer is told in our words
        logging.getLogger(library).setLevel(logging.CRITICAL)
    profile = settings.viewer_profiles()[destination.profile]
    with database_to_fill(settings) as url, tempfile.TemporaryDirectory(prefix="overread-self-test-") as folder:
        database = open_database(url, "overread destinations")
        try:
            secret, naming = site_secret(DataFolder(settings.data_dir)), settings.results.naming()
            self_test = make_self_test(profile, Path(folder), secret, naming)
            if destination.kind == "stow":
                probed = probe_over_the_web(destination, self_test, wait_seconds)
            else:
                probed = probe_destination(settings.listener.ae_title, destination, self_test, wait_seconds)
            report = ProbeReport(destination, profile, self_test, probed)
            PostgresAuditTrail(database).record(_audit_event(report))
        finally:
            database.close()
    return report


def _audit_event(report: "ProbeReport") -> AuditEvent:
    stored = [
        str(one.form)
        for one in report.self_test.instances
        if one.form is not None and _verdict(report, one) is Verdict.DELIVERED
    ]
    rejection = report.probed.rejection
    return AuditEvent(
        AuditAction.DESTINATION_PROBED,
        caller(),
        AuditOutcome.SUCCESS if report.passed else AuditOutcome.MINOR_FAILURE,
        study_instance_uid=report.self_test.study_instance_uid,
        details={
            "destination": report.destination.name,
            "ae_title": report.destination.ae_title,
            "host": report.destination.host,
            "port": report.destination.port,
            "url": report.destination.url,
            "profile": report.profile.name,
            "stored_forms": ", ".join(stored),
            "query": str(report.probed.again.query),
            "rejection": str(rejection.why) if rejection else "",
        },
    )


def _verdict(report: "ProbeReport", one: "SelfTestInstance") -> Verdict | None:
    answer = report.probed.answers.get(one.sop_instance_uid)
    return None if answer is None else answer.outcome.verdict


def _print_report(report: "ProbeReport") -> None:
    place, probed = report.destination, report.probed
    click.echo(f"Destination {place.name}: {place.address}, profile {report.profile.name}.")
    if probed.rejection is None:
        echo, first = probed.again.echo_seconds, 1000 * (probed.associate_seconds or 0)
        round_trip = f"; a C-ECHO there and back took {1000 * echo:.1f} ms" if echo is not None else ""
        what = "The first request was answered" if place.kind == "stow" else "The association was accepted"
        click.echo(f"{what} after {first:.1f} ms{round_trip}.")
        _print_instances(report)
        _print_ways(report)
    told = list(report.advice())
    if told:
        click.echo("\nTo do or to know:")
        for sentence in told:
            click.echo(f"- {sentence}")
    if any(answer.outcome.verdict is Verdict.DELIVERED for answer in probed.answers.values()):
        click.echo(
            f"\nThe self-test is the study {report.self_test.study_instance_uid} of the patient OVERREAD-SELFTEST; it "
            "stays at the destination, delete it there."
        )
    click.echo("\nThe destination takes what it is to get." if report.passed else "\nThe destination is not ready.")


def _print_instances(report: "ProbeReport") -> None:
    from overread.destinations.report import CONTEXT_ANSWERS

    negotiated = report.destination.kind == "dimse"
    how = ("presentation context", "C-STORE") if negotiated else ("STOW-RS", "reason")
    table = _table("what", "SOP Class UID", *how, "found again")
    images = [one for one in report.self_test.instances if one.form is None]
    click.echo()
    for one in (images[0], *(one for one in report.self_test.instances if one.form is not None)):
        answer = report.answer(one)
        table.add_row(
            str(one.form or f"source images ({len(images)})"),
            one.sop_class_uid,
            CONTEXT_ANSWERS[answer.context] if negotiated else str(answer.outcome.verdict),
            "" if answer.outcome.status is None else f"0x{answer.outcome.status:04X}",
            str(report.found(one)),
        )
    output_console().print(table)


def _print_ways(report: "ProbeReport") -> None:
    from overread.destinations.report import WHERE

    table = _table("of these forms", "of images", "it gets in daily work")
    for way in report.ways:
        gets = way.taken or (f"{way.stuck}, tried again and again" if way.stuck else "nothing: the delivery fails")
        table.add_row(" → ".join(way.chain), WHERE[way.where], gets)
    click.echo()
    output_console().print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
