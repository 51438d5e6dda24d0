"""The processes of a service, found in /proc, and what they hold."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Holdings:
    """What a process and its descendants hold together."""

    processes: int
    threads: int
    descriptors: int
    resident_bytes: int


def descendants(root: int) -> list[int]:
    """The process and everything it started that still runs, itself first."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop(0)
        found.append(pid)
        for listing in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += [int(child) for child in listing.read_text().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def holdings(root: int) -> Holdings:
    """Count threads, descriptors and resident memory; what ends meanwhile is passed over."""
    processes = threads = descriptors = resident = 0
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
        resident += int(status.get("VmRSS", "0 kB").split()[0]) * 1024
    return Holdings(processes, threads, descriptors, resident)
