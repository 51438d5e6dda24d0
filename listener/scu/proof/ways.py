"""The ways to ask, by the word in the settings."""

from collections.abc import Mapping

from listener.scu.proof.inquiry import Inquiry
from listener.scu.proof.read_back import FindInquiry
from storage.domain.proof import ProofWay


def inquiries(ae_title: str) -> Mapping[ProofWay, Inquiry]:
    """Every way that a destination may be asked, as an Application Entity of this title."""
    return {ProofWay.QUERY: FindInquiry(ae_title)}
