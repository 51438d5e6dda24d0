"""The lanes that fetch the priors of routes, as `overread deliver` runs them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import partial

from listener.scu.query.archive_settings import ArchiveSettings
from listener.scu.query.prior_lane import PatientOfStudy, PriorLane, PriorThread
from overread.fetching import fetching
from overread.settings import Settings
from storage.postgres.engine import Database, open_database
from storage.postgres.fetch_rows import patient_of
from storage.postgres.prior_rows import PostgresPriorRequests

_ACTOR = "delivery"
_GRACE_SECONDS = 10.0


@contextmanager
def fetching_priors(settings: Settings, database_url: str) -> Iterator[None]:
    """Within the block, the priors that routes ask for are fetched, from each archive in a thread of its own."""
    database = open_database(database_url, "overread priors")  # connects when it is first used
    asked = {route.priors.archive for route in settings.listener.routes if route.priors}
    places = [place for place in settings.archives if place.name in asked]
    threads = [PriorThread(place.name, partial(_lane, settings, database, place)) for place in places]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.stop(_GRACE_SECONDS)
        database.close()


@contextmanager
def _lane(
    settings: Settings, database: Database, place: ArchiveSettings, stopped: Callable[[], bool]
) -> Iterator[PriorLane]:
    def known(study_instance_uid: str) -> PatientOfStudy | None:
        found = patient_of(database, study_instance_uid)
        if found is None:
            return None
        return PatientOfStudy(found.patient_id, found.issuer_of_patient_id, found.study_date)

    with fetching(settings, place, database, _ACTOR, stopped) as desk:
        requests = PostgresPriorRequests(database)
        yield PriorLane(place.name, desk.archive, desk.fetcher, requests, known, desk.require_room, _today)


def _today() -> date:
    return datetime.now(UTC).astimezone().date()
