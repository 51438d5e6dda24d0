"""`overread notifications`: who else was told of results, and telling again what nobody took."""

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
from overread.errors import FrontDeskError
from overread.settings import Settings, load_settings
from storage.errors import UnknownRecord
from storage.postgres.engine import open_database
from storage.postgres.notification_rows import PostgresNotifications

_STYLES = {"delivered": "green", "refused": "red", "given-up": "red"}
_SHOWN = 200


@click.group()
def notifications() -> None:
    """List what receivers of [[notify]] were told, and have it told again."""


@notifications.command("list")
@click.option("--undelivered", is_flag=True, help="Only what no receiver has taken.")
@click.option("--receiver", default=None, metavar="NAME", help="Only to this receiver.")
@click.option(
    "--most", type=click.IntRange(1, 100_000), default=_SHOWN, show_default=True, help="So many, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_notifications(undelivered: bool, receiver: str | None, most: int, as_json: bool) -> None:
    """Tell how far each message is: held, waiting, sending, delivered, refused or given up."""
    with _rows(load_settings()) as rows:
        found = rows.listed(receiver=receiver, undelivered=undelivered, rows=most + 1)
    if as_json:
        click.echo(json.dumps(found[:most], indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo("Every message was delivered." if undelivered else "Nobody was told of anything yet.")
        return
    _print(found[:most])
    if len(found) > most:
        click.echo("… and older ones; --most shows more.")


@notifications.command()
@click.option("--receiver", default=None, metavar="NAME", help="Only those to this receiver.")
def retry(receiver: str | None) -> None:
    """Send again what was refused or given up, once the receiver works."""
    settings = load_settings()
    if receiver is not None and receiver not in [place.name for place in settings.notify]:
        raise UnknownRecord("No [[notify]] entry has this name; `overread config show` prints those there are.")
    with _rows(settings) as rows:
        number = rows.retry(receiver, caller())
    click.echo(f"{number} {'message is' if number == 1 else 'messages are'} sent again.")


@notifications.command("probe")
@click.argument("name")
def probe_receiver(name: str) -> None:
    """Try whether a receiver can be had, without telling it of any result."""
    from listener.notify.probe import probe
    from storage.domain.notification import NotificationEvent

    place = next((one for one in load_settings().notify if one.name == name), None)
    if place is None:
        raise UnknownRecord("No [[notify]] entry has this name; `overread config show` prints those there are.")
    answer = probe(place)
    if answer.event is not NotificationEvent.DELIVER:
        raise FrontDeskError(answer.sentence)
    click.echo(f"{place.address}: {answer.sentence}")


@contextmanager
def _rows(settings: Settings) -> Iterator[PostgresNotifications]:
    with existing_database(settings) as url:
        database = open_database(url, "overread notifications")
        try:
            yield PostgresNotifications(database)
        finally:
            database.close()


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("receiver", "algorithm", "state", "tries", "Study Instance UID", "why"):
        table.add_column(column, no_wrap=column.endswith("UID"), overflow="fold")
    for row in rows:
        style = _STYLES.get(row["state"], "default")
        table.add_row(
            escape(row["receiver"]),
            escape(row["algorithm"]),
            f"[{style}]{row['state']}[/]",
            str(row["tries"]),
            row["study_instance_uid"],
            escape(row["why"] or ""),
        )
    output_console().print(table)
