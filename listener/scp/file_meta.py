"""What stands before a received data set in our files (PS3.10 section 7.1): preamble, prefix, file meta information."""

import struct

# Ours for good: a UUID-derived UID (PS3.5 section B.2), so that nobody had to register a root.
IMPLEMENTATION_CLASS_UID = "2.25.51454811366013196462079510399331078989"
IMPLEMENTATION_VERSION_NAME = "OVERREAD_0_1"

_LONGEST_VALUE = 64  # bytes (PS3.5 section 6.2, UI); what is longer is refused and never gets a file of its own
_PREAMBLE = bytes(128)  # zeros: a preamble can make a file pass for another kind of file (PS3.10 section 7.5)


def part10_prefix(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, calling_ae_title: str) -> bytes:
    """The bytes to put before the data set of an instance; ``calling_ae_title`` is who sent it, if it has one."""
    elements = b"".join(
        (
            _element(0x0001, b"OB", b"\x00\x01"),  # File Meta Information Version
            _element(0x0002, b"UI", _padded(sop_class_uid, b"\x00")),
            _element(0x0003, b"UI", _padded(sop_instance_uid, b"\x00")),
            _element(0x0010, b"UI", _padded(transfer_syntax_uid, b"\x00")),
            _element(0x0012, b"UI", _padded(IMPLEMENTATION_CLASS_UID, b"\x00")),
            _element(0x0013, b"SH", _padded(IMPLEMENTATION_VERSION_NAME, b" ")),
            # Source Application Entity Title; what came over the web has none.
            _element(0x0016, b"AE", _padded(calling_ae_title, b" ")) if calling_ae_title else b"",
        )
    )
    return _PREAMBLE + b"DICM" + _element(0x0000, b"UL", struct.pack("<L", len(elements))) + elements


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    if vr == b"OB":
        return struct.pack("<HH2sHL", 0x0002, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 0x0002, number, vr, len(value)) + value


def _padded(text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", errors="replace")[:_LONGEST_VALUE]
    return value + padding if len(value) % 2 else value
