"""The confined process: ``python -m training.published NAME FOLDER FILE …``, started by ``confined.py`` only."""

import ctypes
import json
import resource
import signal
import sys
from pathlib import Path

from training.errors import TrainingError

_GIB = 2**30
_LIMITS = {
    resource.RLIMIT_AS: 20 * _GIB,
    resource.RLIMIT_CPU: 1800,  # seconds, of all threads together
    resource.RLIMIT_FSIZE: _GIB,
    resource.RLIMIT_CORE: 0,
}
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000  # CLONE_NEWNET, CLONE_NEWUSER of sched.h


def _confine() -> None:
    """Before anything of a stranger is opened. Where the system does not let us leave the network, we stay in it."""
    for limit, value in _LIMITS.items():
        hard = resource.getrlimit(limit)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (allowed, allowed))
    system = ctypes.CDLL(None)
    system.prctl(_DIES_WITH_PARENT, signal.SIGKILL, 0, 0, 0)  # a command that is killed leaves nobody converting
    if system.unshare(_NEW_NETWORK):
        system.unshare(_NEW_USER | _NEW_NETWORK)


def _main(name: str, folder: Path, files: list[Path]) -> None:
    from inference.algorithms.golden import write_golden
    from training.published.confined import MODEL_NAME, RECORD_NAME
    from training.published.networks import convert

    converted = convert(name, files)
    (folder / MODEL_NAME).write_bytes(converted.model)
    write_golden(folder, converted.golden)
    (folder / RECORD_NAME).write_text(json.dumps({"difference": converted.difference}))


if __name__ == "__main__":
    _confine()
    try:
        _main(sys.argv[1], Path(sys.argv[2]), [Path(one) for one in sys.argv[3:]])
    except TrainingError as error:
        from training.published.confined import REFUSED

        sys.exit(f"{REFUSED}{error}")
