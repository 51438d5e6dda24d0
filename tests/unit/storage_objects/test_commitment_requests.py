"""Requests for storage commitment that wait on disk."""

import os
import time
from datetime import UTC, datetime

import pytest

from storage.domain.commitment import CommitmentRequest, ReceivedReport, Reference
from storage.errors import SpoolFull
from storage.objects.commitment_folder import CommitmentFolder
from storage.objects.message_folder import MOST_OF_ONE
from storage.objects.report_folder import ReportFolder


def request(calling: str) -> CommitmentRequest:
    """A request of one instance."""
    references = (Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3"),)
    return CommitmentRequest("1.2.9", references, calling, "OVERREAD", "127.0.0.1", datetime.now(UTC))


def report(calling: str) -> ReceivedReport:
    """A report on a request of ours."""
    return ReceivedReport("1.2.9", frozenset({"1.2.3"}), {}, calling, "127.0.0.1")


def test_one_peer_cannot_take_every_place(folder):
    """A title that has its part of the places is refused while another is taken; what was reported frees its place."""
    requests = CommitmentFolder(folder)
    kept = [requests.keep(request("CT1")) for _ in range(MOST_OF_ONE)]

    with pytest.raises(SpoolFull):
        requests.keep(request("CT1"))
    assert requests.keep(request("MR1"))
    requests.forget(kept[0])
    assert requests.keep(request("CT1"))
    assert len(list(requests.undecided())) == MOST_OF_ONE + 1


def test_a_report_whose_taker_died_is_given_back_whatever_the_clock_says(folder, monkeypatch):
    """After two minutes in which somebody saw it taken; the clock of the machine plays no part."""
    requests = CommitmentFolder(folder)
    request_id = requests.keep(request("CT1"))
    requests.settle(request_id, {})
    assert requests.take(request_id) is not None
    os.utime(folder.commitments / f"{request_id}.taken", (0, 0))  # as after a clock that was set

    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert requests.settled() == []
    monkeypatch.setattr(time, "monotonic", lambda: now + 121)
    assert requests.settled() == [request_id]


@pytest.mark.parametrize("keeper", [CommitmentFolder, ReportFolder])
def test_what_was_damaged_on_the_disk_takes_no_place(folder, keeper, caplog):
    """It would keep that of another message for ever; the log says so, and what stands beside it is read."""
    messages = keeper(folder)
    ours = request if keeper is CommitmentFolder else report
    where = folder.commitments if keeper is CommitmentFolder else folder.commitment_reports
    for title in ("CT1", "MR1"):
        messages.keep(ours(title))
    first = sorted(where.glob("*.json"))[0]
    first.write_bytes(first.read_bytes()[:10])

    waiting = messages.undecided() if keeper is CommitmentFolder else messages.waiting()
    assert [one.calling_ae_title for _, one in waiting] == ["MR1"]
    assert "damaged on the disk" in caplog.text
    assert not first.exists()
