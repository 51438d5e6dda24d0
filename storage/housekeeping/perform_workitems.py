"""Workitems of ours are performed: begun when their study is complete, followed, ended; old ones are removed."""

import logging

from storage.errors import DatabaseUnavailable, StorageError
from storage.postgres.engine import Database
from storage.postgres.workitem_events import forget_events
from storage.postgres.workitem_performance import perform, workitems_to_perform
from storage.postgres.workitem_rows import forget_ended
from storage.workitem_settings import WorkitemSettings

_LOG = logging.getLogger(__name__)


def perform_workitems(database: Database, settings: WorkitemSettings) -> int:
    """Take the next step with each, in a transaction of its own; how many changed their state.

    One that cannot be performed does not keep the others waiting; it is looked at again the next time.

    Raises:
        DatabaseUnavailable: those done before stay done.
        StorageError: the last one that failed; all others are done.
    """
    wait_seconds, changed = settings.wait_hours * 3600, 0
    failed: StorageError | None = None
    for workitem_id in workitems_to_perform(database, wait_seconds):
        try:
            state = perform(database, workitem_id, wait_seconds)
        except DatabaseUnavailable:
            raise
        except StorageError as error:
            failed = error
            continue
        if state is not None:
            changed += 1
            _LOG.info("workitem %d is %s", workitem_id, state)
    if failed is not None:
        raise failed
    return changed


def forget_workitems(database: Database, settings: WorkitemSettings) -> int:
    """Remove those that ended long enough ago, and events that nobody fetched; how many workitems it were.

    Raises:
        DatabaseUnavailable: nothing was removed.
    """
    forget_events(database, settings.event_hours * 3600)
    return forget_ended(database, settings.keep_hours * 3600)
