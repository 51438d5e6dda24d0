"""A pool of processes that decode frames; one that dies costs the frames that it was asked for together."""

import atexit
import fcntl
import json
import logging
import math
import mmap
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from inference.decoding.request import DECODED_SYNTAXES, LENGTH, DecodingRequest, to_message
from inference.errors import DecodersUnavailable, UnusableInput
from inference.imaging.pixel_format import PixelFormat

log = logging.getLogger(__name__)

FRAME_BUDGET = 256 * 2**20  # bytes of one decoded frame, or of one encoded one
CHILDREN = 2
FRAMES_TOGETHER = 8  # at most, in one request: it must fit a pipe, and its answer what we take for one
_FRAMES_OF_A_CHILD = 5000  # then a fresh one: what a codec leaks ends with it
_START_SECONDS = 60.0
_SECONDS, _SECONDS_PER_MEBIBYTE = 15.0, 3.0  # by the clock, for one frame; the child has limits of its own before
_FIRST_TRY = 3  # a third of that is enough for the first child: whoever needs longer has the whole of it with the next
_LONGEST_ANSWER = 1024  # bytes
_DYING_S = 5.0
_NONSENSE = "answered nonsense"
_SOME_IMAGE = "an instance"
_KEPT_VARIABLES = ("PYTHONPATH", "LD_LIBRARY_PATH")
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


EncodedFrame = tuple[PixelFormat, bytes | memoryview]
FrameName = Callable[[int], str]


class DecodingPool:
    """Children that are started when first needed; whoever makes a pool closes it."""

    def __init__(self, children: int = CHILDREN, seconds: float = _SECONDS) -> None:
        self._places = threading.BoundedSemaphore(children)
        self._seconds = seconds
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._closed = False
        # A child dies with the thread that started it (prctl(2)), so ones that live as long as we do start them.
        self._starter = ThreadPoolExecutor(children, "decoding")
        self.lost = 0  # children that died at work or were ended

    @contextmanager
    def decoded(self, syntax: UID, form: PixelFormat, content: bytes | memoryview) -> Iterator[NDArray[np.generic]]:
        """The samples of a frame, as (row, column), or (row, column, sample), in memory that the next frames take.

        Raises:
            UnusableInput: ``undecodable-pixel-data`` or ``too-many-pixels``.
            DecodersUnavailable: no child can be started.
        """
        with self.decoded_together(syntax, [(form, content)]) as frames:
            yield frames[0]

    @contextmanager
    def decoded_together(
        self, syntax: UID, frames: Sequence[EncodedFrame], name: FrameName = lambda _: _SOME_IMAGE
    ) -> Iterator[list[NDArray[np.generic]]]:
        """The same of a few frames, for which one child is asked once: that is sooner than one after the other.

        ``name`` tells what an operator calls a frame by its number among these, without patient data.

        Raises:
            UnusableInput: as ``decoded``; the fault of the first frame that has one.
            DecodersUnavailable: as ``decoded``.
        """
        if syntax not in DECODED_SYNTAXES:
            raise undecodable(syntax)
        if any(form.decoded_size > FRAME_BUDGET or len(content) > FRAME_BUDGET for form, content in frames):
            raise beyond_budget()
        with self._places:
            child = self._done(syntax, frames, name)
            try:
                yield child.samples()
            finally:
                self._put_back(child)

    def close(self) -> None:
        """End the children."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()
        self._starter.shutdown()

    def _taken(self) -> "_Child":
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                break
            if child.alive:
                return child
            child.end()  # it died while it had no frame, which is the fault of none
        for again in (True, False):
            try:
                return self._starter.submit(_Child).result()
            except _Lost:  # somebody, or the system for want of memory, may have ended it
                if not again:
                    raise DecodersUnavailable from None
            except (OSError, RuntimeError):
                break
        raise DecodersUnavailable

    def _done(self, syntax: UID, frames: Sequence[EncodedFrame], name: FrameName) -> "_Child":
        """The child that decoded all of them.

        A frame may lose one child, which need not be its fault: where memory is short, the system ends whom it likes.
        The first child has a third of the time, so that an image at which children hang costs little more than one of
        them; one that is only slow on a busy machine has all of it with the second.
        """
        losses: dict[int, str] = {}
        while True:
            seconds = [self._limit(form, lost=number in losses) for number, (form, _) in enumerate(frames)]
            child = self._taken()
            try:
                words = child.ask(str(syntax), frames, seconds)
            except _Lost as error:
                self.lost += 1
                number, how = child.answered, child.end_lost(error)
                if number in losses:
                    log.warning("A second process was lost at %s: it %s. The image is refused.", name(number), how)
                    raise undecodable(syntax, _lost_twice(losses[number], how), name(number)) from None
                log.warning("A process was lost at %s: it %s. Another one tries again.", name(number), how)
                losses[number] = how
                continue
            except BaseException:
                child.end()  # it may still have an answer to give
                raise
            if words[-1] != "decoded":
                self._put_back(child)
                why = "it asks for too much memory" if words[-1] == "memory" else ""
                raise undecodable(syntax, why, name(len(words) - 1))
            return child

    def _limit(self, form: PixelFormat, *, lost: bool) -> float:
        """Seconds within which a child answers about a frame, by whether one was lost at it before."""
        whole = self._seconds + _SECONDS_PER_MEBIBYTE * (form.decoded_size >> 20)
        return whole if lost else whole / _FIRST_TRY

    def _put_back(self, child: "_Child") -> None:
        with self._lock:
            if not self._closed and child.alive and child.frames < _FRAMES_OF_A_CHILD:
                self._idle.append(child)
                return
        child.end()


def _lost_twice(first: str, second: str) -> str:
    return f"in the step decode one process {first} and then another one {second}"


def beyond_budget() -> UnusableInput:
    """A frame is larger than any that is decoded."""
    return UnusableInput(
        "too-many-pixels", f"A compressed image has more than {FRAME_BUDGET} bytes, which is our limit."
    )


def undecodable(syntax: UID, why: str = "", name: str = _SOME_IMAGE) -> UnusableInput:
    """The sentence names the transfer syntax only when the Standard does; else it is the peer's own text."""
    if syntax.name == str(syntax):
        return UnusableInput(
            "undecodable-pixel-data",
            f"The Pixel Data of {name} is in an unknown transfer syntax; send it uncompressed.",
        )
    reason = f" ({why})" if why else ""
    return UnusableInput(
        "undecodable-pixel-data",
        f"The Pixel Data of {name}, sent as {syntax.name}, cannot be decoded{reason}; send it uncompressed.",
    )


class _Lost(Exception):
    """The child died, was too slow, or answers nonsense; says how, unless it is no more and its status tells."""


class _Child:
    def __init__(self) -> None:
        """Start it. Raises _Lost, OSError."""
        self.frames = 0
        self.answered = 0  # of the frames that it was asked for last
        self._memory = os.memfd_create("overread-frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            # A child that was taken over must not take memory away that we look at.
            fcntl.fcntl(self._memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            self._map: mmap.mmap | None = None
            self._asked: list[tuple[PixelFormat, int]] = []
            self._process = _started(self._memory)
        except OSError:
            os.close(self._memory)
            raise
        try:
            if self._answer(_START_SECONDS) != "ready":
                raise _Lost
        except _Lost:
            self.end()
            raise

    @property
    def alive(self) -> bool:
        """Whether it can be asked again."""
        return self._memory >= 0 and self._process.poll() is None

    def ask(self, syntax: str, frames: Sequence[EncodedFrame], seconds: Sequence[float]) -> list[str]:
        """Give it frames and wait ``seconds`` for a word about each, up to the first bad one. Raises _Lost."""
        self.frames += len(frames)
        self.answered = 0
        requests, size = _places(syntax, frames)
        memory = self._room(size)
        for request, (_, content) in zip(requests, frames, strict=True):
            memory[request.content_offset : request.content_offset + request.content_length] = content
        self._asked = [(form, request.samples_offset) for request, (form, _) in zip(requests, frames, strict=True)]
        try:
            os.write(self._pipes[0], to_message(requests, len(memory)))  # shorter than any pipe, so it never waits
        except OSError:
            raise _Lost from None
        words: list[str] = []
        while len(words) < len(frames) and words[-1:] in ([], ["decoded"]):
            words.append(self._answer(seconds[len(words)]))
            self.answered = len(words)
        return words

    def samples(self) -> list[NDArray[np.generic]]:
        """What it decoded last."""
        memory = self._map
        assert memory is not None  # noqa: S101 - it was asked before
        return [
            np.frombuffer(memory, form.dtype(), math.prod(form.decoded_shape), offset).reshape(form.decoded_shape)
            for form, offset in self._asked
        ]

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.wait()
        if self._memory >= 0:
            os.close(self._memory)
            self._memory, self._map = -1, None

    def end_lost(self, error: _Lost) -> str:
        """End it after it was lost; returns how that was, in words.

        One that is dying closes its pipes before it is gone, so its own status takes a little time.
        """
        how = str(error)
        if not how:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_DYING_S)
            how = _ending(self._process.poll())
        self.end()
        return how

    @property
    def _pipes(self) -> tuple[int, int]:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None  # noqa: S101 - both are pipes
        assert answers is not None  # noqa: S101
        return requests.fileno(), answers.fileno()

    def _room(self, size: int) -> mmap.mmap:
        if self._map is None or len(self._map) < size:
            whole = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
            os.ftruncate(self._memory, whole)
            self._map = mmap.mmap(self._memory, whole)
        return self._map

    def _answer(self, seconds: float) -> str:
        until = time.monotonic() + seconds
        try:
            (length,) = LENGTH.unpack(self._read(LENGTH.size, until))
        except TimeoutError:
            raise _Lost(f"did not answer within {seconds:g} s") from None
        if length > _LONGEST_ANSWER:
            raise _Lost(_NONSENSE)
        try:
            return str(json.loads(self._read(length, until))["answer"])
        except TimeoutError:
            raise _Lost(f"did not answer within {seconds:g} s") from None
        except (ValueError, LookupError, TypeError):
            raise _Lost(_NONSENSE) from None

    def _read(self, size: int, until: float) -> bytes:
        content = b""
        poll = select.poll()
        poll.register(self._pipes[1], select.POLLIN)
        while len(content) < size:
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                raise TimeoutError
            piece = os.read(self._pipes[1], size - len(content))
            if not piece:
                raise _Lost
            content += piece
        return content


def _ending(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "closed its pipes"
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"was ended by signal {-code}"
    return f"was ended by signal {-code} ({name})"


def _places(syntax: str, frames: Sequence[EncodedFrame]) -> tuple[list[DecodingRequest], int]:
    """Where frames and, behind all of them, their samples lie in the memory, each in pages of its own."""
    starts, at = [], 0
    for length in (*(len(content) for _, content in frames), *(form.decoded_size for form, _ in frames)):
        starts.append(at)
        at += -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
    requests = [
        DecodingRequest(
            *(syntax, form.rows, form.columns, form.samples, form.bits_allocated // 8),
            *(starts[number], len(content), starts[number + len(frames)], form.photometric == "RGB"),
        )
        for number, (form, content) in enumerate(frames)
    ]
    return requests, at


def _started(memory: int) -> "subprocess.Popen[bytes]":
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "inference.decoding.child", str(os.getpid()), str(memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what a codec says may repeat what it met
        bufsize=0,
        cwd="/",
        env=kept | _ENVIRONMENT,
        pass_fds=(memory,),
    )


_shared: tuple[int, DecodingPool] | None = None
_sharing = threading.Lock()


def shared() -> DecodingPool:
    """The pool of this process, made when first asked for and closed when the process ends."""
    global _shared
    with _sharing:
        if _shared is None or _shared[0] != os.getpid():
            pool = DecodingPool()
            atexit.register(pool.close)
            _shared = os.getpid(), pool
        return _shared[1]
