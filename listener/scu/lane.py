"""One lane of delivery: a thread that serves one destination, and waits for no other."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from listener.scu.delivery_worker import DeliveryWorker
from storage.errors import DatabaseUnavailable

_LOG = logging.getLogger(__name__)

_DATABASE_PAUSE_SECONDS = 1.0
_HELD_SECONDS = 0.5
_LOOK_SECONDS = 0.2
_SILENT_SECONDS = 60.0  # a lane goes round each second, and its sender asks more often whether it has to stop


class Lane:
    """A lane that runs in a thread of its own from ``start`` until ``stopped``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._seen_at = time.monotonic()
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def note(self) -> None:
        """The lane goes round, or its sender asks whether it has to stop."""
        self._seen_at = time.monotonic()

    def start(
        self,
        worker: DeliveryWorker,
        wait: Callable[[], None],
        stopped: Callable[[], bool],
        holds: Callable[[], bool] = lambda: False,
    ) -> None:
        """Deliver from now on; ``wait`` returns when something may be due in this lane.

        While ``holds`` says so, nothing is claimed.
        """
        self._thread = threading.Thread(target=self._run, args=(worker, wait, stopped, holds), name=f"lane-{self.name}")
        self._thread.daemon = True  # a process that fails must end
        self._thread.start()

    def is_running(self) -> bool:
        """Whether its thread has not ended.

        Raises:
            Exception: what ended it, and nobody foresaw.
        """
        if self._error is not None:
            raise self._error
        return self._thread is not None and self._thread.is_alive()

    def is_seen(self) -> bool:
        """Whether it went round lately."""
        return time.monotonic() < self._seen_at + _SILENT_SECONDS

    def _run(
        self,
        worker: DeliveryWorker,
        wait: Callable[[], None],
        stopped: Callable[[], bool],
        holds: Callable[[], bool],
    ) -> None:
        try:
            run(worker, wait, stopped, self.note, self.name, holds)
        except BaseException as error:  # noqa: BLE001  raised again in the main thread
            self._error = error


def run(
    worker: DeliveryWorker,
    wait: Callable[[], None],
    stopped: Callable[[], bool],
    alive: Callable[[], None] = lambda: None,
    name: str = "",
    holds: Callable[[], bool] = lambda: False,
) -> None:
    """Deliver what is due and wait for more until ``stopped``; one log line when the database goes or returns.

    While ``holds`` says so nothing is claimed: what is due then is due for long, so there is no use in waiting for it.
    """
    database_away = False
    while not stopped():
        alive()
        try:
            held = holds()
            delivered = not held and worker.deliver_one()
            if database_away:
                database_away = False
                _LOG.info("the database is back and delivery to %s goes on", name)
            if not delivered:
                worker.rest()
            if held:
                time.sleep(_HELD_SECONDS)
            elif not delivered:
                wait()
        except DatabaseUnavailable as error:
            if not database_away and not stopped():
                database_away = True
                _LOG.warning("delivery to %s waits: %s", name, error)
            worker.rest()
            time.sleep(_DATABASE_PAUSE_SECONDS)
    worker.rest()


def watch(lanes: Sequence[Lane], alive: Callable[[], None]) -> None:
    """Return when every lane has ended; ``alive`` is called while each of them goes round.

    Raises:
        Exception: what ended a lane, and nobody foresaw; a lane less would be silence.
    """
    while sum(lane.is_running() for lane in lanes):  # each is asked, for each may have failed
        if all(lane.is_seen() for lane in lanes):
            alive()
        time.sleep(_LOOK_SECONDS)
