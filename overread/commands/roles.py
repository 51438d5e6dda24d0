"""`overread up` and the roles it is made of."""

import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial

import click

from overread.cli import LEAVING
from overread.data_folder import make_data_folder
from overread.database import awaited_database, listeners_database, own_database, upgrade_configured
from overread.logs import configure_logging
from overread.pulse import pulse
from overread.settings import Settings, load_settings
from overread.settings_warnings import warnings_of
from overread.supervisor import Supervisor, stop_on_signals

_LOG = logging.getLogger(__name__)


@click.command()
def up() -> None:
    """Run all roles on this machine, with a PostgreSQL of our own unless one is configured."""
    configure_logging()
    _leave_no_core()
    settings = load_settings()
    configure_logging(settings.logs)
    make_data_folder(settings)
    stop = threading.Event()
    with stop_on_signals(stop):
        if settings.database.url:
            upgrade_configured(settings)
            _supervise(settings, settings.database.url, stop)
        else:
            with own_database(settings) as server:
                _supervise(settings, server.url, stop, server.revive)


def _supervise(settings: Settings, url: str, stop: threading.Event, watch: Callable[[], None] = lambda: None) -> None:
    _warn_of_what_is_missing(settings, url)
    environment = {**os.environ, "OVERREAD_DATABASE_URL": url}
    environment.pop("OVERREAD_DATABASE_OWNER_URL", None)  # no role needs what the owner may do
    Supervisor(environment, watch=watch).run(stop)


def _warn_of_what_is_missing(settings: Settings, url: str) -> None:
    from storage.domain.algorithm import AlgorithmStage
    from storage.postgres.account_rows import PostgresAccountDirectory
    from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
    from storage.postgres.engine import open_database

    database = open_database(url, "overread up")
    try:
        if not PostgresAlgorithmCatalog(database).all(AlgorithmStage.ACTIVE):
            _LOG.warning("no algorithm is installed, so nothing will be analysed; run `overread algorithms add FOLDER`")
        if not any(account.disabled_at is None for account in PostgresAccountDirectory(database).all()):
            _LOG.warning("nobody can log in to the dashboard; run `overread users add NAME --role administrator`")
    finally:
        database.close()
    if not settings.destinations:
        _LOG.warning("no [[destinations]] are configured, so results stay in storage and are sent nowhere")


def _begin() -> Settings:
    """Log, and end at once when told to, until the role has something to finish and takes the signal itself.

    Without this the first process of a container would not even notice, since the system's own way is not for it.
    """
    configure_logging()
    _leave_no_core()
    signal.signal(signal.SIGTERM, _leave)
    settings = load_settings()
    configure_logging(settings.logs)
    return settings


def _leave_no_core() -> None:
    """A process that crashes leaves no file of its memory, which holds patients' data and passwords."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _leave(*_: object) -> None:
    LEAVING.set()
    raise SystemExit(0)


@click.command()
def listen() -> None:
    """Receive studies over C-STORE and keep them."""
    settings = _begin()
    from listener.main import serve

    with listeners_database(settings) as url:
        code = serve(
            settings.listener,
            data_dir=settings.data_dir,
            database_url=url,
            spool=settings.spool,
            patience=settings.study.patience(),
            alive=pulse(settings.run_dir, "listen"),
        )
    sys.exit(code)


@click.command()
def web() -> None:
    """Serve the dashboard, DICOMweb, the API and metrics."""
    settings = _begin()
    from listener.loopback import is_loopback
    from listener.settings import routes_of
    from listener.web.main import serve

    alive = pulse(settings.run_dir, "web")  # beats no more once we serve: `overread health` asks the door itself
    # Beyond loopback the door opens only when there is an account, which nobody but the database can tell.
    at_home = is_loopback(settings.web.host)
    with listeners_database(settings) if at_home else awaited_database(settings, alive) as url:
        code = serve(
            settings.web,
            data_dir=settings.data_dir,
            database_url=url,
            spool=settings.spool,
            jobs=settings.jobs,
            destinations=settings.destinations,
            routes=routes_of(settings.listener),
            patience=settings.study.patience(),
            workitems=settings.ups,
        )
    sys.exit(code)


@click.command()
def work() -> None:
    """Run algorithms on studies that are complete."""
    settings = _begin()
    from inference.main import work as run_worker
    from listener.settings import routes_of

    alive = pulse(settings.run_dir, "work")
    with awaited_database(settings, alive) as url:
        code = run_worker(
            settings.worker,
            data_dir=settings.data_dir,
            database_url=url,
            jobs=settings.jobs,
            destinations={each.name: settings.viewer_profiles()[each.profile] for each in settings.destinations},
            routes=routes_of(settings.listener),
            naming=settings.results.naming(),
            alive=alive,
        )
    sys.exit(code)


@click.command()
def deliver() -> None:
    """Send results to their destinations, for as long as it takes."""
    settings = _begin()
    from listener.scu.main import deliver as run_delivery

    for sentence in warnings_of(settings):
        _LOG.warning("%s", sentence)
    alive = pulse(settings.run_dir, "deliver")
    from overread.prior_fetching import fetching_priors

    with awaited_database(settings, alive) as url:
        code = run_delivery(
            settings.destinations,
            ae_title=settings.listener.ae_title,
            data_dir=settings.data_dir,
            database_url=url,
            jobs=settings.jobs,
            profiles=settings.viewer_profiles(),
            counted=settings.study.patience().counting(),
            receivers=settings.notify,
            beside=partial(fetching_priors, settings),
            alive=alive,
        )
    sys.exit(code)


@click.command()
def housekeep() -> None:
    """Settle studies that are complete and rescue work whose worker died."""
    settings = _begin()
    from listener.settings import routes_of
    from storage.housekeeping.main import keep_house

    alive = pulse(settings.run_dir, "housekeep")
    with awaited_database(settings, alive) as url:
        code = keep_house(
            data_dir=settings.data_dir,
            database_url=url,
            study=settings.study,
            jobs=settings.jobs,
            audit=settings.audit,
            monitoring=settings.monitoring,
            routes=routes_of(settings.listener),
            workitems=settings.ups,
            alive=alive,
        )
    sys.exit(code)
