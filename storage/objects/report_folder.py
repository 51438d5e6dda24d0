"""Reports of storage commitment that came to us, until the database has them."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from storage.domain.commitment import ReceivedReport
from storage.objects.layout import DataFolder
from storage.objects.message_folder import MessageFolder


class ReportFolder:
    """Implements the port CommitmentReports; threads and processes may share one folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._messages = MessageFolder(folder.commitment_reports, "report of storage commitment")

    def keep(self, report: ReceivedReport) -> None:
        """Make a report durable.

        Raises:
            SpoolFull: too many wait, of this peer or of all.
            SpoolWriteFailed: the disk refuses it.
        """
        self._messages.keep(report.calling_ae_title, asdict(report) | {"committed": sorted(report.committed)})

    def waiting(self) -> Iterator[tuple[str, ReceivedReport]]:
        """The reports with their identifiers, oldest first; a file that is none any more is removed."""
        for report_id in self._messages.all():
            report = self._messages.read(report_id, _report)
            if report is not None:
                yield report_id, report

    def forget(self, report_id: str) -> None:
        """The database has it."""
        self._messages.forget(report_id)


def _report(content: dict[str, Any]) -> ReceivedReport:
    return ReceivedReport(**content | {"committed": frozenset(content["committed"])})
