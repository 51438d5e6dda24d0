"""Takes the reports of storage commitment that the acceptor kept, once the database is there."""

import logging
from collections.abc import Callable

from listener.scp.association_policy import title_is_listed
from listener.settings import ListenerSettings
from storage.domain.commitment import Believed
from storage.errors import DatabaseUnavailable, StorageError
from storage.ports.commitment import CommitmentReports

log = logging.getLogger(__name__)


class ReportTaking:
    """``take`` changes the rows and says whether the report was believed."""

    def __init__(self, reports: CommitmentReports, take: Callable[..., Believed], listener: ListenerSettings) -> None:
        self._reports = reports
        self._take = take
        self._listener = listener

    def take_all(self) -> None:
        """Take every report that waits, in order; while the database is away they go on waiting."""
        for report_id, report in self._reports.waiting():
            listed = title_is_listed(self._listener, report.calling_ae_title, report.remote_address)
            try:
                believed = self._take(report, title_is_listed=listed)
            except DatabaseUnavailable:
                return
            except StorageError as error:
                log.error(
                    "A report of storage commitment from %r at %s could not be taken (%s); it is put away, and its "
                    "question is asked again when it is overdue.",
                    *(report.calling_ae_title, report.remote_address, type(error).__name__),
                )
                self._reports.forget(report_id)
                continue
            if believed is not Believed.TAKEN:
                log.warning(
                    "A report of storage commitment from %r at %s was not believed (%s); nothing was changed.",
                    *(report.calling_ae_title, report.remote_address, believed),
                )
            self._reports.forget(report_id)
