"""The keys of a destination that say how arrival is proved."""

from typing import Literal

from pydantic import BaseModel, Field

from storage.domain.proof import ProofPolicy, ProofWay, ProofWish


class ProofKeys(BaseModel):
    """How a destination is asked whether it still has what it acknowledged."""

    proof: Literal["none", "query", "commitment"] = Field(
        default="none",
        description=(
            "How [arrival is proved](proof-of-arrival.md): by its acknowledgement alone, by looking each object up "
            'there (C-FIND, or QIDO-RS for kind = "stow"), or by storage commitment; what it has lost is sent again.'
        ),
    )
    proof_after_seconds: float = Field(
        default=30.0,
        ge=0,
        description="How long after the acknowledgement the destination is asked for the first time.",
    )
    proof_again_seconds: float = Field(
        default=600.0,
        ge=1,
        description="The longest wait before it is asked again, and how long a report of storage commitment may take.",
    )
    proof_give_up_hours: float = Field(
        default=24.0, gt=0, description="Nobody asks any more after this long, and an operator is told."
    )

    def proof_policy(self) -> ProofPolicy | None:
        """How patiently it is asked; ``None`` where its acknowledgement is all there is."""
        way = ProofWay(self.proof)
        if way is ProofWay.NONE:
            return None
        return ProofPolicy(way, self.proof_after_seconds, self.proof_again_seconds, self.proof_give_up_hours)

    def proof_wish(self) -> ProofWish | None:
        """What is to be asked of each object that it acknowledges."""
        way = ProofWay(self.proof)
        return None if way is ProofWay.NONE else ProofWish(way, self.proof_after_seconds)
