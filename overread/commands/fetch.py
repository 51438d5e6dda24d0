"""`overread fetch`: gets a study, or a patient's priors, from an archive."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import click

from listener.scu.query.archive_settings import ArchiveSettings
from listener.scu.query.matching import FoundStudy
from listener.scu.query.priors import PriorsWanted, priors
from listener.settings import routes_of
from overread.caller import caller
from overread.commands.progress import progress_bars
from overread.database import existing_database
from overread.errors import FrontDeskError
from overread.fetching import Desk, archive_named, fetching
from overread.settings import Settings, load_settings
from storage.domain.fetch import FetchEnd, FetchOutcome, FetchPurpose
from storage.domain.identifiers import checked_uid
from storage.errors import InvalidIdentifier, InvalidTransition, UnknownRecord
from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import Database, open_database
from storage.postgres.fetch_rows import patient_of
from storage.postgres.job_queue import PostgresJobQueue

_DAY = click.DateTime(["%Y-%m-%d", "%Y%m%d"])


class NotFetched(FrontDeskError):
    """Not everything that was asked for is here."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the options ask for."""

    studies: Sequence[str]
    patient: str | None
    priors_of: str | None
    issuer: str
    modality: str | None
    body_part: str | None
    before: date | None
    within: int | None
    most: int


@click.command()
@click.option(
    "--from", "archive", metavar="NAME", help="Which of the [[archives]]; may be left out where there is one."
)
@click.option("--study", "studies", multiple=True, metavar="UID", help="This Study Instance UID; may be repeated.")
@click.option("--patient", metavar="ID", help="The priors of the patient with exactly this Patient ID.")
@click.option("--priors-of", metavar="UID", help="The priors of the patient of a study that is here.")
@click.option("--issuer", default="", help="With --patient: who gave the ID, where an archive has patients of several.")
@click.option("--modality", help="Only priors with a series of this modality, such as CT.")
@click.option("--body-part", metavar="WORD", help="Only priors with a series of this Body Part Examined, or of none.")
@click.option("--before", type=_DAY, help="Only priors of earlier days; left out: than the study's, or than today.")
@click.option("--within", type=click.IntRange(min=1), metavar="DAYS", help="No priors older than so many days before.")
@click.option(
    "--most", type=click.IntRange(1, 1000), default=3, show_default=True, help="So many priors, newest first."
)
@click.option("--analyse", is_flag=True, help="With --study: have it analysed as if it had been sent to us.")
@click.option("--dry-run", is_flag=True, help="Tell what would be fetched, and fetch nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def fetch(archive: str | None, analyse: bool, dry_run: bool, as_json: bool, **options: Any) -> None:  # noqa: ANN401
    """Get studies from an archive: those named, or the priors of a patient.

    What is here already is not asked for again, so a fetch that was broken off goes on where it was. Without --analyse
    nothing analyses what is fetched by itself.
    """
    before = options.pop("before")
    wanted = _Wanted(before=before.date() if before else None, **options)
    _check(wanted, analyse)
    settings = load_settings()
    place = archive_named(settings, archive)
    purpose = FetchPurpose.ANALYSIS if analyse else FetchPurpose.CONTEXT
    with _desk(settings, place) as (desk, database):
        found = _found(desk, place, database, wanted)
        if dry_run:
            return _tell_found(found, as_json)
        ends = _fetched(desk, found, purpose, quiet=as_json)
        if analyse:
            _submit_held(settings, database, ends)
    if as_json:
        click.echo(json.dumps([_facts(uid, end) for uid, end in ends.items()], indent=2))
    _fail_unless_complete(ends)


@contextmanager
def _desk(settings: Settings, place: ArchiveSettings) -> Iterator[tuple[Desk, Database]]:
    with existing_database(settings) as url:
        database = open_database(url, "overread fetch")
        try:
            with fetching(settings, place, database, caller()) as desk:
                yield desk, database
        finally:
            database.close()


def _check(wanted: _Wanted, analyse: bool) -> None:
    ways = [bool(wanted.studies), wanted.patient is not None, wanted.priors_of is not None]
    if sum(ways) != 1:
        raise click.UsageError("Say either --study, --patient or --priors-of.")
    if analyse and not wanted.studies:
        raise click.UsageError("--analyse goes with --study: priors are not analysed by themselves.")
    if wanted.studies and any((wanted.modality, wanted.body_part, wanted.before, wanted.within, wanted.issuer)):
        raise click.UsageError("--study fetches whole studies; the other options are for priors.")
    for uid in (*wanted.studies, *([wanted.priors_of] if wanted.priors_of else [])):
        try:
            checked_uid(uid, "The Study Instance UID")
        except InvalidIdentifier as error:
            raise click.UsageError(str(error)) from None


def _found(desk: Desk, place: ArchiveSettings, database: Database, wanted: _Wanted) -> list[FoundStudy]:
    """The studies to fetch; of named ones nothing is asked first."""
    if wanted.studies:
        return [FoundStudy(uid) for uid in dict.fromkeys(wanted.studies)]
    found = priors(desk.archive, _priors_wanted(database, wanted))
    desk.fetches.note_query(place.name, caller(), len(found), wanted.priors_of or "")
    return found


def _priors_wanted(database: Database, wanted: _Wanted) -> PriorsWanted:
    keys = {
        name: value for name, value in (("Modality", wanted.modality), ("BodyPartExamined", wanted.body_part)) if value
    }
    patient, issuer, day = wanted.patient, wanted.issuer, wanted.before
    if wanted.priors_of:
        known = patient_of(database, wanted.priors_of)
        if known is None or not known.patient_id:
            raise UnknownRecord(f"Study {wanted.priors_of} is not here, or names no Patient ID; say --patient instead.")
        patient, issuer = known.patient_id, known.issuer_of_patient_id
        day = day or known.study_date
    # Another study of the day itself may be on its way here to be analysed; as context, it would not be.
    until = (day or datetime.now(UTC).astimezone().date()) - timedelta(days=1)
    return PriorsWanted(patient or "", until, wanted.most, wanted.within, issuer, keys, wanted.priors_of or "")


def _fetched(desk: Desk, found: Sequence[FoundStudy], purpose: FetchPurpose, quiet: bool) -> dict[str, FetchEnd]:
    ends: dict[str, FetchEnd] = {}
    with progress_bars() as report:
        for number, study in enumerate(found):
            report("studies", number, len(found))
            desk.require_room()
            ends[study.study_instance_uid] = end = desk.fetcher.fetch(study.study_instance_uid, purpose)
            report("studies", number + 1, len(found))
            if not quiet:
                click.echo(_sentence(study, end))
    if not found and not quiet:
        click.echo("The archive has no such study.")
    return ends


def _submit_held(settings: Settings, database: Database, ends: dict[str, FetchEnd]) -> None:
    """What was here already, as context, is analysed now; what has come, once it is complete."""
    queue = PostgresJobQueue(
        database, ObjectStore(DataFolder(settings.data_dir)), settings.jobs, routes_of(settings.listener)
    )
    with contextlib.closing(queue):
        for uid, end in ends.items():
            if end.outcome is FetchOutcome.COMPLETE and not end.new:
                # It still arrives, and is analysed by itself, or every algorithm has looked at it.
                with contextlib.suppress(InvalidTransition, UnknownRecord):
                    queue.submit(uid, caller())


def _sentence(study: FoundStudy, end: FetchEnd) -> str:
    words = f"{end.held} of {end.listed} instances are here, {end.new} of them new"
    about = f" ({_described(study)})" if _described(study) else ""
    return f"Study {study.study_instance_uid}{about}: {words}.{f' {end.reason.sentence}' if end.reason else ''}"


def _described(study: FoundStudy) -> str:
    return ", ".join(part for part in (str(study.study_date or ""), "/".join(study.modalities)) if part)


def _tell_found(found: Sequence[FoundStudy], as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "study_instance_uid": one.study_instance_uid,
                "study_date": str(one.study_date) if one.study_date else None,
                "modalities": list(one.modalities),
                "instances": one.instances,
            }
            for one in found
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for one in found:
        about = f" ({_described(one)})" if _described(one) else ""
        count = f", {one.instances} instances" if one.instances is not None else ""
        click.echo(f"Study {one.study_instance_uid}{about}{count} would be fetched.")
    if not found:
        click.echo("The archive has no such study.")


def _facts(study_instance_uid: str, end: FetchEnd) -> dict[str, Any]:
    return {
        "study_instance_uid": study_instance_uid,
        "outcome": str(end.outcome),
        "listed": end.listed,
        "held": end.held,
        "new": end.new,
        "reason_code": end.reason.code if end.reason else None,
        "reason": end.reason.sentence if end.reason else None,
    }


def _fail_unless_complete(ends: dict[str, FetchEnd]) -> None:
    lacking = [end for end in ends.values() if end.outcome is not FetchOutcome.COMPLETE]
    if lacking:
        raise NotFetched(f"{len(lacking)} of {len(ends)} studies are not here whole; the reason stands with each.")
