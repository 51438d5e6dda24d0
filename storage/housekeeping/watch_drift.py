"""Today's results beside those of the baseline: alarms begin and end, and a rule may take an algorithm's work away."""

import logging

from storage.domain.algorithm import AlgorithmStage, Standing
from storage.errors import InvalidTransition
from storage.postgres.algorithm_catalog import PostgresAlgorithmCatalog
from storage.postgres.drift_watch import watch_algorithms
from storage.postgres.engine import Database
from storage.settings import MonitoringSettings

_LOG = logging.getLogger(__name__)
_ACTOR = "housekeeper"


def watch_drift(database: Database, monitoring: MonitoringSettings) -> int:
    """Look at every algorithm that is given work; how many alarms began.

    With `demote_on_drift` an active version whose alarm began after it was last activated goes to shadow: whoever
    activates it again has decided about the alarm that stands.

    Raises:
        DatabaseUnavailable: those looked at before stay looked at.
    """
    began = 0
    for algorithm in watch_algorithms(database, monitoring, _ACTOR):
        began += algorithm.alarms_began
        if algorithm.alarms_began:
            _LOG.warning(
                "%s %s: the input or the scores have drifted; see `overread monitor %s`",
                *(algorithm.name, algorithm.version, algorithm.name),
            )
        if algorithm.alarms_ended:
            _LOG.info("%s %s: a drift has ended", algorithm.name, algorithm.version)
        if monitoring.demote_on_drift and algorithm.stage == AlgorithmStage.ACTIVE and algorithm.alarmed_since_active:
            _demote(database, algorithm.name, algorithm.version)
    return began


def _demote(database: Database, name: str, version: str) -> None:
    try:
        PostgresAlgorithmCatalog(database).shadow(
            name, version, _ACTOR, seen=Standing({version: AlgorithmStage.ACTIVE})
        )
    except InvalidTransition:
        return  # somebody has decided meanwhile
    _LOG.warning("%s %s is in shadow now, because it has drifted; nothing analyses in its place", name, version)
