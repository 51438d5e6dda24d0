"""The received instances that have rows, and the frozen evidence with its pictures."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from storage.domain.first_reading import FirstReading, first_reading
from storage.domain.result import FrozenFile
from storage.domain.study import InstanceHeader
from storage.errors import DamagedObject, EvidenceNotStored
from storage.objects.direct import InBlocks, direct_flag
from storage.objects.durable import make_folder, remove, sync_folder, write_new_blocks, write_new_pieces
from storage.objects.layout import DataFolder, new_entry_id
from storage.objects.part10 import Digests, data_set_digests, data_set_offset

_HEAD = 1024 * 1024 + 64 * 1024  # bytes: those of a data set in which its image is described, behind the longest meta


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

    def first_reading(self, header: InstanceHeader) -> FirstReading:
        """What is to be read, when it is imported, of the object held under the UID of this header.

        Raises:
            OSError: it cannot be read now.
        """
        with self._folder.instance(header.sop_instance_uid).open("rb") as file:
            head = file.read(_HEAD)
        data_set = memoryview(head)[data_set_offset(head) :]
        return first_reading(data_set, header.sop_class_uid, header.transfer_syntax_uid)

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

    def freeze(self, pieces: Iterable[bytes]) -> FrozenFile:
        """Make the bytes durable under their SHA-256; freezing twice keeps one copy.

        Raises:
            EvidenceNotStored: the disk did not take them.
        """
        draft = self._folder.evidence / f"{new_entry_id()}.part"
        told = _Told(pieces)
        try:
            write_new_pieces(draft, told)
            target = self._folder.evidence_file(told.sha256)
            make_folder(target.parent)
            if _holds(target, told.sha256):
                remove(draft)
            else:
                draft.rename(target)  # whoever raced us wrote the same bytes
            sync_folder(target.parent)
        except OSError as error:
            remove(draft)
            raise EvidenceNotStored from error
        return FrozenFile(told.sha256, told.size)

    def evidence(self, sha256: str) -> Path:
        """The file that holds the bytes with this digest."""
        return self._folder.evidence_file(sha256)


class _Told:
    """Pieces that tell, once they were taken, what they were."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._digest = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._digest.update(piece)
            self.size += len(piece)
            yield piece

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _holds(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False
