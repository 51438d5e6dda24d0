"""Proof of arrival: what each destination is to be asked, and what it said."""

from collections.abc import Sequence
from typing import Protocol

from storage.domain.proof import ObjectAnswer, ProofPolicy, ProofRequest


class Proofs(Protocol):
    """The proofs that are owed; every answer is fenced by its request and audited."""

    def claim(
        self, destination: str, policy: ProofPolicy, ae_title: str, addresses: Sequence[str]
    ) -> ProofRequest | None:
        """Take what this destination is to be asked now, or ``None``; the request is durable before it is sent.

        ``ae_title`` and ``addresses`` are those of the destination: only from there a report is believed.

        Raises:
            DatabaseUnavailable: nothing was changed.
        """
        ...

    def give_up_left(self, proving: Sequence[str]) -> int:
        """Ask no more at destinations that are not among these; return at how many objects an operator has to look.

        Raises:
            DatabaseUnavailable: nothing was changed.
        """
        ...

    def settle(self, request: ProofRequest, policy: ProofPolicy, answers: Sequence[ObjectAnswer]) -> None:
        """Write what the destination said; objects it said nothing of stay asked until their answer is overdue.

        Raises:
            DatabaseUnavailable: nothing was changed, and the objects are asked again.
        """
        ...
