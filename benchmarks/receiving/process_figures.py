"""CPU time and memory of a process and all its descendants, read from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

from overread.torture.processes import descendants

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far and the largest resident set in bytes.

    Apart stand what works behind the answer, as our importer does, which gives way to the rest by its nice value, and
    the server's own database.
    """

    cpu: float
    behind_cpu: float
    database_cpu: float
    peak_rss: int

    def __sub__(self, earlier: "Usage") -> "Usage":
        return Usage(
            self.cpu - earlier.cpu,
            self.behind_cpu - earlier.behind_cpu,
            self.database_cpu - earlier.database_cpu,
            self.peak_rss,
        )


def usage(root: int) -> Usage:
    """What the process ``root`` and its descendants used; those that ended count through who waited for them."""
    cpu = behind_cpu = database_cpu = 0.0
    peak = 0
    for pid in descendants(root):
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        name, rest = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
        seconds = sum(int(ticks) for ticks in rest[11:15]) / _TICK  # own and waited-for children's, user and system
        if name == "postgres":
            database_cpu += seconds
        else:
            if int(rest[16]) > 0:
                behind_cpu += seconds
            else:
                cpu += seconds
            sizes = (int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
            peak = max(peak, max(sizes, default=0))  # one that has ended and is not waited for yet has no size
    return Usage(cpu, behind_cpu, database_cpu, peak)


def forget_peaks(root: int) -> None:
    """Let the largest resident set be counted from now on."""
    for pid in descendants(root):
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        except OSError:
            continue
