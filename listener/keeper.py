"""Processes that serve one role together: forked, watched, forked again when one dies, and ended in order.

The keeper itself has no thread and no connection, so that a fork copies nothing that is in use.
"""

import contextlib
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

_WATCH_SECONDS = 0.1
_SETTLED_SECONDS = 2.0  # a child that lives this long is not in a loop of deaths
_LONGEST_PAUSE_SECONDS = 5.0
_STOP_SECONDS = 25.0  # the supervisor of all roles waits 30
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass
class Child:
    """One process: ``body`` runs in it until the event is set, and returns its exit status."""

    name: str
    body: Callable[[threading.Event], int]
    forget: Callable[[], None] = lambda: None  # called in the keeper when it has died
    process_id: int = 0
    started: float = 0.0
    deaths: int = 0
    start_again_at: float = 0.0


class Keeper:
    """Keeps children running; the one named last is ended last.

    ``end_with_us`` makes, before a fork, what a child calls so that it does not outlive the keeper.
    """

    def __init__(self, children: Sequence[Child], end_with_us: Callable[[], Callable[[], None]]) -> None:
        self._children = list(children)
        self._end_with_us = end_with_us

    def run(
        self,
        stop: threading.Event,
        alive: Callable[[], None],
        started: Callable[[], None],
        ending: Callable[[], None] = lambda: None,
    ) -> int:
        """Run until ``stop`` is set and return the exit status: that of the first child that did not end well.

        ``started`` is called once all children are, ``alive`` again and again, ``ending`` when they are to end.
        """
        gc.collect()
        gc.freeze()  # what the children share stays shared
        for child in self._children:
            self._start(child)
        started()
        while not stop.wait(_WATCH_SECONDS):
            alive()
            for child in self._children:
                self._look_after(child)
        ending()
        return self._end()

    def _start(self, child: Child) -> None:
        end_too = self._end_with_us()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            child.process_id = os.fork()
            if child.process_id == 0:
                end_too()
                _be(child)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        child.started = time.monotonic()

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if not child.process_id:
            if now >= child.start_again_at:
                self._start(child)
            return
        status = _ended(child.process_id, os.WNOHANG)
        if status is None:
            return
        child.process_id = 0
        child.forget()
        child.deaths = child.deaths + 1 if now - child.started < _SETTLED_SECONDS else 1
        pause = 0.0 if child.deaths == 1 else min(2.0 ** (child.deaths - 2), _LONGEST_PAUSE_SECONDS)
        child.start_again_at = now + pause
        log.warning("The process %s ended (%d); it starts again in %.0f s.", child.name, status, pause)

    def _end(self) -> int:
        deadline = time.monotonic() + _STOP_SECONDS
        ranks = [[child for child in self._children[:-1] if child.process_id], [self._children[-1]]]
        results = [status for rank in ranks for status in _end_together(rank, deadline)]
        return next((status for status in results if status), 0)


def _be(child: Child) -> None:
    """Be the child; never returns."""
    status = 1
    try:
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the keeper, which ends us in order
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        status = child.body(stop)
    except BaseException as error:  # noqa: BLE001 - nothing may go on in the keeper's name
        log.error("The process %s failed with %s: %s", child.name, type(error).__name__, _words_of(error))
    finally:
        logging.shutdown()
        os._exit(status)


def _words_of(error: BaseException) -> str:
    """What an error of ours or of the system says; others might quote what was received."""
    if isinstance(error, OSError):
        return error.strerror or ""
    return str(error) if type(error).__module__.startswith(("listener.", "storage.")) else "no more is said"


def _end_together(children: Sequence[Child], deadline: float) -> list[int]:
    running = [child for child in children if child.process_id]
    for child in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.process_id, signal.SIGTERM)
    results = []
    for child in running:
        status = None
        while status is None and time.monotonic() < deadline:
            status = _ended(child.process_id, os.WNOHANG)
            if status is None:
                time.sleep(_WATCH_SECONDS / 10)
        if status is None:
            log.warning("The process %s did not end in time and is killed.", child.name)
            os.kill(child.process_id, signal.SIGKILL)
            status = _ended(child.process_id, 0)
        results.append(status or 0)
        child.process_id = 0
    return results


def _ended(process_id: int, options: int) -> int | None:
    """The exit status of a child, 128 and its signal when it was killed; ``None`` while it runs."""
    found, status = os.waitpid(process_id, options)
    if not found:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
