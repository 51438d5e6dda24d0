"""`overread workitems`: what other systems asked for over the worklist, and what became of it."""

import json
from collections.abc import Sequence

import click
from rich.markup import escape
from rich.table import Table

from overread.commands.status import output_console
from overread.database import existing_database
from overread.settings import load_settings
from storage.domain.workitem import WorkitemState
from storage.ports.facts import Facts
from storage.postgres.engine import open_database
from storage.postgres.overview import Overview

_STYLES = {WorkitemState.COMPLETED: "green", WorkitemState.CANCELED: "red"}
_SHOWN = 200
_STATES = {str(state).lower().replace(" ", "-"): state for state in WorkitemState}


@click.group()
def workitems() -> None:
    """List what other systems asked for over the worklist (UPS-RS)."""


@workitems.command("list")
@click.option("--state", type=click.Choice(list(_STATES)), default=None, help="Only those in this state.")
@click.option(
    "--most", type=click.IntRange(1, 100_000), default=_SHOWN, show_default=True, help="So many, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_workitems(state: str | None, most: int, as_json: bool) -> None:
    """Tell who asked for what, where it stands, and why it was canceled."""
    with existing_database(load_settings()) as url:
        database = open_database(url, "overread workitems")
        try:
            found = Overview(database).workitems(state=_STATES[state] if state else None, most=most + 1)
        finally:
            database.close()
    if as_json:
        click.echo(json.dumps(found[:most], indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo("Nothing was asked for over the worklist.")
        return
    _print(found[:most])
    if len(found) > most:
        click.echo("… and older ones; --most shows more.")


def _print(rows: Sequence[Facts]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("workitem", "state", "priority", "for", "asked by", "at", "study"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        style = _STYLES.get(WorkitemState(row["state"]), "")
        state = f"[{style}]{row['state']}[/]" if style else row["state"]
        told = (row["priority"], row["algorithms"] or "others", row["created_by"], row["created_at"][:16] + "Z")
        table.add_row(
            escape(row["sop_instance_uid"]), state, *map(escape, told), escape(row["study_instance_uid"] or "–")
        )
        said = row["reason"] or (row["progress"] if row["state"] == WorkitemState.IN_PROGRESS else None)
        if said:
            table.add_row("", *["" for _ in told], "", f"[dim]{escape(said)}[/]")
    output_console().print(table)
