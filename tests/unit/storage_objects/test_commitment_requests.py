"""Requests for storage commitment that wait on disk."""

from datetime import UTC, datetime

import pytest

from storage.domain.commitment import CommitmentRequest, Reference
from storage.errors import SpoolFull
from storage.objects import commitment_folder
from storage.objects.commitment_folder import CommitmentFolder


def request(calling: str) -> CommitmentRequest:
    """A request of one instance."""
    references = (Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3"),)
    return CommitmentRequest("1.2.9", references, calling, "OVERREAD", "127.0.0.1", datetime.now(UTC))


def test_one_peer_cannot_take_every_place(folder):
    """A title that has its part of the places is refused while another is taken; what was reported frees its place."""
    requests = CommitmentFolder(folder)
    kept = [requests.keep(request("CT1")) for _ in range(commitment_folder._MOST_OF_ONE)]

    with pytest.raises(SpoolFull):
        requests.keep(request("CT1"))
    assert requests.keep(request("MR1"))
    requests.forget(kept[0])
    assert requests.keep(request("CT1"))
    assert len(list(requests.undecided())) == commitment_folder._MOST_OF_ONE + 1
