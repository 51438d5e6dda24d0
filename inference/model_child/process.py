"""The worker's side of one child: start it, ask it, watch it, and put a fresh one into its place when it is lost."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from inference.conclusion import NotAnalysed
from inference.errors import DeviceUnavailable, ModelChildLost, ModelChildNotStarted
from inference.model_child import starter
from inference.model_child.board import StageBoard
from inference.model_child.codec import decode, encode
from inference.model_child.memory import own_bytes
from inference.model_child.messages import ANSWERS, REQUESTS, Failure, Request, error_of
from inference.model_child.wire import Closed, Garbled, Wire
from inference.settings import WorkerSettings
from storage.domain.job import Reason
from storage.domain.result import NewResult

_LOG = logging.getLogger(__name__)

_START_S = 120.0  # imports from a cold disk
_LOOK_S = 0.1  # how often a child at work is looked at
_FAREWELL_S = 2.0
_DYING_S = 5.0
# Everything else stays with the worker: the environment is where the database's password and other secrets are.
_KEPT_VARIABLES = re.compile(
    r"PATH|PYTHONPATH|LD_LIBRARY_PATH|HOME|TMPDIR|TZ|LANG|LC_[A-Z]+|SSL_CERT_(FILE|DIR)|(CUDA|NVIDIA|ORT|OMP|OPENBLAS|MKL|TRT|OPENVINO)_\w+"
)
# Memory that is spent or a device that is lost stays so in a process that met it, so another one takes its place.
_WORN = ("prediction-failed", "out-of-memory")


class _Stopped(Enum):
    """Why we ended a child."""

    TOO_SLOW = "too slow"
    TOO_LARGE = "too large"
    UNWANTED = "unwanted"


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """What one child may take: bytes of memory, and seconds of wall clock for one job."""

    memory_bytes: int
    time_s: float


class ModelChild:
    """One child with its device. A job that ends it costs an attempt; the next job finds a fresh one."""

    def __init__(self, settings: WorkerSettings, limits: ChildLimits) -> None:
        self._settings = settings
        self._limits = limits
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._watch: _Watch | None = None
        self._begun = False  # whether the child that was lost last had begun with its job
        self._ended = False
        self.lost = 0  # children that died or had to be ended at work

    @property
    def process_id(self) -> int | None:
        """The child's process, or ``None`` while there is none."""
        running = self._running
        return running.process.pid if running else None

    @property
    def stage(self) -> str:
        """The step that the child entered last in the job it has; empty before the first."""
        running = self._running
        try:
            return running.board.read()[0] if running else ""
        except ValueError:  # its board was closed just now
            return ""

    def start(self) -> None:
        """Have a child that waits for jobs.

        Raises:
            DeviceUnavailable: the device asked for is not there.
            ModelChildNotStarted: it did not come up.
        """
        with self._lock:
            self._ready()

    def ask(self, request: Request) -> NewResult | NotAnalysed:
        """Have a job done.

        Raises:
            ModelChildLost: the child died of it, or was ended because it took too long or too much.
            ModelChildNotStarted: there was no child to ask; nothing is said of the job.
            Exception: what the analysis raises; see ``inference.model_child.messages``.
        """
        with self._lock:
            try:
                answer = self._answer(request)
            except ModelChildLost as lost:
                if lost.reason.code != "model-child-died" or self._begun:
                    raise
                answer = self._answer(request)  # it was gone before it began with this job, which is not to blame
        if isinstance(answer, Failure):
            raise error_of(answer)
        return answer

    def _answer(self, request: Request) -> NewResult | NotAnalysed | Failure:
        running = self._ready()
        self._watch = watch = _Watch(running, self._limits)
        try:
            answer = running.answer(request)
        except (Closed, Garbled) as error:
            watch.end()
            self._begun = running.has_begun
            raise ModelChildLost(self._replace(running, isinstance(error, Garbled), watch.stopped)) from None
        watch.end()
        if watch.stopped is not None:  # it answered in the moment in which it was ended
            self._replace(running, False, watch.stopped)
        elif isinstance(answer, Failure) and answer.name in _WORN:
            self._put_fresh_one(running)
        return answer

    def interrupt(self) -> None:
        """End the job that the child has, if it has one; the child is lost with it."""
        watch = self._watch
        if watch is not None:
            watch.stop(_Stopped.UNWANTED)

    def end(self) -> None:
        """End the child, whatever it does; a job that it has is lost."""
        self._ended = True
        running = self._running
        if running is None:
            return
        if not self._lock.acquire(blocking=False):
            running.process.kill()  # whoever waits for its answer notices
            return
        try:
            running.wire.close()  # it leaves by itself
            with suppress(subprocess.TimeoutExpired):
                running.process.wait(_FAREWELL_S)
            self._forget(running)
        finally:
            self._lock.release()

    def _ready(self) -> "_Running":
        """The child, once it has said that it is ready."""
        running = self._running
        if running is not None and running.process.poll() is not None:
            self._forget(running)  # it died between two jobs
            running = None
        running = running or self._launch()
        self._running = running
        if not running.is_ready:
            watch = _Watch(running, ChildLimits(0, _START_S))
            try:
                running.await_ready()
            except (Closed, Garbled):
                self._forget(running)
                raise ModelChildNotStarted from None
            except DeviceUnavailable:
                self._forget(running)
                raise
            finally:
                watch.end()
        return running

    def _launch(self) -> "_Running":
        ours, theirs = socket.socketpair()
        board = StageBoard()
        try:
            process = starter.start(lambda: _started((theirs.fileno(), board.descriptor)))
        except OSError:
            ours.close()
            board.close()
            raise ModelChildNotStarted from None
        finally:
            theirs.close()
        running = _Running(process, Wire(ours), board)
        with suppress(Closed):  # noticed when it is asked whether it is ready
            running.wire.send(
                {
                    "worker": os.getpid(),
                    "memory_bytes": self._limits.memory_bytes,
                    "settings": self._settings.model_dump(mode="json"),
                }
            )
        return running

    def _replace(self, running: "_Running", garbled: bool, stopped: _Stopped | None) -> Reason:
        """Say how the child ended, and have the next one on its way."""
        self.lost += 1
        code = running.end(0.0 if garbled else _DYING_S)
        reason = self._reason(running, code, garbled, stopped)  # read from the board before that is closed
        _LOG.warning("a model child was lost: %s", reason.sentence)
        self._put_fresh_one(running)
        return reason

    def _put_fresh_one(self, running: "_Running") -> None:
        """End this child, and have the next one on its way before it is needed."""
        self._forget(running)
        if not self._ended:
            with suppress(ModelChildNotStarted):
                self._running = self._launch()

    def _forget(self, running: "_Running") -> None:
        running.end()
        self._running = None
        running.board.close()

    def _reason(self, running: "_Running", code: int, garbled: bool, stopped: _Stopped | None) -> Reason:
        place = running.place
        if stopped is _Stopped.TOO_SLOW:
            return Reason(
                "analysis-too-slow",
                f"The analysis was stopped after {self._limits.time_s:g} s {place}; look at the algorithm and at these "
                "images, or raise [worker] time_limit_s.",
            )
        if stopped is _Stopped.TOO_LARGE:
            return Reason(
                "out-of-memory",
                f"The analysis was stopped {place} because it used more than {self._limits.memory_bytes / 2**30:.1f} "
                "GiB of memory; raise [worker] memory_gib, or use smaller windows.",
            )
        how = _ending(code)
        if garbled:
            how = "was ended because it answered nonsense"
        elif stopped is _Stopped.UNWANTED:
            how = "was ended because nobody waits for its answer any more"
        return Reason(
            "model-child-died",
            f"The process that runs the model {how} {place}; look at the algorithm and at these images.",
        )


class _Running:
    """One process, the wire to it, and the board that it writes on."""

    def __init__(self, process: subprocess.Popen[bytes], wire: Wire, board: StageBoard) -> None:
        self.process = process
        self.wire = wire
        self.board = board
        self.is_ready = False

    @property
    def has_begun(self) -> bool:
        """Whether it has entered a step of the job that it was given."""
        return bool(self.board.read()[0])

    @property
    def place(self) -> str:
        """Where in the job it is, in words."""
        step, series = self.board.read()
        if not step:
            return "before its first step"
        return f"in the step {step}" + (f" of series {series}" if series else "")

    def await_ready(self) -> None:
        """Raises Closed, Garbled, DeviceUnavailable."""
        told, _ = self.wire.receive()
        if "refused" in told:
            raise DeviceUnavailable
        self.is_ready = told.get("ready") is True
        if not self.is_ready:
            raise Garbled

    def answer(self, request: Request) -> NewResult | NotAnalysed | Failure:
        """Raises Closed, Garbled."""
        (name,) = (name for name, kind in REQUESTS.items() if type(request) is kind)
        told, contents = encode(REQUESTS[name], request)
        self.board.clear()
        self.wire.send({"request": name, "told": told}, contents)
        told, received = self.wire.receive()
        kind = ANSWERS.get(str(told.get("answer")))
        if kind is None:
            raise Garbled
        answer: NewResult | NotAnalysed | Failure = decode(kind, told.get("told"), received)
        return answer

    def end(self, patience: float = 0.0) -> int:
        """End it, whatever it does; returns its status, which is negative for a signal.

        One that is dying closes the wire before it is gone, so its own status takes a little ``patience``.
        """
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.process.kill()
        self.wire.close()
        return self.process.wait()


class _Watch(threading.Thread):
    """Ends a child that takes too long or too much; ``stopped`` says whether it did."""

    def __init__(self, running: _Running, limits: ChildLimits) -> None:
        super().__init__(name="watches-a-child", daemon=True)
        self.stopped: _Stopped | None = None
        self._running = running
        self._limits = limits
        self._until = time.monotonic() + limits.time_s
        self._over = threading.Event()
        self._deciding = threading.Lock()
        self.start()

    def run(self) -> None:
        """Look again and again."""
        while not self._over.wait(_LOOK_S):
            if time.monotonic() > self._until:
                self.stop(_Stopped.TOO_SLOW)
            elif self._limits.memory_bytes and own_bytes(self._running.process.pid) > self._limits.memory_bytes:
                self.stop(_Stopped.TOO_LARGE)

    def stop(self, why: _Stopped) -> None:
        """End the child, unless its work is over."""
        with self._deciding:
            if not self._over.is_set():
                self._over.set()
                self.stopped = why
                self._running.process.kill()

    def end(self) -> None:
        """Look no more."""
        with self._deciding:
            self._over.set()
        self.join()


def _started(descriptors: tuple[int, int]) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if _KEPT_VARIABLES.fullmatch(name)}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "inference.model_child.child", *map(str, descriptors)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # what a library says may repeat what it met
        pass_fds=descriptors,
        env=kept,
        start_new_session=True,  # Ctrl-C reaches the worker, which ends us in order
    )


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    told = f"was ended by signal {-code} ({name})"
    return f"{told}, perhaps because the machine had no memory left," if -code == signal.SIGKILL else told
