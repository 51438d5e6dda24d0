"""Lanes that each run in a thread of their own, for as long as a block."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol


class RunsUntilStopped(Protocol):
    """Something that goes on until it is told to stop."""

    def run(self) -> None:
        """Go on until ``stop``."""
        ...

    def stop(self) -> None:
        """End soon."""
        ...


@contextmanager
def running(lanes: Sequence[RunsUntilStopped], name: str, grace_seconds: float) -> Iterator[None]:
    """Within the block every lane runs; at its end all are told to stop, and waited for so long each.

    ``name`` is for whoever looks at the threads.
    """
    threads = [
        threading.Thread(target=lane.run, name=f"{name}-{number}", daemon=True) for number, lane in enumerate(lanes)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for lane in lanes:
            lane.stop()
        for thread in threads:
            thread.join(grace_seconds)
