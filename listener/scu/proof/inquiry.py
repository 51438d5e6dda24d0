"""One way to ask a destination whether it has what it acknowledged."""

from collections.abc import Callable
from typing import Protocol

from listener.scu.settings import DestinationSettings
from storage.domain.proof import ObjectAnswer, ProofRequest, Word


class Inquiry(Protocol):
    """Whoever can put a question before a destination."""

    def ask(
        self, destination: DestinationSettings, request: ProofRequest, stopped: Callable[[], bool]
    ) -> tuple[ObjectAnswer, ...]:
        """Ask, and say what was answered of each object; one that is left out is answered later, by a report.

        A destination that cannot be asked says nothing of any object: ``Word.UNSAID``, with the sentence why.
        """
        ...


def nothing_said(request: ProofRequest, note: str, reason: int | None = None) -> tuple[ObjectAnswer, ...]:
    """The answers of a destination that could not be asked, or did not answer."""
    return tuple(ObjectAnswer(one.sop_instance_uid, Word.UNSAID, note, reason) for one in request.objects)
