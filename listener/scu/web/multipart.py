"""Part 10 files as one body of multipart/related, read from their files while it is sent (PS3.18 section 8.7.3)."""

import hashlib
from collections.abc import Iterator, Sequence

from listener.scu.association import Sendable

_PIECE_BYTES = 1 << 16


class DicomBody:
    """A body of ``size`` bytes; each ``pieces`` reads the files anew, about 64 KiB of them in memory at a time."""

    def __init__(self, files: Sequence[Sendable]) -> None:
        # A digest of the UIDs of what is sent: the same each time, and it does not occur in it.
        boundary = hashlib.sha256("\n".join(each.sop_instance_uid for each in files).encode()).hexdigest()[:40]
        self._files = tuple(files)
        self._head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._end = f"--{boundary}--\r\n".encode()
        self.content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
        self.size = sum(len(self._head) + each.size + 2 for each in self._files) + len(self._end)

    def pieces(self) -> Iterator[bytes]:
        """The body.

        Raises:
            OSError: a file cannot be read.
        """
        for each in self._files:
            yield self._head
            with each.path.open("rb") as file:
                while piece := file.read(_PIECE_BYTES):
                    yield piece
            yield b"\r\n"
        yield self._end
