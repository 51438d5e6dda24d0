"""The received instances that have rows, and the frozen evidence with its pictures."""

import hashlib
import os
from functools import cached_property
from pathlib import Path

from storage.errors import DamagedObject, EvidenceNotStored
from storage.objects.direct import InBlocks, direct_flag
from storage.objects.durable import make_folder, remove, sync_folder, write_new, write_new_blocks
from storage.objects.layout import DataFolder, new_entry_id
from storage.objects.part10 import Digests, data_set_digests


class ObjectStore:
    """Files that stay: implements the ports ObjectPaths and EvidenceStore."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder

    @cached_property
    def _direct(self) -> int:
        return direct_flag(self._folder.objects)

    def instance(self, sop_instance_uid: str) -> Path:
        """The Part 10 file of a received instance, whether or not it exists yet."""
        return self._folder.instance(sop_instance_uid)

    def adopt(self, source: Path, sop_instance_uid: str) -> Path:
        """Give a spooled file its lasting name; durable once ``sync_folder`` was called on the returned folder.

        Adopting the same bytes twice changes nothing.

        Raises:
            FileExistsError: other bytes are already held under this UID.
            OSError: the link cannot be made.
        """
        target = self._folder.instance(sop_instance_uid)
        make_folder(target.parent)
        try:
            os.link(source, target)
        except FileExistsError:
            if not target.samefile(source) and data_set_digests(target) != data_set_digests(source):
                raise
        return target.parent

    def draft(self, part10: InBlocks, sop_instance_uid: str) -> Path:
        """Write an instance durably beside its lasting name. Raises OSError."""
        target = self._folder.instance(sop_instance_uid)
        make_folder(target.parent)
        path = target.with_name(f"{new_entry_id()}.part")
        write_new_blocks(path, part10, self._direct)
        return path

    def name(self, draft: Path, sop_instance_uid: str) -> Path:
        """Give a draft its lasting name; durable once ``sync_folder`` was called on the returned folder.

        Only the importer names objects, one process at a time. The same bytes twice change nothing.

        Raises:
            FileExistsError: other bytes are already held under this UID; the draft is gone.
            OSError: the name cannot be given.
        """
        target = self._folder.instance(sop_instance_uid)
        if not target.exists():
            draft.rename(target)
            return target.parent
        try:
            if data_set_digests(target) != data_set_digests(draft):
                raise FileExistsError(target.name)
        finally:
            remove(draft)
        return target.parent

    def held(self, sop_instance_uid: str) -> Digests | None:
        """The digests of the data set held under this UID, or ``None`` when there is none.

        Raises:
            DamagedObject: the file is not a Part 10 file any more.
        """
        try:
            return data_set_digests(self._folder.instance(sop_instance_uid))
        except FileNotFoundError:
            return None

    def verify(self, sop_instance_uid: str, sha256: str) -> Path:
        """The file of an instance, after reading it whole and comparing it with the digest of its arrival.

        Raises:
            DamagedObject: the file is missing or its data set has another digest.
        """
        path = self._folder.instance(sop_instance_uid)
        try:
            digest = data_set_digests(path).sha256
        except OSError as error:
            raise DamagedObject(
                f"The file of instance {sop_instance_uid} cannot be read; restore it from a backup."
            ) from error
        if digest != sha256:
            raise DamagedObject(
                f"The file of instance {sop_instance_uid} does not match its digest; restore it from a backup."
            )
        return path

    def freeze(self, content: bytes) -> str:
        """Make the bytes durable and return their SHA-256 as hexadecimal text; freezing twice keeps one copy.

        Raises:
            EvidenceNotStored: the disk did not take them.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        target = self._folder.evidence_file(sha256)
        draft = target.with_name(f"{new_entry_id()}.part")
        try:
            make_folder(target.parent)
            if not _holds(target, sha256):
                write_new(draft, content)
                draft.rename(target)  # whoever raced us wrote the same bytes
            sync_folder(target.parent)
        except OSError as error:
            remove(draft)
            raise EvidenceNotStored from error
        return sha256

    def evidence(self, sha256: str) -> Path:
        """The file that holds the bytes with this digest."""
        return self._folder.evidence_file(sha256)


def _holds(path: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except FileNotFoundError:
        return False
