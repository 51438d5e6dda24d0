"""Results that wait go over one association, each settled by itself."""

from collections.abc import Callable
from typing import Any

import pytest

from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.open_association import OpenAssociation
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from storage.domain.delivery import SendOutcome
from storage.domain.result import EvidenceObject, EvidenceRole, FrozenEvidence
from tests.peers.evidence_files import data_set_bytes, evidence_object
from tests.peers.orthanc import Orthanc
from tests.peers.recording_pacs import RecordingPacs
from tests.peers.result_desk import ResultDesk

Freeze = Callable[..., FrozenEvidence]


def place(port: int, **settings: Any) -> DestinationSettings:
    """A destination on this machine."""
    return DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=port, **settings)


def owe(desk: ResultDesk, results: int) -> list[tuple[EvidenceObject, EvidenceObject]]:
    """So many results, each a segmentation and its report."""
    owed = []
    for _ in range(results):
        segmentation, report = evidence_object(EvidenceRole.SEGMENTATION), evidence_object(EvidenceRole.REPORT)
        desk.owe(report, segmentation)
        owed.append((segmentation, report))
    return owed


def worker_for(desk: ResultDesk, where: DestinationSettings) -> DeliveryWorker:
    """A worker that keeps its association."""
    return DeliveryWorker(desk.queue, desk.log, {"pacs": where}, StoreScu("OVERREAD", keeps=True), desk.jobs, "test")


def work(worker: DeliveryWorker) -> None:
    """As a lane does until nothing is due."""
    while worker.deliver_one():
        pass
    worker.rest()


def states(desk: ResultDesk) -> list[tuple[str, int]]:
    """State and attempts of every delivery."""
    rows = desk.execute("SELECT state, attempt FROM job WHERE kind = 'delivery' ORDER BY id")
    return [(row["state"], row["attempt"]) for row in rows]


def test_three_results_go_over_one_association(desk: ResultDesk, recording_pacs: RecordingPacs) -> None:
    """Segmentation before report in each, byte for byte, and at the end the association is released."""
    owed = owe(desk, 3)

    work(worker_for(desk, place(recording_pacs.port)))

    assert len(recording_pacs.proposed) == 1
    assert recording_pacs.received == [
        (one.sop_instance_uid, data_set_bytes(one.part10)) for result in owed for one in result
    ]
    assert states(desk) == [("completed", 1)] * 3
    recording_pacs.wait_until(lambda pacs: pacs.released == 1)


@pytest.mark.parametrize(
    ("settings", "associations"),
    [({"results_per_association": 2}, 2), ({"results_per_association": 1}, 3), ({"association_seconds": 0}, 3)],
)
def test_an_association_has_a_bound(
    desk: ResultDesk, recording_pacs: RecordingPacs, settings: dict[str, Any], associations: int
) -> None:
    """So many results or so many seconds, then it is released and another one opened."""
    owe(desk, 3)

    work(worker_for(desk, place(recording_pacs.port, **settings)))

    assert len(recording_pacs.proposed) == associations
    assert states(desk) == [("completed", 1)] * 3
    recording_pacs.wait_until(lambda pacs: pacs.released == associations)


def test_message_ids_begin_anew_at_their_end(
    desk: ResultDesk, recording_pacs: RecordingPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ID that had its answer is used again before it has more than sixteen bits; here it would with the second."""
    given: list[int] = []
    counted = OpenAssociation.next_message_id

    def near_the_end(opened: OpenAssociation) -> int:
        if not given:
            opened._messages = 0xFFFE
        given.append(counted(opened))
        return given[-1]

    monkeypatch.setattr(OpenAssociation, "next_message_id", near_the_end)
    owe(desk, 3)

    work(worker_for(desk, place(recording_pacs.port)))

    assert given == [0xFFFF, 1, 2, 3, 4, 5]
    assert states(desk) == [("completed", 1)] * 3
    assert (len(recording_pacs.proposed), len(recording_pacs.received)) == (1, 6)


def test_what_was_not_proposed_has_an_association_of_its_own(desk: ResultDesk, recording_pacs: RecordingPacs) -> None:
    """A PACS is proposed what it is sent and nothing else; a result of another kind is not sent on what is open."""
    desk.owe(evidence_object(EvidenceRole.REPORT))
    owe(desk, 1)

    work(worker_for(desk, place(recording_pacs.port)))

    assert [len(contexts) for contexts in recording_pacs.proposed] == [1, 2]
    assert states(desk) == [("completed", 1)] * 2


def test_an_association_that_ended_meanwhile_costs_no_attempt(desk: ResultDesk, recording_pacs: RecordingPacs) -> None:
    """A PACS may hang up between two results, or at the first object of the second: that one goes over another."""
    owe(desk, 3)
    worker = worker_for(desk, place(recording_pacs.port))
    worker.deliver_one()
    recording_pacs.hang_up()
    worker.deliver_one()
    recording_pacs.drop_connection_next(after_storing=True)

    work(worker)

    assert states(desk) == [("completed", 1)] * 3
    assert len(recording_pacs.proposed) == 3
    assert [len(kept) for kept in recording_pacs.contents.values()] == [1] * 6


def test_a_lost_lease_stops_its_own_result_only(recording_pacs: RecordingPacs, freeze_evidence: Freeze) -> None:
    """What went before on the association stays delivered, what comes after goes over another one."""
    results = [freeze_evidence(EvidenceRole.REPORT) for _ in range(3)]
    sender, where = StoreScu("OVERREAD", keeps=True), place(recording_pacs.port)
    came: list[SendOutcome] = []

    def lost_once_it_arrived() -> bool:
        return len(recording_pacs.received) > 1

    came += sender.send(where, [results[0]])
    recording_pacs.stay_silent_next()
    came += sender.send(where, [results[1]], lost_once_it_arrived)
    came += sender.send(where, [results[2]])
    sender.rest()

    assert [outcome.status for outcome in came] == [0x0000, None, 0x0000]
    assert "stopped" in came[1].note
    assert len(recording_pacs.proposed) == 2


def test_orthanc_takes_several_results_over_one_association(desk: ResultDesk, orthanc: Orthanc) -> None:
    """Each is there with its frozen bytes."""
    study = "1.2.826.0.1.3680043.8.498.9"
    owed = [evidence_object(EvidenceRole.REPORT, 2000, study) for _ in range(3)]
    for report in owed:
        desk.owe(report)

    work(worker_for(desk, place(orthanc.dicom_port)))

    held = {uid: data_set_bytes(part10) for uid, part10 in orthanc.instances_of(study)}
    assert held == {one.sop_instance_uid: data_set_bytes(one.part10) for one in owed}
    assert states(desk) == [("completed", 1)] * 3
