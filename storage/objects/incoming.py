"""One instance on its way into the spool: references to what was received, or a file once that is too much."""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from storage.errors import SpoolFull
from storage.objects.durable import remove, sync_folder
from storage.objects.large_file import LargeFile
from storage.objects.layout import DataFolder, new_entry_id
from storage.objects.part10 import data_set_digests, digests_of

LARGEST_IN_LOG = 1280 * 1024  # bytes; what is larger gets a file of its own, so that it is not written twice
_TOGETHER = 256  # pieces; an instance that is sent in fragments of 16 KB has fewer


class Incoming:
    """Implements the port IncomingInstance; one thread uses it.

    An error of the disk is kept until the end, because a receiver has to read to the end of a message anyway.
    """

    def __init__(
        self,
        folder: DataFolder,
        owner: str,
        part10_prefix: bytes,
        direct: int,
        require_free_space: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.prefix = part10_prefix
        self.size = 0
        self.file_name = ""  # of the file, when there is one
        self.error: OSError | None = None
        self._folder = folder
        self._owner = owner
        self._flags = direct
        self._require_free_space = require_free_space
        self._digest = blake3()
        self._pieces: list[bytes | memoryview] = []
        self._held = 0  # bytes in the pieces
        self._file: LargeFile | None = None
        self._loose = 0  # pieces since some were put together or written

    @property
    def fingerprint(self) -> str:
        """The BLAKE3 of the data set: SHA-256 is a quarter of what a store costs, more where no instruction helps."""
        return self._digest.hexdigest()

    def sha256(self) -> str:
        """The SHA-256 of the data set, for what is set aside. Raises OSError."""
        if self._file is None and not self.file_name:
            return digests_of(self._pieces).sha256
        self.seal()
        return data_set_digests(self.path).sha256

    @property
    def path(self) -> Path:
        """The file of a large instance."""
        return self._folder.large / self.file_name

    @property
    def pieces(self) -> list[bytes | memoryview]:
        """Prefix and data set, when they are in memory."""
        return [self.prefix, *self._pieces]

    def add(self, piece: bytes | memoryview) -> None:
        """Take the next bytes, by reference."""
        self._digest.update(piece)
        self.size += len(piece)
        if self.error is None:
            self._pieces.append(piece)
            self._held += len(piece)
            self._loose += 1
            if self._loose == _TOGETHER:
                # A reference costs more than a small piece; whoever sends a byte at a time must not make us keep them.
                self._pieces[-_TOGETHER:] = [b"".join(self._pieces[-_TOGETHER:])]
                self._loose = 0

    def spill(self) -> None:
        """Write what is referenced to the file."""
        if self.error is not None or not self._pieces:
            return
        try:
            self._require_free_space(self._held)  # what is only received must not fill the disk either
            if self._file is None:
                self._file = self._new_file()
                self._file.write([self.prefix])
            self._file.write(self._pieces)
        except SpoolFull:
            self.discard()
            self.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self.discard()
            self.error = error
        self._pieces = []
        self._held = self._loose = 0

    def head(self, limit: int) -> bytes:
        """The first bytes of the data set."""
        if self._file is not None:
            self.spill()
        if self._file is not None:
            return self._file.read(limit, len(self.prefix))
        if self._pieces and len(self._pieces[0]) >= limit:
            return bytes(self._pieces[0][:limit])
        return b"".join(self._pieces)[:limit]

    def seal(self) -> None:
        """Make a file durable, with its name, if there has to be one.

        Raises:
            OSError: now or at an earlier piece; no file is left.
        """
        if self._held > LARGEST_IN_LOG or self._file is not None:
            self.spill()
        if self.error is not None:
            raise self.error
        if self._file is None:
            return
        try:
            self._file.finish()
            self._file = None
            sync_folder(self._folder.large)
        except OSError:
            self.discard()
            raise

    def let_go(self) -> None:
        """Leave the file to the record that names it: from now on there is nothing to discard."""
        self._pieces = []
        self._held = 0
        self.file_name = ""

    def discard(self) -> None:
        """Forget it, and remove the file."""
        self._pieces = []
        self._held = 0
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None
        if self.file_name:
            remove(self.path)
            self.file_name = ""

    def _new_file(self) -> LargeFile:
        self.file_name = f"{new_entry_id()}.{self._owner}.dcm"
        return LargeFile(self.path, self._flags)
