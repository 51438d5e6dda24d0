"""The ways to ask, by the word in the settings."""

from collections.abc import Mapping

from listener.scu.proof.commitment import CommitmentInquiry, TakeReport
from listener.scu.proof.inquiry import Inquiry
from listener.scu.proof.read_back import FindInquiry
from storage.domain.proof import ProofWay


def inquiries(ae_title: str, take: TakeReport) -> Mapping[ProofWay, Inquiry]:
    """Every way that a destination may be asked, as an Application Entity of this title.

    ``take`` is told what a destination reports on the association on which it was asked.
    """
    return {ProofWay.QUERY: FindInquiry(ae_title), ProofWay.COMMITMENT: CommitmentInquiry(ae_title, take)}
