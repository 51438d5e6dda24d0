"""Priors that routes ask for."""

from typing import Protocol

from storage.domain.prior_request import PriorRequest


class PriorRequests(Protocol):
    """What is to be fetched; each call raises DatabaseUnavailable."""

    def take(self, archive: str, patience_seconds: float) -> PriorRequest | None:
        """One that is due, for the caller alone; it is due again after ``patience_seconds`` if nobody settles it."""
        ...

    def done(self, request_id: int, note: str) -> None:
        """The archive was asked and what it has is here, as ``note`` says in one sentence."""
        ...

    def try_later(self, request: PriorRequest, note: str) -> None:
        """It is asked again later, or given up after the last attempt."""
        ...
