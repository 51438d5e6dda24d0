"""`overread up` and the roles it is made of."""

import logging
import os
import sys
import threading
from collections.abc import Callable

import click

from overread.database import awaited_database, listeners_database, make_data_folder, own_database
from overread.logs import configure_logging
from overread.settings import Settings, load_settings
from overread.supervisor import Supervisor, stop_on_signals

_LOG = logging.getLogger(__name__)


@click.command()
def up() -> None:
    """Run all roles on this machine, with a PostgreSQL of our own unless one is configured."""
    configure_logging()
    settings = load_settings()
    make_data_folder(settings)
    stop = threading.Event()
    with stop_on_signals(stop):
        if settings.database.url:
            from storage.postgres import schema

            schema.upgrade(settings.database.url)
            _supervise(settings, settings.database.url, stop)
        else:
            with own_database(settings) as server:
                _supervise(settings, server.url, stop, server.revive)


def _supervise(settings: Settings, url: str, stop: threading.Event, watch: Callable[[], None] = lambda: None) -> None:
    _warn_of_what_is_missing(settings, url)
    Supervisor({**os.environ, "OVERREAD_DATABASE_URL": url}, watch=watch).run(stop)


def _warn_of_what_is_missing(settings: Settings, url: str) -> None:
    from storage.domain.algorithm import AlgorithmStage
    from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
    from storage.postgres.engine import open_database

    database = open_database(url, "overread up")
    try:
        if not PostgresAlgorithmCatalog(database).all(AlgorithmStage.ACTIVE):
            _LOG.warning("no algorithm is installed, so nothing will be analysed; run `overread algorithms add FOLDER`")
    finally:
        database.close()
    if not settings.destinations:
        _LOG.warning("no [[destinations]] are configured, so results stay in storage and are sent nowhere")


@click.command()
def listen() -> None:
    """Receive studies over C-STORE and keep them."""
    from listener.main import serve

    configure_logging()
    settings = load_settings()
    with listeners_database(settings) as url:
        code = serve(
            settings.listener,
            data_dir=settings.data_dir,
            database_url=url,
            spool=settings.spool,
        )
    sys.exit(code)


@click.command()
def web() -> None:
    """Serve the dashboard, DICOMweb, the API and metrics."""
    from listener.web.main import serve

    configure_logging()
    settings = load_settings()
    with listeners_database(settings) as url:
        code = serve(
            settings.web,
            data_dir=settings.data_dir,
            database_url=url,
            spool=settings.spool,
            jobs=settings.jobs,
        )
    sys.exit(code)


@click.command()
def work() -> None:
    """Run algorithms on studies that are complete."""
    from inference.main import work as run_worker

    configure_logging()
    settings = load_settings()
    with awaited_database(settings) as url:
        code = run_worker(
            settings.worker,
            data_dir=settings.data_dir,
            database_url=url,
            jobs=settings.jobs,
            destinations=[destination.name for destination in settings.destinations],
        )
    sys.exit(code)


@click.command()
def deliver() -> None:
    """Send results to their destinations, for as long as it takes."""
    from listener.scu.main import deliver as run_delivery

    configure_logging()
    settings = load_settings()
    with awaited_database(settings) as url:
        code = run_delivery(
            settings.destinations,
            ae_title=settings.listener.ae_title,
            data_dir=settings.data_dir,
            database_url=url,
            jobs=settings.jobs,
        )
    sys.exit(code)


@click.command()
def housekeep() -> None:
    """Settle studies that are complete and rescue work whose worker died."""
    from storage.housekeeping.main import keep_house

    configure_logging()
    settings = load_settings()
    with awaited_database(settings) as url:
        code = keep_house(
            data_dir=settings.data_dir,
            database_url=url,
            study=settings.study,
            jobs=settings.jobs,
            audit=settings.audit,
        )
    sys.exit(code)
