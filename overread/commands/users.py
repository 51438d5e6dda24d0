"""`overread users`: who may come in through the web door."""

import getpass
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.table import Table

from listener.web.passwords import UnfitPassword, hash_password
from overread.caller import caller
from overread.commands.status import output_console
from overread.commands.tokens import token
from overread.database import database_to_fill, existing_database
from overread.errors import FrontDeskError
from overread.settings import load_settings
from storage.domain.account import MINIMUM_PASSWORD_LENGTH, Role
from storage.postgres.account_rows import PostgresAccountDirectory
from storage.postgres.engine import open_database

_ROLES = click.Choice([str(role) for role in Role])
_PASSWORD_ON_STDIN = click.option(
    "--password-stdin", is_flag=True, help="Read the password as one line from standard input instead of asking."
)


@contextmanager
def _accounts(*, make: bool = False) -> Iterator[PostgresAccountDirectory]:
    """The accounts; ``make`` says that there may be nothing yet, as before the first start."""
    settings = load_settings()
    with (database_to_fill if make else existing_database)(settings) as url:
        database = open_database(url, "overread users")
        try:
            yield PostgresAccountDirectory(database)
        finally:
            database.close()


@click.group()
def users() -> None:
    """Add, list, change and disable accounts of the web door, and give programs tokens."""


users.add_command(token)


@users.command()
@click.argument("name")
@click.option("--role", "roles", type=_ROLES, multiple=True, required=True, help="What the account is for; repeatable.")
@_PASSWORD_ON_STDIN
def add(name: str, roles: tuple[str, ...], password_stdin: bool) -> None:
    """Make the account NAME; its password is asked for twice."""
    password_hash = _hashed(_password(password_stdin))
    with _accounts(make=True) as accounts:
        accounts.add(name, password_hash, frozenset(map(Role, roles)), caller())
    click.echo(f"{name} may log in as {' and '.join(sorted(roles))}.")


@users.command("list")
def list_users() -> None:
    """Every account with its roles."""
    with _accounts() as accounts:
        known = accounts.all()
    if not known:
        click.echo("There is no account; `overread users add NAME --role administrator` makes one.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "roles", "state", "last login"):
        table.add_column(column)
    for account in known:
        state = f"disabled {account.disabled_at:%Y-%m-%d %H:%MZ}" if account.disabled_at else "enabled"
        seen = f"{account.last_login_at:%Y-%m-%d %H:%MZ}" if account.last_login_at else "never"
        table.add_row(account.name, ", ".join(sorted(account.roles)), state, seen)
    output_console().print(table)


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """Let the account NAME log in no more, and end its sessions."""
    with _accounts() as accounts:
        accounts.disable(name, caller())
    click.echo(f"{name} is disabled, and its sessions have ended.")


@users.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let the disabled account NAME log in again."""
    with _accounts() as accounts:
        accounts.enable(name, caller())
    click.echo(f"{name} may log in again.")


@users.command()
@click.argument("name")
@_PASSWORD_ON_STDIN
def password(name: str, password_stdin: bool) -> None:
    """Give the account NAME another password, and end its sessions."""
    password_hash = _hashed(_password(password_stdin))
    with _accounts() as accounts:
        accounts.set_password(name, password_hash, caller())
    click.echo(f"{name} has a new password, and its sessions have ended.")


@users.command()
@click.argument("name")
@click.option("--role", "roles", type=_ROLES, multiple=True, required=True, help="What the account is for; repeatable.")
def roles(name: str, roles: tuple[str, ...]) -> None:
    """Give the account NAME these roles instead of those it has."""
    with _accounts() as accounts:
        accounts.set_roles(name, frozenset(map(Role, roles)), caller())
    click.echo(f"{name} may log in as {' and '.join(sorted(roles))}.")


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise FrontDeskError("There is no terminal to ask for the password; give it with --password-stdin.")
    first = getpass.getpass(f"Password (at least {MINIMUM_PASSWORD_LENGTH} characters): ")
    if getpass.getpass("The same again: ") != first:
        raise FrontDeskError("The two passwords differ; nothing was changed.")
    return first


def _hashed(password: str) -> str:
    try:
        return hash_password(password)
    except UnfitPassword as error:
        raise FrontDeskError(f"{error} Nothing was changed.") from None
