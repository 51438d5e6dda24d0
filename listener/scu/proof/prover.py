"""Ask each destination, as often as its settings say, whether it has what it acknowledged."""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from listener.scu.proof.inquiry import Inquiry
from listener.scu.settings import DestinationSettings
from listener.scu.threads import running
from storage.domain.proof import ProofPolicy, ProofWay
from storage.errors import DatabaseUnavailable
from storage.ports.proof import Proofs

_LOG = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_GRACE_SECONDS = 5.0
_LOOK_UP_SECONDS = 60.0


class Prover:
    """One destination's lane of questions: it waits for no other destination, and none for it."""

    def __init__(self, proofs: Proofs, destination: DestinationSettings, policy: ProofPolicy, inquiry: Inquiry) -> None:
        self._proofs = proofs
        self._destination = destination
        self._policy = policy
        self._inquiry = inquiry
        self._stop = threading.Event()
        self._found: list[str] = []
        self._found_at = 0.0

    def ask_once(self) -> bool:
        """Put one question, if one is due, and write what came of it; ``False`` when none was.

        Raises:
            DatabaseUnavailable: what was asked is asked again.
        """
        place = self._destination
        request = self._proofs.claim(place.name, self._policy, place.ae_title, self._believed_from())
        if request is None:
            return False
        answers = self._inquiry.ask(place, request, self._stop.is_set)
        if self._stop.is_set():
            return False  # cut short: it is asked again by whoever comes next
        self._proofs.settle(request, self._policy, answers)
        return True

    def _believed_from(self) -> list[str]:
        """The addresses a report is believed from, looked up each minute; a query needs none."""
        if self._policy.way is not ProofWay.COMMITMENT:
            return []
        if not self._found or time.monotonic() - self._found_at > _LOOK_UP_SECONDS:
            self._found, self._found_at = _addresses(self._destination.host), time.monotonic()
        return self._found

    def run(self) -> None:
        """Ask until ``stop``."""
        while not self._stop.is_set():
            try:
                asked = self.ask_once()
            except DatabaseUnavailable:
                asked = False
            except Exception as error:  # noqa: BLE001  the lane must outlive what nobody foresaw; it tries again
                _LOG.error(
                    "asking destination %s for proof failed with %s", self._destination.name, type(error).__name__
                )
                asked = False
            if not asked:
                self._stop.wait(_PAUSE_SECONDS)

    def stop(self) -> None:
        """End after the question in hand, whose association is cut."""
        self._stop.set()


@contextmanager
def proving(
    proofs: Proofs, destinations: Sequence[DestinationSettings], inquiries: Mapping[ProofWay, Inquiry]
) -> Iterator[None]:
    """Within the block, every destination that is to prove arrival is asked, each in a thread of its own."""
    lanes = []
    for place in destinations:
        policy = place.proof_policy()
        if policy is not None:
            lanes.append(Prover(proofs, place, policy, inquiries[policy.way]))
    with contextlib.suppress(DatabaseUnavailable):  # the next start does it
        left = proofs.give_up_left([place.name for place in destinations if place.proof_policy() is not None])
        if left:
            _LOG.warning(
                "%d object(s) are not asked about any more; `overread deliveries list --unproven` says why", left
            )
    with running(lanes, "proof", _GRACE_SECONDS):
        yield


def _addresses(host: str) -> list[str]:
    """Every address of a host, as sockets show them; empty without a host, or while its name cannot be resolved."""
    if not host:
        return []
    with contextlib.suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        return sorted({str(address[0]) for *_, address in found})
    return []
