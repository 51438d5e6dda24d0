"""The worker's side of a child: start it, give jobs their seats in it, and put a fresh one into its place."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from inference.conclusion import NotAnalysed
from inference.errors import DeviceFull, DeviceUnavailable, InstallationChanged, ModelChildLost, ModelChildNotStarted
from inference.model_child.doors import Doors, GivenUp, Stay
from inference.model_child.messages import Analysis, Failure, Request, error_of
from inference.model_child.running import STOPPED_S, ChildLimits, RunningChild, Stopped, Watch, ending, launch
from inference.model_child.wire import Closed, Garbled
from inference.settings import WorkerSettings
from storage.domain.job import Reason
from storage.domain.result import NewResult

__all__ = ["ChildLimits", "ModelChild", "Seat"]

_LOG = logging.getLogger(__name__)

_START_S = 120.0  # imports from a cold disk
_STARTS = 3  # somebody, or the system for want of memory, may end the first one; the worker must not end with it
_PING_S = 60.0  # what is loaded before the first job takes long on a busy machine; stopped ones are seen at once
_FAREWELL_S = 2.0
_DYING_S = 5.0
# Memory that is spent or a device that is lost stays so in a process that met it, so another one takes its place.
_WORN = ("prediction-failed", "out-of-memory", "device-full")
_UNBEGUN = 2  # so often a job may lose its child before its first step; then that is what is wrong with it

Answer = NewResult | NotAnalysed | Failure


class ModelChild:
    """One child with its device, and ``seats`` for the jobs that are in it at a time.

    A job that ends the child costs its own attempt and no other one's: the others are done again by a fresh child,
    within the same attempt. Where nobody knows whose fault it was, each is done again by itself, which tells.
    """

    def __init__(self, settings: WorkerSettings, limits: ChildLimits, jobs_at_once: int = 1) -> None:
        self.seats = tuple(Seat(self, number) for number in range(jobs_at_once))
        self.limits = limits
        self.doors = Doors()
        self.lost = 0  # children that died or had to be ended at work
        self.ended = False
        self.when_device_full = settings.when_device_full
        self._settings = settings
        self._changing = threading.RLock()  # which child is the one that runs
        self._running: RunningChild | None = None
        self._guests: dict[RunningChild, int] = {}

    @property
    def process_id(self) -> int | None:
        """The child's process, or ``None`` while there is none."""
        running = self._running
        return running.process.pid if running else None

    @property
    def stage(self) -> str:
        """The step that the job in the first seat entered last; empty before the first."""
        return self.stages[0]

    @property
    def stages(self) -> tuple[str, ...]:
        """The step that the job in each seat entered last; empty before its first, and where there is none."""
        running = self._running
        try:
            return tuple(running.stage(seat.number) if running else "" for seat in self.seats)
        except ValueError:  # its boards were closed just now
            return ("",) * len(self.seats)

    def start(self) -> None:
        """Have a child that waits for jobs.

        Raises:
            DeviceUnavailable: the device asked for is not there.
            ModelChildNotStarted: it did not come up.
        """
        for again in reversed(range(_STARTS)):
            try:
                with self._changing:
                    self._ready()
                return
            except ModelChildNotStarted:
                if self.ended or not again:
                    raise
                _LOG.warning("the process that runs models did not come up; another one is started")

    def ask(self, request: Request, alone: bool = False) -> NewResult | NotAnalysed:
        """Have a job done in the first seat; see ``Seat.ask``."""
        return self.seats[0].ask(request, alone)

    def interrupt(self) -> None:
        """End the job in the first seat; see ``Seat.interrupt``."""
        self.seats[0].interrupt()

    def end(self) -> None:
        """End the child, whatever it does; jobs that it has are lost."""
        self.ended = True
        running = self._running
        if running is None:
            return
        if self.doors.inside or not self._changing.acquire(blocking=False):
            running.process.kill()  # whoever waits for its answer notices
            return
        try:
            self._running = None
            running.part(_FAREWELL_S)
        finally:
            self._changing.release()

    def enter(self) -> RunningChild:
        """The child, once it has said that it is ready; whoever enters leaves it too.

        Raises:
            DeviceUnavailable: the device asked for is not there.
            ModelChildNotStarted: it did not come up.
        """
        with self._changing:
            running = self._ready()
            self._guests[running] = self._guests.get(running, 0) + 1
            return running

    def leave(self, running: RunningChild) -> None:
        """Whoever leaves last gives back what tied us to a child that has ended."""
        with self._changing:
            self._guests[running] -= 1
            if not self._guests[running]:
                del self._guests[running]
                if running.code is not None:
                    running.close()

    def bury(self, running: RunningChild, patience: float = 0.0) -> None:
        """Replace a child that was lost at work; whoever notices first counts it."""
        with self._changing:
            if running.code is None:
                self.lost += 1
            self.replace(running, patience)

    def replace(self, running: RunningChild, patience: float = 0.0) -> None:
        """End this child, if nobody has yet, and have the next one on its way before it is needed."""
        with self._changing:
            if running.code is not None:
                return
            running.end(patience)
            self._running = None
            if not self.ended:
                with suppress(ModelChildNotStarted):
                    self._running = self._launch()

    def _ready(self) -> RunningChild:
        if self.ended:
            raise ModelChildNotStarted
        running = self._running
        if running is not None and not self._guests.get(running):
            if running.is_worn:
                self._forget(running)
            elif fault := running.fault(_PING_S):  # between two jobs, so no job is to blame
                _LOG.warning("a model child without a job %s; a fresh one takes its place", fault)
                self._forget(running)
        if self.ended:  # while the child without a job was asked
            raise ModelChildNotStarted
        running = self._running = self._running or self._launch()
        if not running.is_ready:
            watch = Watch(running, ChildLimits(0, _START_S))
            try:
                running.await_ready()
            except (Closed, Garbled):
                self._forget(running)
                raise ModelChildNotStarted from None
            except (DeviceUnavailable, InstallationChanged):
                self._forget(running)
                raise
            finally:
                watch.end()
        return running

    def _forget(self, running: RunningChild) -> None:
        """Of a child that has no job."""
        running.end()
        running.close()
        self._running = None

    def _launch(self) -> RunningChild:
        try:
            running = launch(len(self.seats))
        except OSError:
            raise ModelChildNotStarted from None
        running.introduce(self.limits.memory_bytes, self._settings)
        return running


@dataclass(frozen=True, slots=True)
class _Again:
    """The job is to be done again within its attempt.

    ``alone`` with no other job beside it, ``on_cpu`` because the device is full.
    """

    alone: bool
    on_cpu: bool = False


class Seat:
    """The place of one job at a time in a child."""

    def __init__(self, child: ModelChild, number: int) -> None:
        self.number = number
        self._child = child
        self._watch: Watch | None = None
        self._unwanted = False
        self._unbegun = 0

    def ask(self, request: Request, alone: bool = False) -> NewResult | NotAnalysed:
        """Have a job done, with no other job beside it in the child if ``alone``.

        Raises:
            ModelChildLost: the child died of it, or was ended because it took too long or too much.
            ModelChildNotStarted: there was no child to ask; nothing is said of the job.
            Exception: what the analysis raises; see ``inference.model_child.messages``.
        """
        self._unwanted, self._unbegun = False, 0
        answer: Answer | _Again = _Again(alone)
        while isinstance(answer, _Again):
            if answer.on_cpu and isinstance(request, Analysis):
                request = replace(request, on_cpu=True)
            try:
                with self._child.doors.stay(answer.alone, self._is_given_up) as stay:
                    answer = self._answer(request, stay, answer.alone)
            except GivenUp:
                if self._child.ended:
                    raise ModelChildNotStarted from None
                raise ModelChildLost(_died("did not begin, because nobody waits for its answer any more")) from None
        if isinstance(answer, Failure):
            raise self._error(answer)
        return answer

    def _error(self, failure: Failure) -> Exception:
        error = error_of(failure)
        if isinstance(error, DeviceFull):
            error.may_wait = self._child.when_device_full != "fail"
        return error

    def interrupt(self) -> None:
        """End the job in this seat, if there is one; the child is lost with it, and other jobs find the next one."""
        self._unwanted = True
        watch = self._watch
        if watch is not None:
            watch.stop(Stopped.UNWANTED)

    def _is_given_up(self) -> bool:
        return self._unwanted or self._child.ended

    def _answer(self, request: Request, stay: Stay, alone: bool) -> Answer | _Again:
        running = self._child.enter()
        try:
            with self._watched(running) as watch:
                if self._is_given_up():
                    raise GivenUp
                try:
                    answer = running.answer(self.number, request)
                except (Closed, Garbled) as error:
                    watch.end()
                    return self._loss(running, isinstance(error, Garbled), stay, alone)
            if watch.stopped:  # it answered in the moment in which it was ended
                self._child.bury(running)
            elif isinstance(answer, Failure) and answer.name in _WORN:
                if stay.accompanied:  # it may have failed for what the other one took
                    running.is_worn = True
                    return _Again(alone=True)
                self._child.replace(running)
                if answer.name == "device-full" and self._child.when_device_full == "cpu":
                    _LOG.warning("%s It is analysed on the CPU, as [worker] when_device_full says.", answer.sentence)
                    return _Again(alone, on_cpu=True)
            return answer
        finally:
            self._child.leave(running)

    @contextmanager
    def _watched(self, running: RunningChild) -> Iterator[Watch]:
        self._watch = watch = Watch(running, self._child.limits, self.number)
        try:
            yield watch
        finally:
            watch.end()

    def _loss(self, running: RunningChild, garbled: bool, stay: Stay, alone: bool) -> _Again:
        """Whether the job is to be done again. Raises ModelChildLost where the child was lost by this job."""
        self._child.bury(running, 0.0 if garbled else _DYING_S)
        blame = running.blame
        mine = blame is not None and blame.seat == self.number
        if not mine and not self._unwanted:
            if blame is not None and blame.seat is not None:
                return _Again(alone)  # it was ended for another job
            if blame is None and not running.stage(self.number):
                self._unbegun += 1
                if self._unbegun < _UNBEGUN:
                    return _Again(alone)  # it was gone before it began with this job, which is not to blame
            if stay.accompanied:
                _LOG.warning("a model child was lost with several studies in it; each is analysed again by itself")
                return _Again(alone=True)
        reason = self._reason(running, garbled)
        _LOG.warning("a model child was lost: %s", reason.sentence)
        raise ModelChildLost(reason)

    def _reason(self, running: RunningChild, garbled: bool) -> Reason:
        place = running.place(self.number)
        limits = self._child.limits
        why = running.blame.why if running.blame else None
        if why is Stopped.TOO_SLOW:
            return Reason(
                "analysis-too-slow",
                f"The analysis was stopped after {limits.time_s:g} s {place}; look at the algorithm and at these "
                "images, or raise [worker] time_limit_s.",
            )
        if why is Stopped.TOO_LARGE:
            return Reason(
                "out-of-memory",
                f"The analysis was stopped {place} because it used more than {limits.memory_bytes / 2**30:.1f} "
                "GiB of memory; raise [worker] memory_gib, or use smaller windows.",
            )
        how = ending(running.code or 0)
        if garbled:
            how = "was ended because it answered nonsense"
        elif why is Stopped.HELD:
            how = f"was stopped by a signal, and not continued for {STOPPED_S:g} s,"
        elif why is Stopped.UNWANTED:
            how = "was ended because nobody waits for its answer any more"
        return _died(f"{how} {place}")


def _died(how: str) -> Reason:
    return Reason(
        "model-child-died", f"The process that runs the model {how}; look at the algorithm and at these images."
    )
