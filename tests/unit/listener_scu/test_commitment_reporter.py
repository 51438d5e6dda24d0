"""Reports of storage commitment to peers that have left, where a peer cannot be found."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from listener.scu.commitment_report import CommitmentReporter
from listener.settings import PeerSettings
from storage.domain.commitment import CommitmentRequest
from storage.objects.commitment_folder import CommitmentFolder
from storage.objects.layout import DataFolder


@pytest.mark.parametrize("host", ["pacs.invalid", "pacs..example"])
def test_a_peer_that_cannot_be_found_holds_up_no_other_report(tmp_path: Path, host: str) -> None:
    """Its report is given back for a later try, and the next one has its turn in the same pass."""
    requests = CommitmentFolder(DataFolder(tmp_path / "data"))
    for number, title in enumerate(["LOST", "STRANGER"]):
        request = CommitmentRequest(
            f"1.2.{number}", (), title, "OVERREAD", "127.0.0.1", datetime(2026, 1, 1, tzinfo=UTC)
        )
        requests.settle(requests.keep(request), {})
    peers = [PeerSettings(ae_title="LOST", networks=("127.0.0.1/32",), host=host, port=104)]

    CommitmentReporter(requests, peers, own_association_seconds=0).report_all()

    [left] = requests.settled()  # what is for nobody that we know was put away
    report = requests.take(left)
    assert report is not None
    assert report.request.calling_ae_title == "LOST"
