"""What a decoding process is asked: numbers and one UID as JSON, never bytes of a program."""

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

LENGTH = struct.Struct("<L")  # of the JSON that follows

JPEG = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))
JPEG_LS = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (80, 81))
JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91))
HTJ2K = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203))
RLE = frozenset({"1.2.840.10008.1.2.5"})
DECODED_SYNTAXES = JPEG | JPEG_LS | JPEG_2000 | HTJ2K | RLE


@dataclass(frozen=True, slots=True)
class DecodingRequest:
    """One frame of those that are asked for together, and where in the shared memory it and its samples are."""

    transfer_syntax_uid: str
    rows: int
    columns: int
    samples: int
    bytes_per_sample: int
    content_offset: int  # in bytes, as the following ones
    content_length: int
    samples_offset: int
    is_rgb: bool = False  # of three samples: as the header says

    @property
    def samples_length(self) -> int:
        """Bytes of the decoded frame."""
        return self.rows * self.columns * self.samples * self.bytes_per_sample


def to_message(requests: Sequence[DecodingRequest], memory: int) -> bytes:
    """Requests as they are written, with the bytes of the shared memory in all."""
    return message({"memory": memory, "frames": [asdict(request) for request in requests]})


def message(content: dict[str, Any]) -> bytes:
    """A length and JSON."""
    encoded = json.dumps(content).encode()
    return LENGTH.pack(len(encoded)) + encoded
