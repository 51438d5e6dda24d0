"""Images that an algorithm made, as far as they say so: they are kept, but never start an analysis.

A result of ours that a PACS gave another UID, a picture of another Overread, or of another AI node, is an image by its
SOP class. Were it to open a new revision, two nodes behind one PACS would feed each other for ever. Whoever makes such
an image says who made it in the General Equipment Module (PS3.3 section C.7.5.1) and in the Contributing Equipment
Sequence (PS3.3 section C.12.1.5), where IHE's profile AI Results wants each algorithm.
What says nothing cannot be told from an acquired image. Slices that only name processing equipment count as images: so
do those that a workstation reformatted or a reconstruction made better. An analysis too few is worse than one too many.
"""

import struct
from enum import StrEnum

from storage.domain.element_walk import Encoding, item_parts, wanted_values
from storage.errors import MissingSequence, UnreadableDataSet

OUR_MANUFACTURER = "Overread"
OUR_MODEL_NAME = "Overread"


class AiDeclaration(StrEnum):
    """By what an image says that an algorithm made it."""

    OURS = "ours"  # Manufacturer and Manufacturer's Model Name are those of Overread, whichever UID it has
    ALGORITHM = "algorithm"  # contributing equipment with the purpose "Processing Algorithm" (IHE AI Results)
    # A Secondary Capture by processing equipment (109102, DCM), not by a scanner or a camera.
    PROCESSED_CAPTURE = "processed-capture"


_MANUFACTURER, _MODEL_NAME = 0x00080070, 0x00081090
_CONTRIBUTING_EQUIPMENT = 0x0018A001
_PURPOSE = 0x0040A170
_CODE_VALUE, _CODING_SCHEME, _CODE_MEANING = 0x00080100, 0x00080102, 0x00080104

_ALGORITHM_MEANING = b"Processing Algorithm"
_IHE_OR_DICOM = (b"99IHE", b"DCM")  # a site's own code of the same meaning may be that of a reconstruction
_PROCESSING_EQUIPMENT = b"109102"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame family, whose UIDs continue it

_IMPLICIT_LITTLE = "1.2.840.10008.1.2"
_EXPLICIT_BIG = "1.2.840.10008.1.2.2"
_ITEMS = 100  # more equipment than any real image has


def ai_declaration(head: bytes, sop_class_uid: str, transfer_syntax_uid: str) -> AiDeclaration | None:
    """By what the part of a data set before its pixels says that an algorithm made it; ``None`` where it does not.

    Never raises on what a peer sent.
    """
    encoding = Encoding(transfer_syntax_uid == _IMPLICIT_LITTLE, transfer_syntax_uid == _EXPLICIT_BIG)
    if OUR_MANUFACTURER.encode() in head and _is_ours(head, encoding):
        return AiDeclaration.OURS
    if _written(_CONTRIBUTING_EQUIPMENT, encoding) not in head:  # nearly every image of a scanner ends here
        return None
    try:
        items = item_parts(head, encoding, _CONTRIBUTING_EQUIPMENT, _ITEMS)
        said = {_of_equipment(item, encoding, sop_class_uid) for item in items}
    except (MissingSequence, UnreadableDataSet):
        return None
    return next((declaration for declaration in AiDeclaration if declaration in said), None)


def _is_ours(head: bytes, encoding: Encoding) -> bool:
    names = _value(head, encoding, _MANUFACTURER), _value(head, encoding, _MODEL_NAME)
    return names == (OUR_MANUFACTURER.encode(), OUR_MODEL_NAME.encode())


def _of_equipment(item: bytes, encoding: Encoding, sop_class_uid: str) -> AiDeclaration | None:
    """What one item of the Contributing Equipment Sequence declares."""
    try:
        purposes = item_parts(item, encoding, _PURPOSE, _ITEMS)
    except MissingSequence:
        return None
    is_capture = f"{sop_class_uid}.".startswith(f"{_SECONDARY_CAPTURE}.")
    for purpose in purposes:
        scheme = _value(purpose, encoding, _CODING_SCHEME)
        if scheme in _IHE_OR_DICOM and _value(purpose, encoding, _CODE_MEANING) == _ALGORITHM_MEANING:
            return AiDeclaration.ALGORITHM
        if is_capture and scheme == b"DCM" and _value(purpose, encoding, _CODE_VALUE) == _PROCESSING_EQUIPMENT:
            return AiDeclaration.PROCESSED_CAPTURE
    return None


def _value(part: bytes, encoding: Encoding, tag: int) -> bytes:
    """Without padding; nothing where it is not there or cannot be read."""
    try:
        return wanted_values(part, encoding, frozenset({tag})).get(tag, b"").strip(b" \0")
    except UnreadableDataSet:
        return b""


def _written(tag: int, encoding: Encoding) -> bytes:
    return struct.pack(">HH" if encoding.big_endian else "<HH", tag >> 16, tag & 0xFFFF)
