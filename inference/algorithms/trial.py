"""The first look into a network of strangers: in a fresh process that may cost so much memory and time and no more.

``onnx.checker``, the first load and the golden pair run there, so that a hostile or broken file ends that process and
not the command (a segfault, an endless loop, a tensor of terabytes).
"""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.errors import InvalidAlgorithm

_ANSWER_LIMIT = 2**16
_SENTENCE_LIMIT = 2000
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
# One pool of memory and of threads: what a limit on addresses counts stays what is used.
_SPARING = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_MOST_THREADS = 4
_MEMORY_OF_ITSELF = 6 * 2**30  # libraries, and what a network works with
_MEMORY_PER_BYTE = 8  # of the model: read, parsed, inferred shapes, loaded, optimised
TIME_LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """What the process may take: seconds by the wall clock, and bytes of address space (0: by the model's size)."""

    seconds: int = TIME_LIMIT_S
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """A folder that is complete and consistent and loads; how far its golden pair was met, if it has one."""

    manifest_sha256: str
    artifact_sha256: str
    golden: str | None


def try_out(folder: Path, limits: TrialLimits | None = None) -> Trial:
    """Verify the folder, load its network and run its golden pair, all in a child.

    Raises:
        InvalidAlgorithm: it is not as it should be, or it ended the child; the message says which.
    """
    from inference.algorithms.folder import read_folder  # here: commands without an extra import this module

    limits = limits or TrialLimits()
    read = read_folder(folder)
    memory = limits.memory or _MEMORY_OF_ITSELF + _MEMORY_PER_BYTE * sum(map(len, read.networks))
    told = _answer(_command(folder, memory, limits.seconds), read.manifest.title, memory, limits.seconds)
    if "refused" in told:
        raise InvalidAlgorithm(str(told["refused"])[:_SENTENCE_LIMIT])
    try:
        golden = told["golden"]
        trial = Trial(
            str(told["manifest_sha256"]),
            str(told["artifact_sha256"]),
            None if golden is None else str(golden)[:_SENTENCE_LIMIT],
        )
    except (KeyError, TypeError, ValueError):
        raise InvalidAlgorithm(f"The network of {read.manifest.title} ended its first load with no answer.") from None
    if (trial.manifest_sha256, trial.artifact_sha256) != (read.manifest_sha256, read.artifact_sha256):
        raise InvalidAlgorithm(f"{folder} changed while it was checked; check it again.")
    return trial


def _command(folder: Path, memory: int, seconds: int) -> list[str]:
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    child = [sys.executable, "-B", "-P", "-m", "inference.algorithms.trial_child"]
    return [*child, str(folder.resolve()), str(memory), str(seconds), str(threads)]


def _answer(command: list[str], title: str, memory: int, seconds: int) -> dict[str, Any]:
    """What the child says. Raises InvalidAlgorithm where it ends without a word, is too late, or talks too much."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what a library says of a hostile file is not for a terminal
        cwd="/",
        env=_SPARING | {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
    )
    late = threading.Event()

    def end() -> None:
        late.set()
        child.kill()

    alarm = threading.Timer(seconds, end)
    alarm.start()
    try:
        assert child.stdout is not None  # noqa: S101 - it is a pipe
        said = child.stdout.read(_ANSWER_LIMIT + 1)
    finally:
        alarm.cancel()
        child.kill()
        status = child.wait()
        if child.stdout is not None:
            child.stdout.close()
    told = _parsed(said)
    if len(said) > _ANSWER_LIMIT:
        raise InvalidAlgorithm(
            f"The network of {title} makes the process that loads it talk without end; do not use it."
        )
    if told is None:
        raise InvalidAlgorithm(_how_it_ended(title, status, late.is_set(), memory, seconds))
    if "memory" in told:
        raise InvalidAlgorithm(_too_large(title, memory))
    return told


def _parsed(said: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(said)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _how_it_ended(title: str, status: int, late: bool, memory: int, seconds: int) -> str:
    if late or status == -signal.SIGXCPU:
        return (
            f"The network of {title} did not come to an end of its first load within {seconds} seconds; export it "
            "without endless loops, or give it more time with --time-limit."
        )
    if status == -signal.SIGKILL or status > 0:
        return _too_large(title, memory)
    name = signal.Signals(-status).name if status < 0 else "no signal"
    return f"The network of {title} ended the process that loaded it first ({name}); do not use it, export it anew."


def _too_large(title: str, memory: int) -> str:
    return (
        f"The network of {title} asks for more than the {memory // 2**20} MiB that its first load may take; export a "
        "smaller one."
    )
