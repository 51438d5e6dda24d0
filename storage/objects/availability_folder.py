"""Notifications of availability, until the database has them: small files that survive a restart."""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from storage.domain.completeness import AvailabilityNotice
from storage.errors import SpoolFull, SpoolWriteFailed
from storage.objects.durable import remove, sync_folder, write_new
from storage.objects.layout import DataFolder, new_entry_id

_LOG = logging.getLogger(__name__)

_MOST = 256  # notifications that wait; each may name thousands of instances
_MOST_OF_ONE = 64  # the same of one AE title, so that others have places too


class AvailabilityFolder:
    """Implements the port AvailabilityNotices; threads and processes may share one folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder.availability

    def keep(self, notice: AvailabilityNotice) -> None:
        """Make a notification durable.

        Raises:
            SpoolFull: too many wait, of this peer or of all.
            SpoolWriteFailed: the disk refuses it.
        """
        peer = hashlib.sha256(notice.calling_ae_title.encode()).hexdigest()[:16]
        waiting = self._all()
        if len(waiting) >= _MOST or sum(name.endswith(peer) for name in waiting) >= _MOST_OF_ONE:
            raise SpoolFull
        notice_id = f"{new_entry_id()}-{peer}"
        draft = self._folder / f"{notice_id}.part"
        try:
            write_new(draft, json.dumps(asdict(notice)).encode())
            draft.rename(self._path(notice_id))
            sync_folder(self._folder)
        except OSError as error:
            remove(draft)
            raise SpoolWriteFailed from error

    def waiting(self) -> Iterator[tuple[str, AvailabilityNotice]]:
        """The notifications with their identifiers, oldest first; a file that is none any more is removed."""
        for notice_id in self._all():
            with contextlib.suppress(OSError):
                try:
                    notice = _read(self._path(notice_id).read_bytes())
                except (ValueError, KeyError, TypeError):
                    _LOG.error("A notification of availability was damaged on the disk and is dropped; check the disk.")
                    self.forget(notice_id)
                    continue
                yield notice_id, notice

    def forget(self, notice_id: str) -> None:
        """The database has it."""
        remove(self._path(notice_id))

    def _all(self) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("*.json"))

    def _path(self, notice_id: str) -> Path:
        return self._folder / f"{notice_id}.json"


def _read(content: bytes) -> AvailabilityNotice:
    fields = json.loads(content)
    return AvailabilityNotice(**fields | {"sop_instance_uids": tuple(fields["sop_instance_uids"])})
