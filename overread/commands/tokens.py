"""`overread users token`: keys of programs to accounts, each shown once."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import click
from rich.table import Table

from listener.web.program_login import new_token, token_sha256
from overread.caller import caller
from overread.commands.status import output_console
from overread.database import existing_database
from overread.settings import load_settings
from storage.domain.account import ApiToken, Role
from storage.postgres.engine import open_database
from storage.postgres.token_rows import PostgresTokenStore


@contextmanager
def _tokens() -> Iterator[PostgresTokenStore]:
    with existing_database(load_settings()) as url:
        database = open_database(url, "overread users token")
        try:
            yield PostgresTokenStore(database)
        finally:
            database.close()


@click.group()
def token() -> None:
    """Give programs keys of their own to an account, list and revoke them."""


@token.command()
@click.argument("account")
@click.argument("name")
@click.option(
    "--role",
    "roles",
    type=click.Choice([str(role) for role in Role]),
    multiple=True,
    required=True,
    help="One of the account's roles; repeatable.",
)
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long it is good for.")
def add(account: str, name: str, roles: tuple[str, ...], days: int) -> None:
    """Make a token NAME for ACCOUNT and print it, this once; a program sends it as `Authorization: Bearer …`."""
    text = new_token()
    with _tokens() as tokens:
        chosen = frozenset(map(Role, roles))
        tokens.add(account, name, token_sha256(text), chosen, timedelta(days=days), caller())
    click.echo(
        f"The token {name} of {account} is good for {days} days; it is not kept here and not shown again:", err=True
    )
    click.echo(text)


@token.command("list")
@click.argument("account", required=False)
def list_tokens(account: str | None) -> None:
    """Every token, or those of ACCOUNT: roles, state and last use."""
    with _tokens() as tokens:
        known = tokens.all(account)
    if not known:
        click.echo("There is no token; `overread users token add ACCOUNT NAME --role ROLE` makes one.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("account", "token", "roles", "state", "last use"):
        table.add_column(column)
    for each in known:
        seen = f"{each.last_used_at:%Y-%m-%d %H:%MZ}" if each.last_used_at else "never"
        table.add_row(each.account, each.name, ", ".join(sorted(each.roles)), _state(each), seen)
    output_console().print(table)


@token.command()
@click.argument("account")
@click.argument("name")
def revoke(account: str, name: str) -> None:
    """Let the token NAME of ACCOUNT in no more."""
    with _tokens() as tokens:
        tokens.revoke(account, name, caller())
    click.echo(f"The token {name} of {account} lets nobody in any more.")


def _state(token: ApiToken) -> str:
    if token.revoked_at:
        return f"revoked {token.revoked_at:%Y-%m-%d %H:%MZ}"
    ended = token.expires_at <= datetime.now(UTC)
    return f"{'ended' if ended else 'until'} {token.expires_at:%Y-%m-%d %H:%MZ}"
