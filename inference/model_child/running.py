"""One process that runs models, as the worker sees it: the wires to it, the boards that it writes on, its watches."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from inference.conclusion import NotAnalysed
from inference.errors import DeviceUnavailable, InstallationChanged
from inference.model_child import starter
from inference.model_child.board import StageBoard
from inference.model_child.codec import decode, encode
from inference.model_child.memory import own_bytes
from inference.model_child.messages import ANSWERS, PING, REQUESTS, Failure, Request, spoken
from inference.model_child.stopped import is_stopped
from inference.model_child.wire import Closed, Garbled, Wire
from inference.settings import WorkerSettings
from inference.stages import WAIT
from storage.domain.result import NewResult

_STOPPED = "was stopped"
_LOOK_S = 0.1  # how often a child at work is looked at
STOPPED_S = 30.0  # a debugger or an operator may hold a child at work for so long
_LONGEST_LOOK_S = 1.0  # of a longer one we were stopped too, which is not held against the child
# Everything else stays with the worker: the environment is where the database's password and other secrets are.
_KEPT_VARIABLES = re.compile(
    r"PATH|PYTHONPATH|LD_LIBRARY_PATH|HOME|TMPDIR|TZ|LANG|LC_[A-Z]+|SSL_CERT_(FILE|DIR)|(CUDA|NVIDIA|ORT|OMP|OPENBLAS|MKL|TRT|OPENVINO)_\w+"
)

_PROGRAM = ("-P", "-m", "inference.model_child.child")


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What one child may take: bytes of memory for all its jobs, and seconds of wall clock for each of them."""

    memory_bytes: int
    time_s: float


class Stopped(Enum):
    """Why we ended a child."""

    TOO_SLOW = "too slow"
    TOO_LARGE = "too large"
    HELD = "held"
    UNWANTED = "unwanted"


@dataclass(frozen=True, slots=True)
class Blame:
    """Why we ended a child, and whose job it was ended for; its memory and its signals are of all jobs, so nobody's."""

    why: Stopped
    seat: int | None


class RunningChild:
    """A process with a wire and a board for each seat."""

    def __init__(self, process: "subprocess.Popen[bytes]", wires: Sequence[Wire], boards: Sequence[StageBoard]) -> None:
        self.process = process
        self.is_ready = False
        self.is_worn = False  # memory or device failed in it while it had several jobs; it gets no further ones
        self.blame: Blame | None = None
        self.code: int | None = None  # how it ended, once it has
        self._wires = wires
        self._boards = boards
        self._blaming = threading.Lock()

    def introduce(self, memory_bytes: int, settings: WorkerSettings) -> None:
        """Tell it what it is; whether it heard is noticed when it is asked whether it is ready."""
        told = {"worker": os.getpid(), "spoken": spoken(), "memory_bytes": memory_bytes}
        told["settings"] = settings.model_dump(mode="json")
        with suppress(Closed):
            self._wires[0].send(told)

    def await_ready(self) -> None:
        """Raises Closed, Garbled, DeviceUnavailable, InstallationChanged."""
        told, _ = self._wires[0].receive()
        if "changed" in told:
            raise InstallationChanged
        if "refused" in told:
            raise DeviceUnavailable
        self.is_ready = told.get("ready") is True
        if not self.is_ready:
            raise Garbled

    def fault(self, patience: float) -> str:
        """What is wrong with it, in words; empty where it answers. Asked while it has no job.

        One that was stopped is seen at once; ``patience`` is for one that only takes long.
        """
        if (code := self.process.poll()) is not None:
            return ending(code)
        if not self.is_ready:
            return _STOPPED if is_stopped(self.process.pid) else ""  # it is being started, which has its own watch
        watch = Watch(self, ChildLimits(0, patience))
        try:
            self._wires[0].send({"request": PING})
            while not self._wires[0].has_more(_LOOK_S):
                if is_stopped(self.process.pid):
                    return _STOPPED
            told, _ = self._wires[0].receive()
        except (Closed, Garbled):
            return "did not answer" if watch.stopped else ending(self.end(_LOOK_S))
        finally:
            watch.end()
        return "" if told.get("answer") == PING and not watch.stopped else "did not answer"

    def answer(self, seat: int, request: Request) -> NewResult | NotAnalysed | Failure:
        """Raises Closed, Garbled."""
        (name,) = (name for name, kind in REQUESTS.items() if type(request) is kind)
        told, contents = encode(REQUESTS[name], request)
        self._boards[seat].clear()
        self._wires[seat].send({"request": name, "told": told}, contents)
        told, received = self._wires[seat].receive()
        kind = ANSWERS.get(str(told.get("answer")))
        if kind is None:
            raise Garbled
        answer: NewResult | NotAnalysed | Failure = decode(kind, told.get("told"), received)
        self._boards[seat].clear()
        return answer

    def stage(self, seat: int) -> str:
        """The step that the job in this seat entered last; empty before the first."""
        return self._boards[seat].read()[0]

    def waits(self, seat: int) -> bool:
        """Whether the job in this seat waits for another one, which does not wait itself."""
        steps = [board.read()[0] for board in self._boards]
        return steps[seat] == WAIT and any(step not in ("", WAIT) for step in steps)

    def place(self, seat: int) -> str:
        """Where in the job in this seat it is, in words."""
        step, series, instance = self._boards[seat].read()
        if not step:
            return "before its first step"
        told = f"in the step {step}" + (f" of series {series}" if series else "")
        return told + (f", at instance {instance}" if instance else "")

    def stop(self, why: Stopped, seat: int | None) -> None:
        """End it at once; the first reason is the one that counts."""
        with self._blaming:
            self.blame = self.blame or Blame(why, seat)
        self.process.kill()

    def end(self, patience: float = 0.0) -> int:
        """End it, whatever it does; returns its status, which is negative for a signal.

        One that is dying closes the wire before it is gone, so its own status takes a little ``patience``. Whoever
        still waits for an answer finds the wire closed.
        """
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.process.kill()
        self.code = self.process.wait()
        return self.code

    def part(self, patience: float) -> None:
        """Hang up, so that it leaves by itself, or is ended. Nobody may wait for an answer."""
        self.close()
        self.end(patience)

    def close(self) -> None:
        """Give back what tied us to it; nobody may wait for an answer or look at a board any more."""
        for wire in self._wires:
            wire.close()
        for board in self._boards:
            board.close()


def launch(seats: int) -> RunningChild:
    """Start a process. Raises OSError."""
    pairs = [socket.socketpair() for _ in range(seats)]
    boards = [StageBoard() for _ in range(seats)]
    given = [
        number
        for (_, theirs), board in zip(pairs, boards, strict=True)
        for number in (theirs.fileno(), board.descriptor)
    ]
    try:
        process = starter.start(lambda: _started(given))
    except OSError:
        for ours, _ in pairs:
            ours.close()
        for board in boards:
            board.close()
        raise
    finally:
        for _, theirs in pairs:
            theirs.close()
    return RunningChild(process, [Wire(ours) for ours, _ in pairs], boards)


_NOBODYS = (Stopped.TOO_LARGE, Stopped.HELD)


class Watch(threading.Thread):
    """Ends a child whose job takes too long or too much, or that somebody stopped; ``stopped`` says whether it did.

    The clock of a job stands still while it waits for another one in the same child.
    """

    def __init__(self, running: RunningChild, limits: ChildLimits, seat: int | None = None) -> None:
        super().__init__(name="watches-a-child", daemon=True)
        self.stopped = False
        self._running = running
        self._limits = limits
        self._seat = seat
        self._over = threading.Event()
        self._deciding = threading.Lock()
        self.start()

    def run(self) -> None:
        """Look again and again."""
        looked = time.monotonic()
        left, held = self._limits.time_s, 0.0
        while not self._over.wait(_LOOK_S):
            now = time.monotonic()
            held = held + min(now - looked, _LONGEST_LOOK_S) if is_stopped(self._running.process.pid) else 0.0
            if self._seat is None or not self._running.waits(self._seat):
                left -= now - looked
            looked = now
            if left < 0:
                self.stop(Stopped.TOO_SLOW)
            elif held > STOPPED_S:
                self.stop(Stopped.HELD)
            elif self._limits.memory_bytes and own_bytes(self._running.process.pid) > self._limits.memory_bytes:
                self.stop(Stopped.TOO_LARGE)

    def stop(self, why: Stopped) -> None:
        """End the child, unless its work is over."""
        with self._deciding:
            if not self._over.is_set():
                self._over.set()
                self.stopped = True
                self._running.stop(why, None if why in _NOBODYS else self._seat)

    def end(self) -> None:
        """Look no more."""
        with self._deciding:
            self._over.set()
        self.join()


def _started(descriptors: Sequence[int]) -> "subprocess.Popen[bytes]":
    kept = {name: value for name, value in os.environ.items() if _KEPT_VARIABLES.fullmatch(name)}
    return subprocess.Popen(
        [sys.executable, *_PROGRAM, *map(str, descriptors)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # what a library says may repeat what it met
        pass_fds=descriptors,
        env=kept,
        start_new_session=True,  # Ctrl-C reaches the worker, which ends us in order
    )


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    told = f"was ended by signal {-code} ({name})"
    return f"{told}, perhaps because the machine had no memory left," if -code == signal.SIGKILL else told
