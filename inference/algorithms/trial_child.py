"""The process that looks into a network for the first time: it reads an algorithm folder and may die of it.

Started by `inference.algorithms.trial` as ``python -m inference.algorithms.trial_child`` with FOLDER MEMORY SECONDS
THREADS PARENT and no secret in its environment. It prints one line of JSON: the digests and how far the golden
pair was met, or the sentence that says what is wrong, or that memory was, or the kind of an exception that nobody
foresaw.
"""

import ctypes
import errno
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS (prctl(2))
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_KILLED = 9
_CPU_GRACE_S = 5  # at the hard limit the system kills without saying that time was the reason
_NO_ROOM = ("failed to map segment", "cannot allocate memory")  # of a library that is not loaded for lack of memory
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET (unshare(2))


def main(folder: Path, memory: int, seconds: int, threads: int) -> None:
    """Verify, load and run once; say how it went."""
    answers = os.fdopen(os.dup(1), "w")
    _confine(memory, seconds * threads)
    try:
        told = _told(folder, threads)
    except Exception as error:  # noqa: BLE001 - the last boundary: who asked makes a sentence of it
        told = failure(error)
    print(json.dumps(told), file=answers, flush=True)


def _told(folder: Path, threads: int) -> dict[str, Any]:
    # Imported behind the limits, so that what the libraries take counts too.
    from inference.algorithms.engine import Engine
    from inference.algorithms.folder import verify
    from inference.algorithms.golden import check_golden, read_golden
    from inference.algorithms.output_size import refuse_varying_output
    from inference.errors import InferenceError, OutOfMemory
    from inference.settings import WorkerSettings

    try:
        algorithm = verify(folder)
        engine = Engine(algorithm, WorkerSettings(device="cpu", threads=threads))
        refuse_varying_output(algorithm, engine)
        golden = read_golden(folder, algorithm.manifest)
        parity = None if golden is None else str(check_golden(algorithm, golden, engine))
    except OutOfMemory:
        return {"memory": True}
    except InferenceError as error:
        return {"refused": str(error)}
    return {
        "manifest_sha256": algorithm.manifest_sha256,
        "artifact_sha256": algorithm.artifact_sha256,
        "golden": parity,
    }


def failure(error: Exception) -> dict[str, Any]:
    """What is told of an exception that nobody foresaw: that memory was the reason, or its kind."""
    return {"memory": True} if _lacked_memory(error) else {"failed": type(error).__name__}


def _lacked_memory(error: BaseException | None) -> bool:
    """Whether memory was the reason, of the error or of one that it came from."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if isinstance(error, ImportError) and any(words in str(error).lower() for words in _NO_ROOM):
            return True
        error = error.__cause__ or error.__context__
    return False


def _confine(memory: int, cpu_seconds: int) -> None:
    """Give up what a first load does not need: memory without end, time, files, privileges, the network."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    # Where the kernel lets us; nothing here would use a network. Root keeps its rights to read others' folders.
    libc.unshare(_NEW_NETWORK if os.geteuid() == 0 else _NEW_USER | _NEW_NETWORK)
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        _, hard = resource.getrlimit(limit)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        last = most + (_CPU_GRACE_S if limit == resource.RLIMIT_CPU else 0)
        resource.setrlimit(limit, (most, last if hard == resource.RLIM_INFINITY else min(last, hard)))


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, _KILLED, 0, 0, 0)
    if os.getppid() != int(sys.argv[5]):  # who asked ended before we were tied to it
        sys.exit(1)
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]))
