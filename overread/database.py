"""Finding the database: the configured one, one that another process runs here, or our own for as long as needed."""

from collections.abc import Iterator
from contextlib import contextmanager

from overread.settings import Settings
from storage.postgres import schema
from storage.postgres.embedded import EmbeddedPostgres, running_url


@contextmanager
def reachable_database(settings: Settings) -> Iterator[str]:
    """The URL of a database at this release's revision.

    A database given in the settings is used as it is and checked. Without one, a server that another Overread
    runs under ``data_dir`` is joined; if there is none, one is started and stopped with this block.

    Raises:
        SchemaOutdated: the configured database needs `overread db upgrade`.
        DatabaseUnavailable: it does not answer.
    """
    if settings.database.url:
        schema.check(settings.database.url)
        yield settings.database.url
        return
    joined = running_url(settings.data_dir / "postgres")
    if joined is not None:
        yield joined
        return
    with own_database(settings) as url:
        yield url


@contextmanager
def own_database(settings: Settings) -> Iterator[str]:
    """The URL of an embedded server that runs as long as this block, at this release's revision.

    Raises:
        DataFolderBusy: another process already runs one there.
    """
    make_data_folder(settings)
    server = EmbeddedPostgres(settings.data_dir / "postgres")
    url = server.start()
    try:
        schema.upgrade(url)
        yield url
    finally:
        server.stop()


def make_data_folder(settings: Settings) -> None:
    """Make ``data_dir`` itself; what is inside stays closed to other accounts, but the database's may pass through."""
    from overread.errors import InvalidSettings

    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        settings.data_dir.chmod(0o711)
    except OSError as error:
        raise InvalidSettings(
            f"The data folder {settings.data_dir} cannot be made ({error.strerror}); set data_dir, or the variable "
            "OVERREAD_DATA_DIR, to a folder that this account may write."
        ) from None
