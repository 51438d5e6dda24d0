"""An association that is open for storing, and may serve one result after the other."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from pynetdicom.association import Association

from listener.scu.association import Deadlines, Line, Sendable, associate, contexts_of, release, why_not_established
from listener.scu.settings import DestinationSettings
from listener.scu.verdict import NoAnswer

_MESSAGE_IDS = 0xFFFF  # from 1; each need differ from those that have no answer yet (PS3.7 section 9.1.1)


class OpenAssociation:
    """Open until ``close``; of several results on it each has its own ``stopped`` and its own time."""

    def __init__(
        self, association: Association, line: Line, stack: ExitStack, destination: DestinationSettings, pairs: set[str]
    ) -> None:
        self.association = association
        self.line = line
        self._stack = stack
        self._destination = destination
        self._pairs = pairs
        self._opened_at = time.monotonic()
        self._results = 0
        self._messages = 0

    def begin(self, stopped: Callable[[], bool]) -> None:
        """A result begins; the association is cut once ``stopped`` says so."""
        self._results += 1
        self.line.begin(stopped)

    def next_message_id(self) -> int:
        """One that no message on this association has had that still waits for its answer."""
        self._messages = self._messages % _MESSAGE_IDS + 1
        return self._messages

    def may_serve_more(self) -> bool:
        """Whether it is to be kept for what comes next."""
        place = self._destination
        return (
            self.association.is_established
            and self._results < place.results_per_association
            and time.monotonic() < self._opened_at + place.association_seconds
        )

    def serves(self, destination: DestinationSettings, instances: Sequence[Sendable]) -> bool:
        """Whether these may be sent on it: the destination was asked for each of their contexts already."""
        return destination == self._destination and _pairs(instances) <= self._pairs and self.may_serve_more()

    def idle(self) -> None:
        """No result is on it now: nobody's stop and nobody's time cuts it."""
        self.line.begin(lambda: False)

    def close(self) -> None:
        """Release it; whatever the destination makes of that, what was answered stands."""
        with self._stack:
            if self.association.is_established:
                release(self.association, self.line)


def open_association(
    ae_title: str,
    destination: DestinationSettings,
    instances: Sequence[Sendable],
    stopped: Callable[[], bool],
    deadlines: Deadlines,
) -> OpenAssociation | NoAnswer:
    """Propose what these instances need, and nothing else; or why there is no association."""
    with ExitStack() as stack:
        line = stack.enter_context(Line(stopped, deadlines))
        try:
            association = associate(ae_title, destination, contexts_of(instances), line)
        except OSError:  # the name of the host could not be resolved
            return NoAnswer.UNKNOWN_HOST
        if not association.is_established:
            return NoAnswer.INTERRUPTED if stopped() else why_not_established(association, line)
        return OpenAssociation(association, line, stack.pop_all(), destination, _pairs(instances))


def _pairs(instances: Sequence[Sendable]) -> set[str]:
    return {f"{one.sop_class_uid} {one.transfer_syntax_uid}" for one in instances}
