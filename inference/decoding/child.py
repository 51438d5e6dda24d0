"""The process that decodes: it is asked on its standard input, answers on its output, and may die of either.

Started by `inference.decoding.pool` as ``python -m inference.decoding.child PARENT MEMORY``, with no secret in its
environment. Frames and samples pass through the shared memory behind the descriptor MEMORY.
"""

import ctypes
import json
import mmap
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from inference.decoding.codecs import decode
from inference.decoding.request import LENGTH, DecodingRequest, message

_MOST = 6 * 2**30  # bytes of address space, whatever is asked
_BESIDE = 256 * 2**20  # bytes that a codec may take beside what follows
_TIMES = 10  # the decoded frame: codecs count in 32 bits, and some keep a plane or two
_SECONDS, _MEBIBYTES_PER_SECOND = 5, 2  # of the processor, for one frame
_NO_NEW_PRIVILEGES, _PARENT_DEATH_SIGNAL = 38, 1  # prctl(2)


def main() -> None:
    """Answer requests until there are no more."""
    parent, descriptor = (int(argument) for argument in sys.argv[1:])
    _confine(parent)
    memory = _Memory(descriptor)
    with os.fdopen(os.dup(0), "rb") as requests, os.fdopen(os.dup(1), "wb") as answers:
        _answer(answers, "ready")
        while length := requests.read(LENGTH.size):
            told = json.loads(requests.read(LENGTH.unpack(length)[0]))
            frames = [DecodingRequest(**frame) for frame in told["frames"]]
            for word in _words(frames, memory.of(told["memory"])):
                _answer(answers, word)


class _Memory:
    """The shared memory, looked at anew only when it has grown."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._map: mmap.mmap | None = None

    def of(self, size: int) -> mmap.mmap:
        """So many bytes of it; what was looked at before must not be held any more."""
        if self._map is None or len(self._map) != size:
            if self._map is not None:
                self._map.close()
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))  # the last frame's limit is none for this memory
            self._map = mmap.mmap(self._descriptor, size)
        return self._map


def _words(frames: Sequence[DecodingRequest], memory: mmap.mmap) -> Iterator[str]:
    """How each frame ended, as soon as it has, up to the first that cannot be decoded."""
    for frame in frames:
        word = _decoded(frame, memory)
        yield word
        if word != "decoded":
            break


def _decoded(request: DecodingRequest, memory: mmap.mmap) -> str:
    try:
        _limit(request.samples_length)
        content = memory[request.content_offset : request.content_offset + request.content_length]
        shape = (request.rows, request.columns, request.samples)[: 2 if request.samples == 1 else 3]
        samples = np.frombuffer(
            memory,
            np.dtype(f"<u{request.bytes_per_sample}"),
            request.rows * request.columns * request.samples,
            request.samples_offset,
        ).reshape(shape)
        decode(request, content, samples)
    except MemoryError:
        return "memory"
    except Exception:  # noqa: BLE001 - codecs fail in many ways, and this is the boundary around them
        return "undecodable"
    return "decoded"


def _answer(answers: BinaryIO, word: str) -> None:
    answers.write(message({"answer": word}))
    answers.flush()


def _confine(parent: int) -> None:
    """Give up what decoding does not need, and end with whoever asks."""
    for limit, most in (
        (resource.RLIMIT_AS, _MOST),
        (resource.RLIMIT_FSIZE, 0),  # also: the shared memory cannot be made larger here
        (resource.RLIMIT_CORE, 0),  # a core file would hold pixels
        (resource.RLIMIT_NOFILE, 32),
    ):
        _, hard = resource.getrlimit(limit)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))
    kernel = ctypes.CDLL(None)
    kernel.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    kernel.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before we asked to be told
        sys.exit(1)


def _limit(frame: int) -> None:
    """Let the kernel refuse memory, and end us when one frame takes too much of the processor."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (min(held + _BESIDE + _TIMES * frame, hard), hard))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    allowed = _SECONDS + (frame >> 20) // _MEBIBYTES_PER_SECOND
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + allowed, hard))


if __name__ == "__main__":
    main()
