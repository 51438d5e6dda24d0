"""How much memory there is, and how much a process has for itself."""

import os
import resource
from pathlib import Path

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_SHARE = 0.75  # of the machine; the rest is for the database, for receiving and for the system
_OWN = ("RssAnon", "RssShmem", "VmSwap")  # proc_pid_status(5); pages of files are not its own


def machine_bytes() -> int:
    """The memory of this machine, or of this container where that has less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in map(Path, _CGROUP_LIMITS):
        try:
            found.append(int(limit.read_text()))
        except (OSError, ValueError):  # no such control group, or "max"
            continue
    return min(found)


def child_bytes(memory_gib: float, children: int) -> int:
    """What one of so many children may use: what the setting says, or its part of three quarters of the machine."""
    if memory_gib:
        return int(memory_gib * 2**30)
    return int(machine_bytes() * _SHARE / children)


def limit_bytes() -> int:
    """What this process may use: its own limit, or that of the machine where it has none."""
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return machine_bytes() if limit == resource.RLIM_INFINITY else min(limit, machine_bytes())


def own_bytes(process: int) -> int:
    """What a process uses that no other one shares; 0 when it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    lines = (line.split(":") for line in status.splitlines() if ":" in line)
    return sum(int(rest.split()[0]) * 1024 for name, rest in ((line[0], line[1]) for line in lines) if name in _OWN)
