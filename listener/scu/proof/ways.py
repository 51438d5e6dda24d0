"""The ways to ask, by the word in the settings."""

from collections.abc import Callable, Mapping

from listener.scu.proof.commitment import CommitmentInquiry, TakeReport
from listener.scu.proof.inquiry import Inquiry
from listener.scu.proof.read_back import FindInquiry
from listener.scu.proof.web_read_back import QidoInquiry
from listener.scu.settings import DestinationSettings
from storage.domain.proof import ObjectAnswer, ProofRequest, ProofWay


class QueryByKind:
    """Implements Inquiry; a query as the kind of the destination has it."""

    def __init__(self, ways: Mapping[str, Inquiry]) -> None:
        """``ways`` by `kind` of [[destinations]]."""
        self._ways = ways

    def ask(
        self, destination: DestinationSettings, request: ProofRequest, stopped: Callable[[], bool]
    ) -> tuple[ObjectAnswer, ...]:
        """As the way of its kind says."""
        return self._ways[destination.kind].ask(destination, request, stopped)


def inquiries(ae_title: str, take: TakeReport) -> Mapping[ProofWay, Inquiry]:
    """Every way that a destination may be asked, as an Application Entity of this title.

    ``take`` is told what a destination reports on the association on which it was asked.
    """
    query = QueryByKind({"dimse": FindInquiry(ae_title), "stow": QidoInquiry()})
    return {ProofWay.QUERY: query, ProofWay.COMMITMENT: CommitmentInquiry(ae_title, take)}
