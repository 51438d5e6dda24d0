"""Whether every success was answered after its syncs, from the record of what the kernel was asked to do (F22)."""

import struct
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from overread.torture.ledger import SUCCESS
from overread.torture.recording import Disk, FileOnDisk, Record

_FIRST_ELEMENT = b"\x08\x00\x16\x00UI"  # with which our data sets begin
_SOP_INSTANCE_UID = b"\x08\x00\x18\x00UI"
_SEARCHED = 16 * 1024
_C_STORE_RSP = 0x8001


class AnswersInOrder(Disk):
    """Replays a record; at each success it looks whether the data set would survive a power cut at that moment.

    ``sizes`` are those of the data sets by SOP Instance UID.
    """

    def __init__(self, record: Path, sizes: Mapping[str, int], forgets: str = "") -> None:
        self.checked = 0
        self.too_early: list[str] = []
        self._sizes = sizes
        self._places: dict[str, list[tuple[FileOnDisk, Record, int]]] = defaultdict(list)
        super().__init__(record, forgets)

    def apply(self, change: Record) -> None:
        """Take up one more record; judge it when it is an answer."""
        super().apply(change)
        if change.op == "W":
            self._remember(change)
        elif change.op == "A":
            uid = _stored_uid(bytes(change.data))
            if uid in self._sizes:
                self.checked += 1
                if not any(self._survives(*place, self._sizes[uid]) for place in self._places[uid]):
                    self.too_early.append(uid)

    def _remember(self, change: Record) -> None:
        head = bytes(change.data[:_SEARCHED])
        start, place = head.find(_FIRST_ELEMENT), head.find(_SOP_INSTANCE_UID)
        if 0 <= start < place:
            (length,) = struct.unpack_from("<H", head, place + 6)
            uid = head[place + 8 : place + 8 + length].rstrip(b"\0 ").decode("ascii")
            self._places[uid].append((self.node(change.inode), change, change.offset + start))

    def _survives(self, file: FileOnDisk, first: Record, start: int, size: int) -> bool:
        """Whether the data set's bytes in this file are complete and synced, and a name of the file is."""
        end, covered = start + size, start
        for change in file.changes:
            if change.op != "W" or change.position < first.position or change.position in file.lost:
                continue
            if change.offset <= covered < change.offset + len(change.data):
                if change.position >= file.synced_to:
                    return False
                covered = change.offset + len(change.data)
            if covered >= end:
                return self.is_named(file)
        return False


def _stored_uid(pdu: bytes) -> str:
    """The SOP Instance UID that a C-STORE-RSP of success is about; empty for any other PDU."""
    values: dict[int, bytes] = {}
    position = 12
    while position + 8 <= len(pdu):
        group, element, length = struct.unpack_from("<HHL", pdu, position)
        if group == 0:
            values[element] = pdu[position + 8 : position + 8 + length]
        position += 8 + length
    numbers = {element: int.from_bytes(values.get(element, b"\xff\xff"), "little") for element in (0x0100, 0x0900)}
    if numbers != {0x0100: _C_STORE_RSP, 0x0900: SUCCESS}:
        return ""
    return values.get(0x1000, b"").rstrip(b"\0 ").decode("ascii")
