"""Which process has a SOP Instance UID while its instance has no object yet.

A claim is a symbolic link that leads nowhere: making one is exclusive across processes, and its text, the digest and
the owner, is there from the first moment. Claims are never synced: after a crash the records of the log are the truth,
and what is left of claims is removed by the importer.
"""

import base64
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from storage.objects.layout import DataFolder

_ABANDONED_SECONDS = 600  # from a claim to the end of its commit it takes milliseconds
_TRIES = 100  # each lost try means that the claim was given back in between


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose a UID is, and the SHA-256 of the bytes it was claimed for, as hexadecimal text."""

    sha256: str
    owner: str


class Claims:
    """The claims of one data folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder

    def take(self, sop_instance_uid: str, claim: Claim) -> Claim | None:
        """Claim a UID; the claim that stands in the way, or ``None`` when it is ours now. Raises OSError."""
        path = self._folder.claim(sop_instance_uid)
        for _ in range(_TRIES):
            try:
                path.symlink_to(_text(claim))
            except FileExistsError:
                held = self.holder(sop_instance_uid)
                if held is not None:
                    return held
            else:
                return None
        raise OSError("a claim comes and goes")

    def holder(self, sop_instance_uid: str) -> Claim | None:
        """Who has a UID."""
        try:
            return _claim(str(self._folder.claim(sop_instance_uid).readlink()))
        except FileNotFoundError:
            return None

    def give_back(self, sop_instance_uid: str, claim: Claim) -> None:
        """Remove a claim, if it is this one."""
        if self.holder(sop_instance_uid) == claim:
            with contextlib.suppress(FileNotFoundError):
                self._folder.claim(sop_instance_uid).unlink()

    def remove_abandoned(self, is_alive: Callable[[str], bool]) -> int:
        """Remove what no living process has claimed lately, and return how many; nothing may wait in the logs."""
        count = 0
        for name, age in self._ages():
            path = self._folder.claims / name
            with contextlib.suppress(FileNotFoundError):
                if age > _ABANDONED_SECONDS or not is_alive(_claim(str(path.readlink())).owner):
                    path.unlink()
                    count += 1
        return count

    def _ages(self) -> Iterator[tuple[str, float]]:
        now = time.time()
        with os.scandir(self._folder.claims) as items:
            for item in items:
                with contextlib.suppress(FileNotFoundError):
                    yield item.name, now - item.stat(follow_symlinks=False).st_mtime


def _text(claim: Claim) -> str:
    """Short enough (60 bytes) for a file system to keep it beside the name."""
    return f"{base64.urlsafe_b64encode(bytes.fromhex(claim.sha256)).decode().rstrip('=')}.{claim.owner}"


def _claim(text: str) -> Claim:
    digest, _, owner = text.partition(".")
    try:
        return Claim(base64.urlsafe_b64decode(digest + "=").hex(), owner)
    except ValueError:  # somebody else's link
        return Claim("", owner)
