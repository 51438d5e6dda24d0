"""The beginning of a DICOM file that somebody sends us (PS3.10 section 7.1): what it says, where its data set begins.

The preamble is read over and never kept: it can make a file pass for a program (PS3.10 section 7.5).
"""

import struct
from dataclasses import dataclass

from storage.errors import UnreadableDataSet

HEAD_LIMIT = 64 * 1024  # bytes; file meta information that is longer is refused

_PREFIX_END = 132
_LONG_VRS = frozenset({b"OB", b"UN", b"OW", b"SQ", b"UT"})
_SOP_CLASS_UID = 0x0002
_SOP_INSTANCE_UID = 0x0003
_TRANSFER_SYNTAX_UID = 0x0010


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the file meta information says; a UID that is missing is empty."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set_offset: int


def read_file_meta(head: bytes) -> FileMeta:
    """Read the file meta information at the beginning of a file.

    Raises:
        UnreadableDataSet: this is no Part 10 file, or its file meta information is longer than ``head``.
    """
    if head[128:_PREFIX_END] != b"DICM":
        raise UnreadableDataSet()
    values: dict[int, str] = {}
    offset = _PREFIX_END
    while True:
        try:
            group, number, vr, length = struct.unpack_from("<HH2sH", head, offset)
            if group != 0x0002:
                break
            start = offset + 8
            if vr in _LONG_VRS:
                (length,) = struct.unpack_from("<L", head, start)
                start += 4
        except struct.error:
            raise UnreadableDataSet() from None
        offset = start + length
        values[number] = head[start:offset].decode("ascii", errors="replace").strip("\x00 ")
    if not values.get(_TRANSFER_SYNTAX_UID):
        raise UnreadableDataSet()
    return FileMeta(
        values.get(_SOP_CLASS_UID, ""), values.get(_SOP_INSTANCE_UID, ""), values[_TRANSFER_SYNTAX_UID], offset
    )
