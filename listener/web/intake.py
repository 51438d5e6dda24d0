"""The instances of one web request on their way into the spool, by the code that decides for C-STORE."""

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from anyio import CancelScope
from anyio.to_thread import run_sync

from listener.errors import ListenerError
from listener.scp.presentation_contexts import STORAGE_CLASSES, TRANSFER_SYNTAXES
from listener.scp.status import SOP_CLASS_NOT_SUPPORTED, STATUS_OF_OUTCOME, STATUS_OF_REFUSAL, SUCCESS, Status
from listener.scp.store import StoreHandler, StoreRequest
from listener.web.part10_head import HEAD_LIMIT, FileMeta, read_file_meta
from listener.web.set_aside_allowance import SetAsideAllowance
from storage.domain.association import Association, AssociationEnd, Door
from storage.domain.study import QuarantineReason
from storage.errors import UnreadableDataSet
from storage.ports.arrivals import IncomingInstance

SPILL_BYTES = 2**20  # of one instance are in memory at most, and as much again on its way to the disk
SET_ASIDE_LIMIT = 100  # instances of one request that may go to quarantine

# What a presentation context settles for C-STORE (PS3.18 table I.2-2).
TRANSFER_SYNTAX_NOT_SUPPORTED = Status(
    "Refused: Transfer Syntax Not Supported",
    0xC122,
    "The transfer syntax is not one of the Standard's",
    "PS3.18 table I.2-2",
    "Send the instance in another transfer syntax.",
)

# An instance that is answered so has been set aside, durably.
_SET_ASIDE = frozenset({*STATUS_OF_OUTCOME.values(), *STATUS_OF_REFUSAL.values()} - {SUCCESS})


class InstanceTooLarge(ListenerError):
    """An instance is larger than [web] max_instance_bytes; send it by C-STORE, or raise the limit."""


class TooManySetAside(ListenerError):
    """More than 100 instances of the request were refused and set aside; repair them, and send the others again."""


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
    """Takes instances one by one, for one account; of each about a megabyte is in memory."""

    def __init__(
        self,
        handler: StoreHandler,
        *,
        account: str,
        address: str,
        max_instance_bytes: int,
        allowance: SetAsideAllowance,
        called_ae_title: str = "",
    ) -> None:
        """``called_ae_title`` is the name of ours under which they count as received, if any."""
        self._handler = handler
        self._max_bytes = max_instance_bytes
        self._allowance = allowance
        self._set_aside = 0
        self._association = Association(
            association_id=str(uuid.uuid4()),
            calling_ae_title="",
            called_ae_title=called_ae_title,
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
            TooManySetAside: the request had too many instances refused before; this one was not read.
            AllowanceSpent: the account had; this one was not read.
        """
        if self._set_aside >= SET_ASIDE_LIMIT:
            raise TooManySetAside
        self._allowance.require(self._association.account)
        file = _IncomingFile(self._handler.begin)
        try:
            async for chunk in chunks:
                if file.size + len(chunk) > self._max_bytes:
                    raise InstanceTooLarge
                if file.write(chunk) >= SPILL_BYTES:
                    await run_sync(file.spill)
        except BaseException:
            with CancelScope(shield=True):
                await run_sync(file.discard)
            raise
        taken = await run_sync(self._decide, file, study_instance_uid)
        self.taken.append(taken)
        if taken.status in _SET_ASIDE:
            self._set_aside += 1
            self._allowance.spend(self._association.account, file.size)
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

    def _decide(self, file: "_IncomingFile", study_instance_uid: str) -> Taken:
        meta, incoming = file.finished()
        if meta is None:
            unnamed = StoreRequest("", "", "", "", incoming, self._association)
            return Taken(self._handler.refuse(unnamed, QuarantineReason.UNPARSABLE))
        if file.refused is not None:
            incoming.discard()
            return Taken(file.refused, meta.sop_class_uid, meta.sop_instance_uid)
        decision = self._handler.decide(
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
        header = decision.header
        return Taken(
            decision.status,
            meta.sop_class_uid,
            meta.sop_instance_uid,
            header.study_instance_uid if header else "",
            header.series_instance_uid if header else "",
        )


class _IncomingFile:
    """A file as it comes: its head is held until the file meta information is read, its data set goes to the spool."""

    def __init__(self, begin: Callable[[str, str, str, str], IncomingInstance]) -> None:
        self._begin = begin
        self._head: bytearray | None = bytearray()
        self._meta: FileMeta | None = None
        self._incoming: IncomingInstance | None = None
        self._held = 0  # bytes since the last spill
        self.refused: Status | None = None
        self.size = 0

    def write(self, chunk: bytes) -> int:
        """Take the next bytes; returns how many are in memory."""
        self.size += len(chunk)
        if self._head is not None:
            self._head += chunk
            if len(self._head) >= HEAD_LIMIT:
                self._end_of_head()
        else:
            self._add(chunk)
        return self._held

    def spill(self) -> None:
        """Free the memory."""
        if self._incoming is not None:
            self._incoming.spill()
        self._held = 0

    def discard(self) -> None:
        """Forget it; nothing stays."""
        if self._incoming is not None:
            self._incoming.discard()

    def finished(self) -> tuple[FileMeta | None, IncomingInstance]:
        """The file meta information and the data set; ``None`` and everything when it is no DICOM file."""
        incoming = self._incoming or self._end_of_head()
        return self._meta, incoming

    def _end_of_head(self) -> IncomingInstance:
        head = bytes(self._head or b"")
        self._head = None
        try:
            meta = self._meta = read_file_meta(head)
        except UnreadableDataSet:
            self._incoming = self._begin("", "", "", "")
            self._add(head)
        else:
            self.refused = _refused_unread(meta)
            self._incoming = self._begin(meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax_uid, "")
            self._add(head[meta.data_set_offset :])
        return self._incoming

    def _add(self, piece: bytes) -> None:
        if self.refused is None and self._incoming is not None:
            self._incoming.add(piece)
            self._held += len(piece)


def _refused_unread(meta: FileMeta) -> Status | None:
    """Why the data set of such a file is not wanted."""
    if meta.sop_class_uid not in STORAGE_CLASSES:
        return SOP_CLASS_NOT_SUPPORTED
    return None if meta.transfer_syntax_uid in TRANSFER_SYNTAXES else TRANSFER_SYNTAX_NOT_SUPPORTED
