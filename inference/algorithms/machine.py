"""How many cores this process may really use: a container counts those of the whole machine otherwise."""

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cores(cgroups: Path = _CGROUPS, own: Path = _OWN) -> int:
    """The cores of the process's affinity, or fewer where its control group grants less time; at least one.

    Both versions of control groups are read, and the groups above the process's own, which bound it too.
    """
    allowed = len(os.sched_getaffinity(0))
    return max(1, min([allowed, *(math.ceil(share) for share in _granted(cgroups, own))]))


def _granted(cgroups: Path, own: Path) -> list[float]:
    """What each group that bounds us grants, in cores; a group without a limit grants nothing that counts."""
    shares = []
    for line in _text(own).splitlines():
        number, controllers, path = line.split(":", 2)
        root = cgroups if number == "0" else cgroups / "cpu"
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        group = root / path.lstrip("/")
        # In a container the path may be one of the host, which is not there; the root then is our own group.
        for folder in {root, group, *(parent for parent in group.parents if root in parent.parents)}:
            shares.extend(_quota(folder))
    return shares


def _quota(folder: Path) -> list[float]:
    words = _text(folder / "cpu.max").split() or [
        *_text(folder / "cpu.cfs_quota_us").split(),
        *_text(folder / "cpu.cfs_period_us").split(),
    ]
    try:
        quota, period = (float(word) for word in words)
    except ValueError:  # no such file, or "max"
        return []
    return [quota / period] if quota > 0 and period > 0 else []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
