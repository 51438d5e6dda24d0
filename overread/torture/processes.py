"""The processes of a service, found in /proc, and what they hold."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Holdings:
    """What a process and its descendants hold together.

    Memory is what is theirs alone; pages of mapped files are the system's, which takes them back when it needs them.
    """

    processes: int
    threads: int
    descriptors: int
    memory_bytes: int


def descendants(root: int) -> list[int]:
    """The process and everything it started that still runs, itself first."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop(0)
        found.append(pid)
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended this moment
            for listing in list(Path(f"/proc/{pid}/task").glob("*/children")):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # or only a thread of it
                    waiting += [int(child) for child in listing.read_text().split()]
    return found


def holdings(root: int) -> Holdings:
    """Count threads, descriptors and memory; what ends meanwhile is passed over."""
    processes = threads = descriptors = memory = 0
    for pid in descendants(root):
        try:
            status = dict(
                line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
            )
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - names only
        except (FileNotFoundError, ProcessLookupError):
            continue
        processes += 1
        threads += int(status["Threads"])
        memory += sum(int(status.get(kind, "0 kB").split()[0]) for kind in ("RssAnon", "RssShmem")) * 1024
    return Holdings(processes, threads, descriptors, memory)
