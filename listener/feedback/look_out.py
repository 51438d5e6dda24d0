"""The duty that looks at each object that came back, once."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from listener.feedback.bounded_reading import MOST_ATTRIBUTE_BYTES, MOST_PIXEL_BYTES, ObjectTooLarge
from listener.feedback.verdicts import Frozen, look_at
from listener.scp.toolkit_log import quiet_toolkits
from storage.domain.returned_object import Look, ReturnedObject, ReturnedOutcome
from storage.errors import DamagedObject, DatabaseUnavailable
from storage.ports.feedback import ReturnedObjects

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_TROUBLE_SECONDS = 10.0


class LookOut:
    """Takes what waits, one object at a time; whatever an object holds, the next one is looked at.

    ``verified`` gives the file of an instance by its UID and digest, and raises DamagedObject.
    """

    def __init__(self, objects: ReturnedObjects, verified: Callable[[str, str], Path], frozen: Frozen) -> None:
        self._objects = objects
        self._verified = verified
        self._frozen = frozen

    def look_once(self) -> ReturnedOutcome | None:
        """Look at the object that waits longest; ``None`` when none does.

        Raises:
            DatabaseUnavailable: it is looked at again later.
        """
        returned = self._objects.claim()
        if returned is None:
            return None
        look = self._safely(returned)
        self._objects.settle(returned, look)
        return look.outcome

    def run(self, stop: threading.Event, begin: threading.Event) -> None:
        """Look until ``stop``, once ``begin`` is set."""
        quiet_toolkits()
        pause = _PAUSE_SECONDS
        while not stop.wait(pause):
            pause = _PAUSE_SECONDS
            if not begin.is_set():
                continue
            try:
                while not stop.is_set() and self.look_once() is not None:
                    pass
            except DatabaseUnavailable:
                pause = _TROUBLE_SECONDS
            except Exception as error:  # noqa: BLE001  the thread must outlive what nobody foresaw; it tries again
                log.error("Looking at an object that came back failed with %s.", type(error).__name__)
                pause = _TROUBLE_SECONDS

    def _safely(self, returned: ReturnedObject) -> Look:
        if not returned.results:
            return Look(ReturnedOutcome.NOT_OURS)
        if returned.size > MOST_ATTRIBUTE_BYTES + MOST_PIXEL_BYTES:
            return Look(ReturnedOutcome.TOO_LARGE)
        try:
            # As it arrived: what a bad disk took out of a report, nobody rejected.
            path = self._verified(returned.sop_instance_uid, returned.sha256)
            return look_at(returned, path, self._frozen)
        except (FileNotFoundError, DamagedObject):
            outcome = ReturnedOutcome.MISSING
        except ObjectTooLarge:
            outcome = ReturnedOutcome.TOO_LARGE
        except Exception as error:  # noqa: BLE001  bytes of a peer make pydicom raise anything
            log.warning(
                "Instance %s came back and could not be read (%s).", returned.sop_instance_uid, type(error).__name__
            )
            outcome = ReturnedOutcome.UNREADABLE
        return Look(outcome)
