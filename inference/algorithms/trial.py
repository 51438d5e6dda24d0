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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from inference.errors import InvalidAlgorithm

_ANSWER_LIMIT = 2**16
_SENTENCE_LIMIT = 2000
_LAST_WORDS = 2**13  # bytes of standard error that are looked through, and shown to nobody
_OF_MEMORY = (b"memory allocation", b"allocate memory", b"out of memory", b"bad_alloc", b"memoryerror", b"map segment")
_OOM_COUNTS = (Path("/proc/vmstat"), Path("/sys/fs/cgroup/memory.events"))  # lines such as `oom_kill 3`
_KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
# One pool of memory and of threads: what a limit on addresses counts stays what is used.
_SPARING = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_MOST_THREADS = 4
_MEMORY_OF_ITSELF = 6 * 2**30  # libraries, and what a network works with
_MEMORY_PER_BYTE = 8  # of the model: read, parsed, inferred shapes, loaded, optimised
TIME_LIMIT_S = 300
_KIND_LIMIT = 64  # letters
_PATIENCE_S = 5  # for the last words of a process that has ended


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
    return [*child, str(folder.resolve()), str(memory), str(seconds), str(threads), str(os.getpid())]


def _answer(command: list[str], title: str, memory: int, seconds: int) -> dict[str, Any]:
    """What the child says. Raises InvalidAlgorithm where it ends without a word, is too late, or talks too much."""
    killed_before = _killed_for_memory()
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,  # what a library says of a hostile file is not for a terminal
        cwd="/",
        env=_SPARING | {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
    )
    late = threading.Event()

    def end() -> None:
        late.set()
        child.kill()

    alarm = threading.Timer(seconds, end)
    alarm.start()
    assert child.stdout is not None and child.stderr is not None  # noqa: S101, PT018 - they are pipes
    last_words = _LastWords(child.stderr)
    try:
        said = child.stdout.read(_ANSWER_LIMIT + 1)
    finally:
        alarm.cancel()
        child.kill()
        status = child.wait()
        child.stdout.close()
        hungry = last_words.tell_of_memory()
    told = _parsed(said)
    if len(said) > _ANSWER_LIMIT:
        raise InvalidAlgorithm(
            f"The network of {title} makes the process that loads it talk without end; do not use it."
        )
    if told is None and (late.is_set() or status == -signal.SIGXCPU):
        raise InvalidAlgorithm(
            f"The network of {title} did not come to an end of its first load within {seconds} seconds; export it "
            "without endless loops, or give it more time with --time-limit."
        )
    if (told is None and hungry) or (told is not None and "memory" in told):
        raise InvalidAlgorithm(
            f"The network of {title} asks for more than the {memory // 2**20} MiB that its first load may take; export "
            "a smaller one."
        )
    if told is None:
        raise InvalidAlgorithm(_how_it_ended(title, status, _killed_for_memory() > killed_before))
    if "failed" in told:
        raise InvalidAlgorithm(
            f"The first look into the network of {title} failed in a way that was not foreseen "
            f"({str(told['failed'])[:_KIND_LIMIT]}); export it anew, or report this with its files."
        )
    return told


class _LastWords:
    """The end of what a process says on standard error, read aside so that it never waits for us."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._end = b""
        self._stream = stream
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self._stream:
            while said := self._stream.read1(_LAST_WORDS):  # type: ignore[attr-defined]
                self._end = (self._end + said)[-_LAST_WORDS:]

    def tell_of_memory(self) -> bool:
        """Whether a library said that there was not enough, as some do before they end the process."""
        self._reader.join(_PATIENCE_S)
        return any(words in self._end.lower() for words in _OF_MEMORY)


def _parsed(said: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(said)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _how_it_ended(title: str, status: int, for_memory: bool) -> str:
    if status == -signal.SIGKILL and for_memory:
        return (
            f"The system killed the process that loaded the network of {title} first, because this machine's memory "
            "was used up; free memory and try again, or export a smaller one."
        )
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}, no answer"
    return f"The network of {title} ended the process that loaded it first ({name}); do not use it, export it anew."


def _killed_for_memory() -> int:
    """How many processes the system has killed so far for lack of memory, as far as it says so (proc(5))."""
    count = 0
    for source in _OOM_COUNTS:
        with suppress(OSError, ValueError):
            lines = source.read_text().splitlines()
            count += sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return count
