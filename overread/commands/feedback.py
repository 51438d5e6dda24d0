"""`overread feedback`: what readers and their systems said of our results, and what share of them they accepted."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from overread.commands.status import output_console
from overread.database import existing_database
from overread.plain_text import cell, visible
from overread.settings import Settings, load_settings
from storage.domain.feedback import Verdict
from storage.postgres.engine import open_database
from storage.postgres.feedback_rows import PostgresFeedbackBook

_SHOWN = 200
_VERDICT = click.Choice([str(verdict) for verdict in Verdict], case_sensitive=False)
_STYLES = {"accept": "green", "reject": "red", "changed": "yellow"}


@contextmanager
def _book(settings: Settings) -> Iterator[PostgresFeedbackBook]:
    with existing_database(settings) as url:
        database = open_database(url, "overread feedback")
        try:
            yield PostgresFeedbackBook(database)
        finally:
            database.close()


@click.group()
def feedback() -> None:
    """List what was said of results, and count how much of it was accepted."""


@feedback.command("list")
@click.option("--algorithm", metavar="NAME", help="Only results of this algorithm, of all its versions.")
@click.option("--study", metavar="UID", help="Only results of this Study Instance UID.")
@click.option("--verdict", type=_VERDICT, help="Only these verdicts.")
@click.option(
    "--most", type=click.IntRange(1, 1_000_000), default=_SHOWN, show_default=True, help="So many, newest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a CSV file.")
def list_feedback(
    algorithm: str | None, study: str | None, verdict: str | None, most: int, as_json: bool, as_csv: bool
) -> None:
    """Every verdict, newest first; `counts` tells the one that stands on its finding."""
    _require_one_form(as_json, as_csv)
    with _book(load_settings()) as book:
        rows = book.given(algorithm=algorithm, study_instance_uid=study, verdict=verdict, rows=most + 1)
    _print(rows[:most], as_json, as_csv, _print_list, "Nobody has said anything yet.")
    if len(rows) > most and not as_json and not as_csv:
        click.echo("… and older ones; --most shows more.")


@feedback.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a CSV file.")
def agreement(name: str | None, as_json: bool, as_csv: bool) -> None:
    """For each version of every algorithm, or of NAME: what was judged, and what share of that was accepted."""
    _require_one_form(as_json, as_csv)
    with _book(load_settings()) as book:
        rows = book.agreement(name)
    _print(rows, as_json, as_csv, _print_agreement, "No algorithm has a result that could be judged.")


def _require_one_form(as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise click.UsageError("Give --json or --csv, not both.")


def _print(rows: Sequence[Mapping[str, Any]], as_json: bool, as_csv: bool, table: Any, none: str) -> None:  # noqa: ANN401
    """In the form that was asked for; an empty answer is no error."""
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif as_csv:
        _print_csv(rows)
    elif rows:
        table(rows)
    else:
        click.echo(none)


def _print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """A header and a line for each row; without rows nothing, since the columns are those of the rows."""
    if rows:
        writer = csv.writer(sys.stdout)
        writer.writerow(rows[0])
        for row in rows:
            writer.writerow([cell(value) if isinstance(value, str) else value for value in row.values()])


def _print_list(rows: Sequence[Mapping[str, Any]]) -> None:
    table = _table("when", "algorithm", "study", "finding", "what is said", "verdict", "by", "")
    for row in rows:
        by = f"{row['actor']} ({row['source']})"
        table.add_row(
            f"{row['recorded_at'][:16].replace('T', ' ')}Z",
            escape(visible(f"{row['algorithm_name']} {row['algorithm_version']}")),
            row["study_instance_uid"],
            escape(visible(row["finding"])),
            escape(visible(row["said"])),
            f"[{_STYLES[row['verdict']]}]{row['verdict']}[/]",
            escape(visible(by)),
            "counts" if row["counts"] else "",
        )
    output_console().print(table)


def _print_agreement(rows: Sequence[Mapping[str, Any]]) -> None:
    columns = ("results", "findings", "judged", "accepted", "rejected", "changed")
    table = _table("algorithm", "stage", *columns, "accepted of judged (95 %)")
    for row in rows:
        name = escape(visible(f"{row['name']} {row['version']}"))
        table.add_row(name, row["stage"], *(str(row[column]) for column in columns), _share(row))
    output_console().print(table)
    click.echo("Readers choose what they judge, so this is no accuracy; versions in shadow are shown to nobody.")


def _share(row: Mapping[str, Any]) -> str:
    return "–" if row["share"] is None else f"{row['share']:.1%} ({row['low']:.1%} to {row['high']:.1%})"


def _table(*columns: str) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, no_wrap=column == "study", overflow="fold")
    return made
