"""Several workers in one process, each with a seat in a child, and one sign of life for all of them."""

import threading
import time
from collections.abc import Callable, Sequence

from inference.worker import Worker

_LOOK_S = 0.5
_SILENT_S = 15.0  # a loop goes round in a second, or in the time of one database call


class LaneFailed(Exception):
    """A lane ended by an error; the others were stopped."""


class SignsOfLife:
    """When each of so many lanes was heard of last."""

    def __init__(self, lanes: int) -> None:
        self._heard = [time.monotonic()] * lanes

    def of(self, lane: int) -> Callable[[], None]:
        """What a lane calls each time its loop goes round."""

        def note() -> None:
            self._heard[lane] = time.monotonic()

        return note

    def all_live(self) -> bool:
        """Whether none of them has fallen silent."""
        return time.monotonic() - min(self._heard) < _SILENT_S


def run_lanes(workers: Sequence[Worker], signs: SignsOfLife, stop: threading.Event, alive: Callable[[], None]) -> None:
    """Run the workers until ``stop`` is set and each has finished or given back its job.

    ``alive`` is called again and again, as long as every one of them lives.

    Raises:
        LaneFailed: one of them ended by an error.
    """
    failed: list[BaseException] = []

    def run(worker: Worker) -> None:
        try:
            worker.run(stop)
        except BaseException as error:  # noqa: BLE001 - raised again below, in the main thread
            failed.append(error)
            stop.set()

    threads = [threading.Thread(target=run, args=(worker,), name=f"lane-{n}") for n, worker in enumerate(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            if signs.all_live():
                alive()
            thread.join(_LOOK_S)
    if failed:
        raise LaneFailed from failed[0]
