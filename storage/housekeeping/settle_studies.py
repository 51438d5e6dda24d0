"""A study that is complete becomes stable and gets its jobs."""

import logging

from storage.domain.completeness import Patience
from storage.domain.route import Routes
from storage.postgres.completeness_rows import GeometrySeen
from storage.postgres.engine import Database
from storage.postgres.study_settlement import perhaps_complete, settle_if_complete

_LOG = logging.getLogger(__name__)


def settle_studies(
    database: Database, patience: Patience | float, routes: Routes | None = None, seen: GeometrySeen | None = None
) -> int:
    """Make every study stable that is complete, each in a transaction of its own; how many it were.

    A number as ``patience`` is a quiet time in seconds for all sources, and no other evidence. ``seen`` is kept
    from one call to the next, so that a large study that waits is not read each time.

    Raises:
        DatabaseUnavailable: those settled before stay settled.
    """
    known = patience if isinstance(patience, Patience) else Patience.of_quiet(patience)
    count = 0
    for study_id in perhaps_complete(database, known):
        settled = settle_if_complete(database, study_id, known, routes or Routes(), seen)
        if settled is None:
            continue
        count += 1
        _LOG.info(
            "study %s is stable as revision %d (%s); new jobs: %d",
            settled.study_instance_uid,
            settled.revision,
            settled.because,
            settled.jobs,
        )
    return count
