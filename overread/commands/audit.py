"""`overread audit`: prove that the trail is as it was written, look at it, hand it out."""

import csv
import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.progress import track

from overread.audit_verification import Verification, verify_trail
from overread.caller import caller
from overread.database import existing_database, place_of
from overread.errors import FrontDeskError
from overread.plain_text import cell, visible
from overread.settings import Settings, load_settings
from storage.domain.audit_chain import ChainRow
from storage.domain.audit_event import AuditAction, AuditEvent, AuditOutcome
from storage.errors import AuditTampered, StorageError
from storage.objects.checkpoint_file import CheckpointFile
from storage.postgres.audit_reading import AuditReader, AuditRecord
from storage.postgres.audit_trail import PostgresAuditTrail
from storage.postgres.engine import Database, open_database

_FOLLOW_SECONDS = 1.0
_CSV_COLUMNS = (
    "row",
    "recorded_at",
    "action",
    "actor",
    "outcome",
    "study_instance_uid",
    "job_id",
    "details",
    "row_hash",
)


@click.group()
def audit() -> None:
    """Verify, show and export the audit trail."""


@audit.command()
@click.option(
    "--public-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Your own copy of audit/checkpoint-key.pub; without it the one under data_dir is believed.",
)
def verify(public_key: Path | None) -> None:
    """Check every row against the chain and the chain against its checkpoints; exit 0 only if all of it fits."""
    settings = load_settings()
    key = public_key.read_bytes() if public_key else None
    with _database(settings) as database:
        found = verify_trail(database, CheckpointFile(settings.data_dir), key, _with_progress)
        notes = [*found.notes, *_recorded(database, found)]
    for note in notes:
        click.echo(f"Note: {note}", err=True)
    if found.faults:
        raise AuditTampered(" ".join(found.faults))
    click.echo(
        f"{found.rows} audit rows in {place_of(settings)}, each follows from the one before it; signed checkpoints "
        f"confirm the first {found.anchored}."
    )


def _with_progress(rows: Iterable[ChainRow], total: int) -> Iterable[ChainRow]:
    console = Console(stderr=True)
    return track(rows, "Verifying", total, console=console, disable=not console.is_terminal, transient=True)


def _recorded(database: Database, found: Verification) -> list[str]:
    """Write down that the trail was verified, and how it went; a note where the connected role may only read."""
    outcome = AuditOutcome.SERIOUS_FAILURE if found.faults else AuditOutcome.SUCCESS
    details: dict[str, str | int | float | None] = {"verified_rows": found.rows, "first_bad_row": found.first_bad_row}
    try:
        PostgresAuditTrail(database).record(AuditEvent(AuditAction.AUDIT_READ, caller(), outcome, details=details))
    except StorageError:
        return ["This verification left no row of its own, because the connected database role may only read."]
    return []


@audit.command()
@click.option("-n", "count", type=click.IntRange(1, 100_000), default=20, show_default=True, help="How many rows.")
@click.option("--follow", "-f", is_flag=True, help="Go on showing what is added until stopped.")
def tail(count: int, follow: bool) -> None:
    """Show the newest rows, oldest first."""
    with _database(load_settings()) as database:
        reader = AuditReader(database)
        last = 0
        for record in reader.newest(count, caller()):
            click.echo(_line(record))
            last = record.id
        while follow:
            time.sleep(_FOLLOW_SECONDS)
            for record in reader.after(last):
                click.echo(_line(record))
                last = record.id


@audit.command()
@click.option("--csv", "path", type=click.Path(path_type=Path), required=True, help="The file to make; - prints.")
@click.option("--since", metavar="TIME", help="Only rows from this ISO 8601 time on, in UTC unless it names a zone.")
@click.option("--study", metavar="UID", help="Only rows about this Study Instance UID.")
def export(path: Path, since: str | None, study: str | None) -> None:
    """Write rows as CSV, safe to open in a spreadsheet."""
    start = _time(since) if since else None
    with _database(load_settings()) as database:
        reader = AuditReader(database)
        if str(path) == "-":
            _write(reader.export(caller(), start, study), sys.stdout)
            return
        try:
            with path.open("x", newline="", encoding="utf-8") as file:
                path.chmod(0o600)
                count = _write(reader.export(caller(), start, study), file)
        except FileExistsError:
            raise FrontDeskError(f"{path} exists already; name a file that does not, or remove it.") from None
        except OSError as error:
            raise FrontDeskError(f"{path} could not be written ({error.strerror}); name another file.") from None
    click.echo(f"{count} audit rows written to {path}.")


def _write(records: Iterable[AuditRecord], file: TextIO) -> int:
    writer = csv.writer(file, quoting=csv.QUOTE_ALL)
    writer.writerow(_CSV_COLUMNS)
    count = 0
    for record in records:
        writer.writerow(map(cell, _fields(record)))
        count += 1
    return count


def _fields(record: AuditRecord) -> tuple[str, ...]:
    return (
        str(record.id),
        record.recorded_at.isoformat(),
        record.action,
        record.actor,
        record.outcome,
        record.study_instance_uid,
        "" if record.job_id is None else str(record.job_id),
        json.dumps(record.details, ensure_ascii=False, sort_keys=True),
        record.row_hash,
    )


def _line(record: AuditRecord) -> str:
    told = [f"{record.id:6}", f"{record.recorded_at:%Y-%m-%d %H:%M:%S}Z", f"{record.action:22}", record.actor]
    if record.outcome != AuditOutcome.SUCCESS:
        told.append(record.outcome.upper())
    if record.study_instance_uid:
        told.append(f"study {record.study_instance_uid}")
    if record.job_id is not None:
        told.append(f"job {record.job_id}")
    told += [f"{key}={value}" for key, value in record.details.items() if value not in (None, "")]
    return visible("  ".join(told))


def _time(text: str) -> datetime:
    try:
        time_ = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"{text} is no ISO 8601 time such as 2026-11-24 or 2026-11-24T08:00+01:00.") from None
    return time_ if time_.tzinfo else time_.replace(tzinfo=UTC)


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    with existing_database(settings) as url:
        database = open_database(url, "overread audit")
        try:
            yield database
        finally:
            database.close()
