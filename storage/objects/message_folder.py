"""Messages of peers until somebody has taken them: small files that survive a restart."""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from storage.errors import SpoolFull, SpoolWriteFailed
from storage.objects.durable import remove, sync_folder, write_new
from storage.objects.layout import new_entry_id

_Message = TypeVar("_Message")

_LOG = logging.getLogger(__name__)

MOST = 256  # messages that wait; each may name thousands of instances
MOST_OF_ONE = 64  # the same of one AE title, so that others have places too


class MessageFolder:
    """``<id>.json`` is a message, ``<id>.part`` its draft, which ``storage.objects.sweep`` removes if
    its writer died; threads and processes may share one folder.

    ``what`` is what a message is, for the log.
    """

    def __init__(self, folder: Path, what: str) -> None:
        self._folder = folder
        self._what = what

    def keep(self, calling_ae_title: str, content: object) -> str:
        """Make a message of this peer durable and return its identifier.

        Raises:
            SpoolFull: too many wait, of this peer or of all.
            SpoolWriteFailed: the disk refuses it.
        """
        peer = hashlib.sha256(calling_ae_title.encode()).hexdigest()[:16]
        waiting = self.all()
        if len(waiting) >= MOST or sum(name.endswith(peer) for name in waiting) >= MOST_OF_ONE:
            raise SpoolFull
        message_id = f"{new_entry_id()}-{peer}"
        draft = self.path(message_id, ".part")
        try:
            write_new(draft, json.dumps(content).encode())
            draft.rename(self.path(message_id))
            sync_folder(self._folder)
        except OSError as error:
            remove(draft)
            raise SpoolWriteFailed from error
        return message_id

    def read(self, message_id: str, decode: Callable[[Any], _Message]) -> _Message | None:
        """The message; ``None`` when it is gone, or cannot be read now, or is damaged and so is removed."""
        try:
            content = self.path(message_id).read_bytes()
        except OSError:
            return None
        try:
            return decode(json.loads(content))
        except (ValueError, KeyError, TypeError):
            _LOG.error("A %s was damaged on the disk and is dropped; check the disk.", self._what)
            self.forget(message_id)
            return None

    def forget(self, message_id: str) -> None:
        """It was taken, or is given up."""
        remove(self.path(message_id))

    def all(self, suffix: str = ".json") -> list[str]:
        """The identifiers of what has a file of this suffix, oldest first."""
        return sorted(path.stem for path in self._folder.glob(f"*{suffix}"))

    def path(self, message_id: str, suffix: str = ".json") -> Path:
        """Where a file of a message is."""
        return self._folder / f"{message_id}{suffix}"
