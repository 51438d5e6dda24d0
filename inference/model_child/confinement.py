"""What the child gives up before it opens anything; called in the child, once."""

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_DESCRIPTORS = 256  # of the libraries, the devices and one image file after the other
_NICER = 5  # receiving and the dashboard go first


def confine(worker: int) -> None:
    """Die with the worker, leave no core, gain no right, and let the system end us before others.

    ``worker`` is the process that started us.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != worker:  # it ended before it could be watched
        os._exit(1)
    with suppress(OSError):
        # Where the machine itself runs out of memory, the system ends us and neither the worker nor the database.
        Path("/proc/self/oom_score_adj").write_text("1000")
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # a core that is piped to a program heeds no limit
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)
    os.nice(_NICER)
    sys.dont_write_bytecode = True
    # The worker gives its child time to finish when a whole group of processes is told to stop.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def limit_memory(most_bytes: int) -> None:
    """Have the kernel refuse what we would allocate beyond this.

    RLIMIT_DATA counts what is ours alone and can be written; RLIMIT_AS would also count what is only reserved, of which
    every thread and every device driver takes a lot.
    """
    _limit(resource.RLIMIT_DATA, most_bytes)


def _limit(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))
