"""Quiet long enough: a study becomes stable and gets its jobs."""

import logging

from storage.domain.route import Routes
from storage.postgres.engine import Database
from storage.postgres.study_settlement import settle_next_study

_LOG = logging.getLogger(__name__)


def settle_studies(database: Database, quiet_seconds: float, routes: Routes | None = None) -> int:
    """Make every study stable that has been quiet for this long, each in a transaction of its own; how many it were.

    Raises:
        DatabaseUnavailable: those settled before stay settled.
    """
    count = 0
    while (settled := settle_next_study(database, quiet_seconds, routes or Routes())) is not None:
        count += 1
        _LOG.info(
            "study %s is stable as revision %d; new jobs: %d",
            settled.study_instance_uid,
            settled.revision,
            settled.jobs,
        )
    return count
