"""Copies of a whole database, as fast as PostgreSQL copies files: for rehearsals that must not touch the original."""

from contextlib import closing

import psycopg2
from psycopg2 import sql
from sqlalchemy import make_url

from storage.postgres.engine import named_errors


def copy_database(owner_url: str, name: str) -> None:
    """Make the database ``name`` as a copy of the one in the URL; whoever is connected to that one is cut off.

    Raises:
        DatabaseUnavailable: the server does not answer.
    """
    _cut_off(owner_url)
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _as_owner(owner_url, copy.format(sql.Identifier(name), sql.Identifier(database_name(owner_url))))


def close_database(owner_url: str) -> None:
    """Let nobody into the database in the URL any more; who is connected is cut off. Raises DatabaseUnavailable."""
    closing_off = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false")
    _as_owner(owner_url, closing_off.format(sql.Identifier(database_name(owner_url))))
    _cut_off(owner_url)


def drop_database(owner_url: str) -> None:
    """Drop the database in the URL; raises DatabaseUnavailable."""
    drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
    _as_owner(owner_url, drop.format(sql.Identifier(database_name(owner_url))))


def database_name(url: str) -> str:
    """The database that a URL names."""
    return make_url(url).database or ""


def _cut_off(owner_url: str) -> None:
    ending = sql.SQL("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}")
    _as_owner(owner_url, ending.format(sql.Literal(database_name(owner_url))))


def _as_owner(owner_url: str, what: sql.Composed) -> None:
    with named_errors(), closing(psycopg2.connect(at_database(owner_url, "postgres"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(what)


def at_database(url: str, name: str) -> str:
    """The URL of another database of the same server."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)
