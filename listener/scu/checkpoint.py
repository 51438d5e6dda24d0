"""Keeps pynetdicom from taking its own answers away.

While a request is sent the toolkit holds its reactor at a ``threading.Event``. An Event that is set and cleared at once
lets a waiter through although it looks held; the reactor then takes the answer off the queue and drops it, and the
sender waits for an answer that has come. Peers that answer at once make it likely: one request in some ten thousand.
"""

import threading

from pynetdicom.association import Association

_LOOK_SECONDS = 0.1


class Checkpoint:
    """In the place of that Event: ``clear`` returns once the reactor is held, and what is held stays so."""

    def __init__(self, association: Association) -> None:
        self._association = association
        self._changed = threading.Condition()
        self._open = True
        self._held = False

    def wait(self) -> None:
        """Be held while the checkpoint is closed."""
        with self._changed:
            self._held = True
            self._changed.notify_all()
            while not self._open:
                self._changed.wait()
            self._held = False

    def set(self) -> None:
        """Open it."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Close it, and return once the reactor has come to it or has ended."""
        with self._changed:
            self._open = False
            while not self._held and self._association.is_alive() and threading.current_thread() != self._association:
                self._changed.wait(_LOOK_SECONDS)


def hold_answers(association: Association) -> None:
    """Give an association that was just established a checkpoint that holds."""
    association._reactor_checkpoint = Checkpoint(association)  # type: ignore[assignment]
