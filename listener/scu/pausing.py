"""Leave a destination alone that does not answer, and try it now and then: a circuit breaker for one lane."""

import logging
from collections.abc import Callable, Sequence

from listener.scu.verdict import NoAnswer, no_answer_note
from storage.domain.delivery import SendOutcome
from storage.domain.lane import PausePolicy
from storage.ports.lanes import Lanes

_LOG = logging.getLogger(__name__)

Probe = Callable[[], NoAnswer | None]


class Pausing:
    """Stands before the claims of one lane; what it knows is in the database, with whoever else serves the lane.

    ``probe`` asks the destination whether it is there and says why not; ``patience_seconds`` is the longest that takes.
    """

    def __init__(
        self, lanes: Lanes, destination: str, policy: PausePolicy, probe: Probe, patience_seconds: float
    ) -> None:
        self._lanes = lanes
        self._destination = destination
        self._policy = policy
        self._probe = probe
        self._patience_seconds = patience_seconds

    def holds(self) -> bool:
        """Whether nothing may be claimed now; a paused destination is tried where it is time.

        Raises:
            DatabaseUnavailable: nothing may be claimed either.
        """
        if not self._lanes.is_paused(self._destination):
            return False
        if self._policy.failures and not self._lanes.take_probe(self._destination, self._patience_seconds):
            return True
        why = self._probe() if self._policy.failures else None  # the settings may have changed since it paused
        if why is NoAnswer.INTERRUPTED:
            return True
        if why is not None:
            self._lanes.note_silence(self._destination, self._policy, no_answer_note(why))
            return True
        if self._lanes.resume(self._destination):
            _LOG.info("destination %s answers again and deliveries to it go on", self._destination)
        return False

    def note(self, outcomes: Sequence[SendOutcome]) -> None:
        """What came of one delivery; the lane may pause by it.

        Raises:
            DatabaseUnavailable: it does not count.
        """
        if any(outcome.status is not None for outcome in outcomes):
            self._lanes.note_answer(self._destination)
            return
        failed = next((outcome for outcome in outcomes if outcome.out_of_reach), None)
        if failed is None:
            return
        standing = self._lanes.note_failure(self._destination, self._policy, failed.note)
        if standing.has_just_paused:
            _LOG.warning("deliveries to %s are paused, because none was answered: %s", self._destination, failed.note)
