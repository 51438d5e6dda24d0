"""A destination that is down, flaps or cannot be found (F17): nothing lost, nothing twice, few connections."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from listener.scu.delivery_worker import DeliveryWorker
from listener.scu.echo import echo, echo_seconds
from listener.scu.pausing import Pausing
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from storage.domain.explanation import sentences
from storage.domain.lane import PausePolicy
from storage.domain.result import EvidenceRole
from storage.postgres.lane_rows import PostgresLanes
from storage.postgres.overview import Overview
from tests.peers.counting_door import CountingDoor, counting_door
from tests.peers.evidence_files import data_set_bytes, evidence_object
from tests.peers.free_ports import free_port
from tests.peers.orthanc import Orthanc
from tests.peers.recording_pacs import RecordingPacs
from tests.peers.result_desk import ResultDesk


class Site:
    """One lane as `overread deliver` runs it, a step at a time, with a clock that only the test moves."""

    def __init__(self, desk: ResultDesk, port: int, host: str = "127.0.0.1", failures: int = 3) -> None:
        self.desk = desk
        place = DestinationSettings(
            name="pacs", ae_title="PACS", host=host, port=port, pause_after_failures=failures, pause_seconds=60
        )
        lanes = PostgresLanes(desk.database)
        self.pausing = Pausing(
            lanes, "pacs", place.pause_policy(), lambda: echo("OVERREAD", place), echo_seconds(place)
        )
        self.worker = DeliveryWorker(
            desk.queue, desk.log, {"pacs": place}, StoreScu("OVERREAD"), desk.jobs, "test", note=self.pausing.note
        )

    def work(self) -> int:
        """Deliver until nothing may be claimed now; how many jobs were taken."""
        taken = 0
        while not self.pausing.holds() and self.worker.deliver_one():
            taken += 1
        return taken

    def work_through_backoff(self, times: int) -> None:
        """As ``work``, with the waits of single jobs left out."""
        for _ in range(times):
            self.desk.make_due()
            self.work()

    def pause(self) -> float | None:
        """How long the lane still pauses, in seconds; ``None`` while it flows."""
        rows = self.desk.execute(
            "SELECT extract(epoch FROM probe_at - now())::float8 AS left FROM delivery_lane WHERE state = 'paused'"
        )
        return rows[0]["left"] if rows else None

    def end_pause(self) -> float:
        """Let the pause pass; how long it would have been, in seconds."""
        left = self.pause()
        assert left is not None
        self.desk.execute("UPDATE delivery_lane SET probe_at = now()")
        self.desk.make_due()
        return left

    def attempts(self) -> int:
        """All claims so far."""
        (row,) = self.desk.execute("SELECT sum(attempt) AS attempts FROM job WHERE kind = 'delivery'")
        return int(row["attempts"])

    def is_done(self) -> bool:
        """Whether every delivery is complete."""
        return self.desk.execute("SELECT id FROM job WHERE kind = 'delivery' AND state <> 'completed'") == []


@pytest.fixture
def door() -> Iterator[CountingDoor]:
    """What counts the connections to the PACS behind it."""
    with counting_door() as door:
        yield door


def owe(desk: ResultDesk, results: int) -> None:
    """So many results, each a segmentation and its report."""
    for _ in range(results):
        desk.owe(evidence_object(EvidenceRole.SEGMENTATION), evidence_object(EvidenceRole.REPORT))


def once_each(pacs: RecordingPacs, results: int) -> bool:
    """Whether the PACS keeps one content of each object, and of each result the segmentation came first."""
    return len(pacs.contents) == 2 * results and all(len(kept) == 1 for kept in pacs.contents.values())


def test_an_hour_without_the_pacs_costs_few_connections(
    desk: ResultDesk, recording_pacs: RecordingPacs, door: CountingDoor
) -> None:
    """Eight results wait an hour: three are tried, then only the pause's end is; all arrive once when it is back."""
    owe(desk, 8)
    site = Site(desk, door.port)
    hour = 0.0
    site.work()
    tried = site.attempts()
    while hour < 3600:
        hour += site.end_pause()
        assert site.work() == 0
    assert (tried, site.attempts()) == (3, 3)
    assert door.connects <= 3 + 3600 / 150 + 3  # each pause is at least half of five minutes, but for the first two

    door.to = recording_pacs.port
    site.end_pause()

    assert site.work() == 8
    assert site.is_done()
    audited = desk.execute("SELECT action FROM audit_event WHERE starts_with(action, 'deliveries-') ORDER BY id")
    assert [row["action"] for row in audited] == ["deliveries-paused", "deliveries-resumed"]
    assert once_each(recording_pacs, 8)
    assert len(recording_pacs.received) == 16
    assert door.connects <= 3 + 3600 / 150 + 3 + 9  # the question whether it is back, and one for each result


def test_a_pacs_that_flaps_gets_everything_once(
    desk: ResultDesk, recording_pacs: RecordingPacs, door: CountingDoor
) -> None:
    """It goes between two results, in one, and after it stored an object without an answer, again and again."""
    owe(desk, 6)
    site = Site(desk, door.port)
    for disturb in (recording_pacs.abort_next, lambda: recording_pacs.drop_connection_next(after_storing=True)) * 2:
        door.to = recording_pacs.port
        disturb()
        site.worker.deliver_one()
        site.worker.deliver_one()
        door.to = 0
        site.work_through_backoff(4)
        site.end_pause()
        site.work()

    door.to = recording_pacs.port
    site.end_pause()
    site.work_through_backoff(3)

    assert site.is_done()
    assert once_each(recording_pacs, 6)


def test_an_orthanc_that_is_restarted_gets_everything_once(desk: ResultDesk, tmp_path: Path) -> None:
    """What it acknowledged before is not sent again, what it missed arrives by itself, and both are there."""
    orthanc = Orthanc(tmp_path / "orthanc").start()
    try:
        study = "1.2.826.0.1.3680043.8.498.17"
        owed = [evidence_object(EvidenceRole.REPORT, 2000, study) for _ in range(4)]
        site = Site(desk, orthanc.dicom_port, failures=1)
        desk.owe(owed[0])
        assert site.work() == 1
        orthanc.stop()
        for report in owed[1:]:
            desk.owe(report)
        assert site.work() == 1  # and then the lane pauses

        orthanc.start()
        site.end_pause()
        assert site.work() == 3
        held = {uid: data_set_bytes(part10) for uid, part10 in orthanc.instances_of(study)}
    finally:
        orthanc.stop()

    assert site.is_done()
    assert held == {one.sop_instance_uid: data_set_bytes(one.part10) for one in owed}


def test_a_name_that_cannot_be_resolved_pauses_the_lane(
    desk: ResultDesk, recording_pacs: RecordingPacs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure of the name service is one of the destination, and told so; once it answers, everything arrives."""
    owe(desk, 2)
    site = Site(desk, recording_pacs.port, host="pacs.invalid", failures=2)

    assert site.work() == 2

    (study,) = desk.execute("SELECT study_instance_uid AS uid FROM study ORDER BY id LIMIT 1")
    explained = " ".join(sentences(Overview(desk.database).explain(study["uid"])))
    assert "Deliveries to pacs have been paused since 20" in explained
    (told,) = Overview(desk.database).paused()
    assert "host" in told["note"]
    assert told["destination"] == "pacs"
    resolve = socket.getaddrinfo
    monkeypatch.setattr("socket.getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more))
    site.end_pause()
    assert site.work() == 2
    assert once_each(recording_pacs, 2)


def test_a_pacs_that_answers_is_not_paused(desk: ResultDesk, recording_pacs: RecordingPacs) -> None:
    """Out of room, refused, stored: a status is an answer, whatever it says, and failures before it count no more."""
    owe(desk, 4)
    site = Site(desk, recording_pacs.port, failures=2)
    recording_pacs.reject_next(0x02, 0x03, 0x01)
    recording_pacs.answer(0xA700, 0xA700)
    assert site.work() == 4
    assert site.pause() is None
    recording_pacs.reject_next(0x02, 0x03, 0x01)
    site.work_through_backoff(2)

    assert site.is_done()
    assert desk.execute("SELECT failures, pauses FROM delivery_lane") == [{"failures": 0, "pauses": 0}]


@pytest.mark.parametrize(
    ("was_away", "starts", "state"),
    [(True, False, "scheduled"), (False, False, "failed"), (False, True, "scheduled")],
)
def test_an_outage_does_not_count_as_time_that_a_result_had(
    desk: ResultDesk, recording_pacs: RecordingPacs, door: CountingDoor, was_away: bool, starts: bool, state: str
) -> None:
    """After two days without the PACS, or without us, a result is tried for a day more.

    Where C-ECHO was answered all along it is not.
    """
    owe(desk, 1)
    site = Site(desk, door.port, failures=1)
    site.work()
    if was_away:
        site.end_pause()
        site.work()
    desk.execute(
        "SET LOCAL session_replication_role = replica; UPDATE job SET scheduled_at = scheduled_at - interval '2 days'"
    )
    if starts:
        PostgresLanes(desk.database).start(["pacs"])
    door.to = recording_pacs.port
    recording_pacs.answer(0xA700)
    site.end_pause()
    site.work()

    assert len(recording_pacs.received) == 1
    assert desk.job()["state"] == state


def test_only_an_answered_delivery_makes_pauses_short_again(
    desk: ResultDesk, recording_pacs: RecordingPacs, door: CountingDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PACS that answers C-ECHO and breaks every C-STORE is left alone for longer each time, and its lane told."""
    monkeypatch.setattr("storage.postgres.lane_rows.random.random", lambda: 0.0)
    owe(desk, 1)
    site = Site(desk, door.port, failures=1)
    door.to = recording_pacs.port
    pauses = []
    for _ in range(3):
        recording_pacs.abort_next()
        site.work()
        pauses.append(round(site.end_pause()))
    site.work()

    assert pauses == [60, 120, 240]
    assert site.is_done()
    assert desk.execute("SELECT state, pauses FROM delivery_lane") == [{"state": "flowing", "pauses": 0}]


def test_a_start_tries_what_is_paused_at_once(desk: ResultDesk, recording_pacs: RecordingPacs) -> None:
    """Who corrected an entry and starts anew waits for no pause; the row of a destination that left is gone."""
    owe(desk, 1)
    Site(desk, free_port(), failures=1).work()
    lanes = PostgresLanes(desk.database)
    lanes.note_failure("archive", PausePolicy(1, 60, 300), "It is away.")
    mended = Site(desk, recording_pacs.port, failures=1)
    desk.make_due()
    assert mended.work() == 0

    lanes.start(["pacs"])

    assert mended.work() == 1
    assert desk.execute("SELECT destination FROM delivery_lane") == [{"destination": "pacs"}]


def test_a_pause_is_logged_once_however_many_failed_before(desk: ResultDesk, caplog: pytest.LogCaptureFixture) -> None:
    """Four failed while pauses were off; with pauses after two, the fifth is told, and none within the pause."""
    lanes = PostgresLanes(desk.database)
    for _ in range(4):
        lanes.note_failure("pacs", PausePolicy(0, 60, 300), "It is away.")
    owe(desk, 2)
    site = Site(desk, free_port(), failures=2)

    site.worker.deliver_one()
    site.worker.deliver_one()

    assert [record.getMessage().count("are paused") for record in caplog.records if record.levelname == "WARNING"] == [
        1
    ]


def test_of_two_processes_one_tries(desk: ResultDesk) -> None:
    """While one asks the destination, another that serves the same lane does not."""
    lanes = PostgresLanes(desk.database)
    owe(desk, 1)
    Site(desk, free_port(), failures=1).work()
    desk.execute("UPDATE delivery_lane SET probe_at = now()")

    assert [lanes.take_probe("pacs", 60), lanes.take_probe("pacs", 60)] == [True, False]
