"""Finding the database: the configured one, one that another process runs here, or our own for as long as needed."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import click

from overread.data_folder import make_data_folder, refuse_foreign_folder
from overread.errors import InvalidSettings
from overread.settings import CONFIG_VARIABLE, Settings, config_path
from overread.supervisor import stop_on_signals
from storage.errors import DatabaseUnavailable, SchemaBehind
from storage.postgres import schema
from storage.postgres.embedded import SERVICE_ROLE, EmbeddedPostgres, running_url
from storage.postgres.rights import grant_service_rights, role_of

_LOG = logging.getLogger(__name__)


@contextmanager
def reachable_database(settings: Settings) -> Iterator[str]:
    """The URL of a database at this release's revision.

    A database given in the settings is used as it is and checked. Without one, a server that another Overread
    runs under ``data_dir`` is joined; if there is none, one is started and stopped with this block.

    Raises:
        SchemaOutdated: the configured database needs `overread db upgrade`.
        DatabaseUnavailable: it does not answer.
        InvalidSettings: the data folder belongs to another account.
    """
    refuse_foreign_folder(settings)
    if settings.database.url:
        schema.check(settings.database.url)
        yield settings.database.url
        return
    joined = running_url(settings.data_dir / "postgres")
    if joined is not None:
        yield joined
        return
    with own_database(settings) as server:
        yield server.url


@contextmanager
def database_to_fill(settings: Settings) -> Iterator[str]:
    """As ``reachable_database``, for commands that may come before the first start; where they make one, they say so.

    Without it, a command in another folder than that of overread.toml would fill a second database unnoticed.
    """
    if not database_exists(settings):
        read = config_path() or f"no overread.toml is here, and {CONFIG_VARIABLE} names none"
        click.echo(f"A new database is made in {settings.data_dir} (settings: {read}).", err=True)
    with reachable_database(settings) as url:
        yield url


@contextmanager
def awaited_database(settings: Settings, alive: Callable[[], None]) -> Iterator[str]:
    """As ``reachable_database``, for a role: a configured server and its upgrade are waited for.

    ``alive`` is called at each look.

    Raises:
        SchemaOutdated: waiting would not help, because another release or another program made the schema.
        SystemExit: the role was told to stop while it waited, which is no failure.
    """
    if settings.database.url:
        stop = threading.Event()
        with stop_on_signals(stop):
            there = schema.wait_until_current(settings.database.url, stop, alive)
        if not there:
            raise SystemExit(0)
        yield settings.database.url
        return
    with reachable_database(settings) as url:
        yield url


@contextmanager
def existing_database(settings: Settings) -> Iterator[str]:
    """As ``reachable_database``, for commands that only look: nothing is made where nothing is.

    Raises:
        InvalidSettings: no Overread has ever kept anything in ``data_dir``, or it belongs to another account.
    """
    refuse_foreign_folder(settings)
    if not database_exists(settings):
        raise InvalidSettings(
            f"No Overread keeps its data in {settings.data_dir}; run the command where its overread.toml is, or name "
            "that file in OVERREAD_CONFIG."
        )
    with reachable_database(settings) as url:
        yield url


def place_of(settings: Settings) -> str:
    """The database in words, without its password: an answer is worth little unless it says where it comes from."""
    if not settings.database.url:
        return f"the database under {settings.data_dir}"
    url = urlsplit(settings.database.url)
    host = parse_qs(url.query).get("host", [""])[0] or url.netloc.rpartition("@")[2] or "this machine"
    return f"the database {url.path.strip('/') or url.username} on {host}"


def database_exists(settings: Settings) -> bool:
    """Whether an Overread has ever kept anything where these settings say, or a database is configured."""
    return bool(settings.database.url) or (settings.data_dir / "postgres" / "cluster").exists()


@contextmanager
def listeners_database(settings: Settings) -> Iterator[str]:
    """As ``reachable_database``, but a configured server may be away or not upgraded yet: reception needs neither.

    Raises:
        SchemaOutdated: the configured database answers, and another release or another program made its schema.
    """
    if settings.database.url:
        try:
            schema.check(settings.database.url)
        except (DatabaseUnavailable, SchemaBehind) as error:
            _LOG.warning("starting without the database: %s", error)
        yield settings.database.url
        return
    with reachable_database(settings) as url:
        yield url


@contextmanager
def own_database(settings: Settings) -> Iterator[EmbeddedPostgres]:
    """An embedded server that runs as long as this block, at this release's revision.

    Raises:
        DataFolderBusy: another process already runs one there.
    """
    make_data_folder(settings)
    server = EmbeddedPostgres(settings.data_dir / "postgres")
    server.start()
    try:
        schema.upgrade(server.owner_url)
        grant_service_rights(server.owner_url, SERVICE_ROLE)
        yield server
    finally:
        server.stop()


def upgrade_configured(settings: Settings) -> str:
    """Upgrade the database of the settings as its owner, give the service's role its rights, return the revision.

    Raises:
        SchemaOutdated: another release or program made its schema, or this role may not change it.
        DatabaseUnavailable: it does not answer.
    """
    owner_url = settings.database.owner_url
    revision = schema.upgrade(owner_url or settings.database.url)
    if owner_url:
        grant_service_rights(owner_url, role_of(settings.database.url))
    return revision
