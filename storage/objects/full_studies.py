"""Which studies have all that one study may have, as files that every receiving process sees.

The importer makes a file when the rows of a study reach the quota. Receivers only look whether there is one, without a
lock and without the database; until it is there, what may wait of a study is limited by the spool alone.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from storage.domain.study import StudySize
from storage.objects.durable import remove, sync_folder, write_new
from storage.objects.layout import DataFolder
from storage.settings import SpoolSettings

_DIGEST_BYTES = 20


class FullStudies:
    """The full studies of one data folder; any number of threads and processes may use it."""

    def __init__(self, folder: DataFolder, settings: SpoolSettings) -> None:
        self._folder = folder.full_studies
        self._prefix = f"{folder.full_studies}{os.sep}"
        self._settings = settings

    def may_hold(self, size: StudySize) -> bool:
        """Whether a study of this size may have more."""
        most_instances, most_bytes = self._settings.most_instances_per_study, self._settings.most_bytes_per_study
        return size.instances < most_instances and size.bytes < most_bytes

    def has(self, study_instance_uid: str) -> bool:
        """Whether this study is full."""
        return os.access(self._name(study_instance_uid), os.F_OK)

    def add(self, study_instance_uid: str) -> None:
        """This study is full from now on, also after a power cut. Raises OSError."""
        with contextlib.suppress(FileExistsError):
            write_new(Path(self._name(study_instance_uid)), json.dumps(study_instance_uid).encode())
        sync_folder(self._folder)

    def all(self) -> Iterator[str]:
        """Their Study Instance UIDs; a file that cannot be read is removed, the next instance makes it again."""
        for path in sorted(self._folder.iterdir()):
            uid = _uid_in(path)
            if uid is not None and self._name(uid) == str(path):
                yield uid
            else:
                remove(path)

    def remove(self, study_instance_uid: str) -> None:
        """This study may have more again."""
        remove(Path(self._name(study_instance_uid)))

    def _name(self, study_instance_uid: str) -> str:
        return self._prefix + hashlib.blake2b(study_instance_uid.encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _uid_in(path: Path) -> str | None:
    try:
        uid = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return uid if isinstance(uid, str) else None
