"""Children that end with the process that started them."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def end_with_parent(with_signal: signal.Signals) -> Callable[[], None]:
    """A ``preexec_fn`` for a child that the kernel sends ``with_signal`` when the thread that started it ends.

    It is made before the fork, because little may be done between fork and exec.
    """
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True)

    def ask_for_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, with_signal)
        if os.getppid() != parent:  # the parent ended before it could be watched
            os._exit(1)

    return ask_for_signal
