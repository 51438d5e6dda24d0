"""Notifications of availability, until the database has them."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from storage.domain.completeness import AvailabilityNotice
from storage.objects.layout import DataFolder
from storage.objects.message_folder import MessageFolder


class AvailabilityFolder:
    """Implements the port AvailabilityNotices; threads and processes may share one folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._messages = MessageFolder(folder.availability, "notification of availability")

    def keep(self, notice: AvailabilityNotice) -> None:
        """Make a notification durable.

        Raises:
            SpoolFull: too many wait, of this peer or of all.
            SpoolWriteFailed: the disk refuses it.
        """
        self._messages.keep(notice.calling_ae_title, asdict(notice))

    def waiting(self) -> Iterator[tuple[str, AvailabilityNotice]]:
        """The notifications with their identifiers, oldest first; a file that is none any more is removed."""
        for notice_id in self._messages.all():
            notice = self._messages.read(notice_id, _notice)
            if notice is not None:
                yield notice_id, notice

    def forget(self, notice_id: str) -> None:
        """The database has it."""
        self._messages.forget(notice_id)


def _notice(content: dict[str, Any]) -> AvailabilityNotice:
    return AvailabilityNotice(**content | {"sop_instance_uids": tuple(content["sop_instance_uids"])})
