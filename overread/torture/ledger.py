"""What the sender knows: one line for each answer, written before the answer counts."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from overread.torture.instances import Instance

SUCCESS = 0x0000


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt to store one instance; ``status`` is ``None`` when no answer came."""

    sop_instance_uid: str
    sha256: str
    size: int
    status: int | None
    at: float


class Ledger:
    """A file of JSON lines that is only appended to; any number of threads and processes may write into one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def note(self, instance: Instance, sha256: str, status: int | None) -> None:
        """Write down one answer, or that there was none; it is with the kernel when this returns."""
        entry = Entry(instance.sop_instance_uid, sha256, instance.size, status, time.time())
        os.write(self._descriptor, json.dumps(asdict(entry)).encode() + b"\n")


def read_ledger(path: Path) -> list[Entry]:
    """Every entry, oldest first."""
    return [Entry(**json.loads(line)) for line in path.read_text(encoding="ascii").splitlines()]


def acknowledged(entries: list[Entry]) -> dict[str, str]:
    """SOP Instance UID and digest of everything that was answered with success; the first answer counts."""
    found: dict[str, str] = {}
    for entry in entries:
        if entry.status == SUCCESS:
            found.setdefault(entry.sop_instance_uid, entry.sha256)
    return found
