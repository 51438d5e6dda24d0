"""Reports of storage commitment that came to us, until the database has them: small files that survive a restart."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from storage.domain.commitment import ReceivedReport
from storage.errors import SpoolFull, SpoolWriteFailed
from storage.objects.durable import remove, sync_folder, write_new
from storage.objects.layout import DataFolder, new_entry_id

_MOST = 256  # reports that wait; each may name thousands of instances
_MOST_OF_ONE = 64  # the same of one AE title, so that others have places too


class ReportFolder:
    """Implements the port CommitmentReports; threads and processes may share one folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder.commitment_reports

    def keep(self, report: ReceivedReport) -> None:
        """Make a report durable.

        Raises:
            SpoolFull: too many wait, of this peer or of all.
            SpoolWriteFailed: the disk refuses it.
        """
        peer = hashlib.sha256(report.calling_ae_title.encode()).hexdigest()[:16]
        waiting = self._all()
        if len(waiting) >= _MOST or sum(name.endswith(peer) for name in waiting) >= _MOST_OF_ONE:
            raise SpoolFull
        report_id = f"{new_entry_id()}-{peer}"
        content = {
            "transaction_uid": report.transaction_uid,
            "committed": sorted(report.committed),
            "failures": report.failures,
            "calling_ae_title": report.calling_ae_title,
            "remote_address": report.remote_address,
        }
        draft = self._folder / f"{report_id}.part"
        try:
            write_new(draft, json.dumps(content).encode())
            draft.rename(self._path(report_id))
            sync_folder(self._folder)
        except OSError as error:
            remove(draft)
            raise SpoolWriteFailed from error

    def waiting(self) -> Iterator[tuple[str, ReceivedReport]]:
        """The reports with their identifiers, oldest first."""
        for report_id in self._all():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                content = json.loads(self._path(report_id).read_bytes())
                yield report_id, ReceivedReport(**content | {"committed": frozenset(content["committed"])})

    def forget(self, report_id: str) -> None:
        """The database has it."""
        remove(self._path(report_id))

    def _all(self) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def _path(self, report_id: str) -> Path:
        return self._folder / f"{report_id}.json"
