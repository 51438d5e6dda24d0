"""The instances of one web request on their way into the spool, by the code that decides for C-STORE."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO

from anyio.to_thread import run_sync

from listener.errors import ListenerError, UnreadableDataSet
from listener.scp.presentation_contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from listener.scp.status import SOP_CLASS_NOT_SUPPORTED, SUCCESS, Status
from listener.scp.store import Decision, StoreHandler, StoreRequest
from listener.web.part10_head import HEAD_LIMIT, FileMeta, read_file_meta
from storage.domain.association import Association, AssociationEnd, Door
from storage.domain.study import QuarantineReason

# What a presentation context settles for C-STORE (PS3.18 table I.2-2).
TRANSFER_SYNTAX_NOT_SUPPORTED = Status(
    "Refused: Transfer Syntax Not Supported",
    0xC122,
    "The transfer syntax is not one of the Standard's",
    "PS3.18 table I.2-2",
    "Send the instance in another transfer syntax.",
)


class InstanceTooLarge(ListenerError):
    """An instance is larger than [web] max_instance_bytes; send it by C-STORE, or raise the limit."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one instance; the UIDs are those of its file meta information, or empty."""

    status: Status
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""  # these two only when the data set was read
    series_instance_uid: str = ""

    @property
    def stored(self) -> bool:
        """Whether it is on stable storage."""
        return self.status is SUCCESS


class Intake:
    """Takes instances one by one, for one account; holds one in memory at a time."""

    def __init__(self, handler: StoreHandler, *, account: str, address: str, max_instance_bytes: int) -> None:
        self._handler = handler
        self._max_bytes = max_instance_bytes
        self._association = Association(
            association_id=str(uuid.uuid4()),
            calling_ae_title="",
            called_ae_title="",
            remote_address=address,
            started_at=datetime.now(UTC),
            door=Door.WEB,
            account=account,
        )
        self.taken: list[Taken] = []

    async def take(self, chunks: AsyncIterator[bytes], study_instance_uid: str = "") -> Taken:
        """Store or refuse the DICOM file that these chunks are; ``study_instance_uid`` if the sender named it.

        Raises:
            InstanceTooLarge: it was not kept.
        """
        file = _IncomingFile()
        async for chunk in chunks:
            if file.size + len(chunk) > self._max_bytes:
                raise InstanceTooLarge
            file.write(chunk)
        taken = await run_sync(self._decide, *file.finished(), study_instance_uid)
        self.taken.append(taken)
        return taken

    async def close(self, broken: str = "") -> None:
        """Leave the note of this request; ``broken`` says why it did not come to its end."""
        stored = sum(each.stored for each in self.taken)
        await run_sync(
            self._handler.record_association,
            replace(
                self._association,
                ended_at=datetime.now(UTC),
                end=AssociationEnd.ABORTED if broken else AssociationEnd.RELEASED,
                stored_count=stored,
                refused_count=len(self.taken) - stored,
                reason=broken,
            ),
        )

    def _decide(self, meta: FileMeta | None, data_set: bytes, study_instance_uid: str) -> Taken:
        if meta is None:
            incoming = self._handler.begin("", "", "", "")
            incoming.add(data_set)
            unnamed = StoreRequest("", "", "", "", incoming, self._association)
            return Taken(self._handler.refuse(unnamed, QuarantineReason.UNPARSABLE))
        decision = self._decision(meta, data_set, study_instance_uid)
        header = decision.header
        return Taken(
            decision.status,
            meta.sop_class_uid,
            meta.sop_instance_uid,
            header.study_instance_uid if header else "",
            header.series_instance_uid if header else "",
        )

    def _decision(self, meta: FileMeta, data_set: bytes, study_instance_uid: str) -> Decision:
        if meta.sop_class_uid not in STORAGE_CLASSES:
            return Decision(SOP_CLASS_NOT_SUPPORTED)
        if meta.transfer_syntax_uid not in TRANSFER_SYNTAXES:
            return Decision(TRANSFER_SYNTAX_NOT_SUPPORTED)
        incoming = self._handler.begin(meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid, "")
        incoming.add(data_set)
        return self._handler.decide(
            StoreRequest(
                sop_class_uid=meta.sop_class_uid,
                sop_instance_uid=meta.sop_instance_uid,
                abstract_syntax_uid=meta.sop_class_uid,
                transfer_syntax_uid=meta.transfer_syntax_uid,
                incoming=incoming,
                association=self._association,
                study_instance_uid=study_instance_uid,
            )
        )


class _IncomingFile:
    """Collects a file: its head until the file meta information is read, then only the data set."""

    def __init__(self) -> None:
        self.size = 0
        self._head: bytearray | None = bytearray()
        self._meta: FileMeta | None = None
        self._rest = BytesIO()

    def write(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self._head is None:
            self._rest.write(chunk)
            return
        self._head += chunk
        if len(self._head) >= HEAD_LIMIT:
            self._end_of_head()

    def finished(self) -> tuple[FileMeta | None, bytes]:
        """The file meta information and the data set; ``None`` and everything when it is no DICOM file."""
        if self._head is not None:
            self._end_of_head()
        return self._meta, self._rest.getvalue()

    def _end_of_head(self) -> None:
        head = bytes(self._head or b"")
        self._head = None
        try:
            self._meta = read_file_meta(head)
        except UnreadableDataSet:
            self._rest.write(head)
        else:
            self._rest.write(head[self._meta.data_set_offset :])
