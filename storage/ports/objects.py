"""Where objects lie, and evidence that is kept."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from storage.domain.result import FrozenFile


class ObjectPaths(Protocol):
    """Where the bytes of received instances are on this machine."""

    def instance(self, sop_instance_uid: str) -> Path:
        """The Part 10 file of a received instance, whether or not it exists yet."""
        ...


class EvidenceStore(Protocol):
    """Keeps the bytes of evidence and pictures as first written; names come from the digest of the content."""

    def freeze(self, pieces: Iterable[bytes]) -> FrozenFile:
        """Make the bytes durable under their SHA-256; freezing twice keeps one copy."""
        ...

    def evidence(self, sha256: str) -> Path:
        """The file that holds the bytes with this digest."""
        ...
