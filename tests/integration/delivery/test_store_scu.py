"""Sending to a PACS that answers, refuses, aborts, cuts or says nothing."""

import socket
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from listener.scu.association import Deadlines, Line, associate, contexts_of, deadlines_of, release
from listener.scu.echo import echo
from listener.scu.pace import Pace
from listener.scu.settings import DestinationSettings
from listener.scu.store import StoreScu
from listener.scu.verdict import NoAnswer, outcome_of_status, outcome_without_answer
from storage.domain.delivery import DeliveryStanding, Verdict
from storage.domain.result import EvidenceRole, FrozenEvidence
from tests.peers.evidence_files import COMPREHENSIVE_3D_SR, SEGMENTATION, data_set_bytes
from tests.peers.recording_pacs import RecordingPacs, silent_listener, trickling_listener

Freeze = Callable[..., FrozenEvidence]
QUICK = Deadlines(connect=5, associate=1, silence=1, answer=1, release=0.5, total=20)
PATIENT = Deadlines(connect=10, associate=30, silence=30, answer=60, total=120)


def pacs_at(port: int) -> DestinationSettings:
    """A destination on this machine."""
    return DestinationSettings(name="pacs", ae_title="PACS", host="127.0.0.1", port=port)


@pytest.fixture
def report(freeze_evidence: Freeze) -> FrozenEvidence:
    """A small report."""
    return freeze_evidence(EvidenceRole.REPORT)


@pytest.fixture
def segmentation(freeze_evidence: Freeze) -> FrozenEvidence:
    """A segmentation of many PDUs."""
    return freeze_evidence(EvidenceRole.SEGMENTATION, payload=300_000)


def test_the_frozen_bytes_arrive_as_they_are(
    recording_pacs: RecordingPacs, segmentation: FrozenEvidence, report: FrozenEvidence
) -> None:
    """The data set on the wire is byte for byte that of the file, segmentation first, and every answer is kept."""
    outcomes = StoreScu("OVERREAD", PATIENT).send(pacs_at(recording_pacs.port), [report, segmentation])

    sent = [segmentation, report]
    assert recording_pacs.received == [(item.sop_instance_uid, data_set_bytes(item.path.read_bytes())) for item in sent]
    assert outcomes == tuple(outcome_of_status(item.sop_instance_uid, 0x0000) for item in sent)


def test_exactly_what_is_sent_is_proposed(
    recording_pacs: RecordingPacs, segmentation: FrozenEvidence, report: FrozenEvidence, freeze_evidence: Freeze
) -> None:
    """One association, one context for each pair of SOP Class and transfer syntax, under our AE title."""
    another = freeze_evidence(EvidenceRole.REPORT)

    StoreScu("OVERREAD", PATIENT).send(pacs_at(recording_pacs.port), [report, another, segmentation])

    syntax = (report.transfer_syntax_uid,)
    assert recording_pacs.proposed == [[(SEGMENTATION, syntax), (COMPREHENSIVE_3D_SR, syntax)]]
    assert recording_pacs.calling_ae_titles == ["OVERREAD"]


@pytest.mark.parametrize("status", [0xA700, 0xA900, 0xC000, 0x0122, 0xB000, 0xB006, 0xB007, 0x0111, 0x0110])
def test_an_answer_decides_about_its_own_instance_only(
    recording_pacs: RecordingPacs, segmentation: FrozenEvidence, report: FrozenEvidence, status: int
) -> None:
    """Where nothing is held back, whatever the segmentation is answered, the report is judged by its own answer."""
    recording_pacs.answer(status)

    outcomes = StoreScu("OVERREAD", PATIENT).send(
        pacs_at(recording_pacs.port), [segmentation, report], standing=DeliveryStanding(holds_back=False)
    )

    assert outcomes == (
        outcome_of_status(segmentation.sop_instance_uid, status),
        outcome_of_status(report.sop_instance_uid, 0x0000),
    )


def test_a_sop_class_without_a_context_is_refused_and_the_rest_is_sent(
    segmentation: FrozenEvidence, report: FrozenEvidence
) -> None:
    """A PACS that knows no segmentations still gets the report."""
    pacs = RecordingPacs(sop_classes=[COMPREHENSIVE_3D_SR])
    try:
        outcomes = StoreScu("OVERREAD", PATIENT).send(pacs_at(pacs.start()), [segmentation, report])
    finally:
        pacs.stop()

    assert outcomes == (
        outcome_without_answer(segmentation.sop_instance_uid, NoAnswer.NOT_ACCEPTED),
        outcome_of_status(report.sop_instance_uid, 0x0000),
    )


def test_no_context_at_all_is_a_refusal(segmentation: FrozenEvidence) -> None:
    """A PACS that accepts the association but nothing in it refuses for good."""
    pacs = RecordingPacs(sop_classes=[COMPREHENSIVE_3D_SR])
    try:
        outcomes = StoreScu("OVERREAD", PATIENT).send(pacs_at(pacs.start()), [segmentation])
    finally:
        pacs.stop()

    assert outcomes == (outcome_without_answer(segmentation.sop_instance_uid, NoAnswer.NOT_ACCEPTED),)


@pytest.mark.parametrize(
    ("rejection", "why"),
    [
        ((1, 1, 3), NoAnswer.CALLING_AE_TITLE_UNKNOWN),
        ((1, 1, 7), NoAnswer.CALLED_AE_TITLE_UNKNOWN),
        ((1, 1, 1), NoAnswer.REJECTED),
        ((2, 3, 2), NoAnswer.REJECTED_FOR_NOW),
    ],
)
def test_a_rejected_association_is_tried_again_with_its_reason(
    recording_pacs: RecordingPacs, report: FrozenEvidence, rejection: tuple[int, int, int], why: NoAnswer
) -> None:
    """Even a permanent rejection is tried again, because an operator may mend it at the PACS."""
    recording_pacs.reject_next(*rejection)

    outcomes = StoreScu("OVERREAD", PATIENT).send(pacs_at(recording_pacs.port), [report])

    assert outcomes == (outcome_without_answer(report.sop_instance_uid, why),)
    assert outcomes[0].verdict is Verdict.TRY_AGAIN


@pytest.mark.parametrize(
    ("host", "why"), [("127.0.0.1", NoAnswer.UNREACHABLE), ("no-such-host.invalid", NoAnswer.UNKNOWN_HOST)]
)
def test_a_pacs_that_cannot_be_reached_is_tried_again(report: FrozenEvidence, host: str, why: NoAnswer) -> None:
    """A refused connection or an unknown host is no refusal of the instance, and the two are told apart."""
    destination = DestinationSettings(name="pacs", ae_title="PACS", host=host, port=1)

    outcomes = StoreScu("OVERREAD", QUICK).send(destination, [report])

    assert outcomes == (outcome_without_answer(report.sop_instance_uid, why),)


def test_an_abort_leaves_the_rest_for_another_try(
    recording_pacs: RecordingPacs, segmentation: FrozenEvidence, report: FrozenEvidence
) -> None:
    """What was answered before the abort stands; what was not is tried again and was not claimed delivered."""
    recording_pacs.answer(0x0000)
    recording_pacs.abort_next()

    first, second = StoreScu("OVERREAD", PATIENT).send(pacs_at(recording_pacs.port), [segmentation, report])

    assert first == outcome_of_status(segmentation.sop_instance_uid, 0x0000)
    assert second == outcome_without_answer(report.sop_instance_uid, NoAnswer.BROKEN)


@pytest.mark.parametrize("after_storing", [True, False])
def test_a_lost_answer_is_no_delivery(
    recording_pacs: RecordingPacs, segmentation: FrozenEvidence, report: FrozenEvidence, after_storing: bool
) -> None:
    """A connection that is cut before the answer leaves everything for another try, whether or not it was stored.

    What comes after it did not leave us.
    """
    recording_pacs.drop_connection_next(after_storing=after_storing)

    outcomes = StoreScu("OVERREAD", PATIENT).send(pacs_at(recording_pacs.port), [segmentation, report])

    assert outcomes == (
        outcome_without_answer(segmentation.sop_instance_uid, NoAnswer.BROKEN),
        replace(outcome_without_answer(report.sop_instance_uid, NoAnswer.BROKEN), went_out=False),
    )


def test_no_answer_within_the_deadline_is_tried_again(recording_pacs: RecordingPacs, report: FrozenEvidence) -> None:
    """A PACS that takes the instance and then says nothing does not hold us."""
    recording_pacs.stay_silent_next()

    outcomes = StoreScu("OVERREAD", QUICK).send(pacs_at(recording_pacs.port), [report])

    assert outcomes == (outcome_without_answer(report.sop_instance_uid, NoAnswer.BROKEN),)


def test_a_pacs_that_stops_reading_does_not_hold_us(recording_pacs: RecordingPacs, freeze_evidence: Freeze) -> None:
    """With the socket's buffers full and nobody reading, the deadline still ends the attempt."""
    recording_pacs.stop_reading()
    large = freeze_evidence(EvidenceRole.SEGMENTATION, payload=24_000_000)

    outcomes = StoreScu("OVERREAD", replace(QUICK, total=600)).send(pacs_at(recording_pacs.port), [large])

    assert outcomes == (outcome_without_answer(large.sop_instance_uid, NoAnswer.BROKEN),)
    assert recording_pacs.received == []


@pytest.mark.timeout(30)
def test_the_deadlines_are_those_of_the_settings(recording_pacs: RecordingPacs, report: FrozenEvidence) -> None:
    """A PACS that takes an object and says nothing is waited for as long as its entry says, and no minute."""
    recording_pacs.stay_silent_next()
    place = pacs_at(recording_pacs.port).model_copy(update={"answer_seconds": 0.2})

    outcomes = StoreScu("OVERREAD").send(place, [report])

    assert outcomes == (outcome_without_answer(report.sop_instance_uid, NoAnswer.BROKEN),)
    assert deadlines_of(
        place.model_copy(update={"connect_seconds": 1.0, "longest_transfer_seconds": 3.0})
    ) == Deadlines(connect=1.0, answer=0.2, total=3.0)


def test_no_object_waits_for_the_acknowledgement_of_the_last_bytes(
    recording_pacs: RecordingPacs, report: FrozenEvidence
) -> None:
    """Nagle's algorithm is off on every association, else each object takes 80 ms to an archive that has it on."""
    with Line(lambda: False, PATIENT) as line:
        association = associate("OVERREAD", pacs_at(recording_pacs.port), contexts_of([report]), line)
        connection = association.dul.socket.socket

        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        release(association, line)


def test_the_pace_of_a_destination_is_kept_and_costs_no_transfer(
    recording_pacs: RecordingPacs, segmentation: FrozenEvidence, report: FrozenEvidence
) -> None:
    """The second object waits for its turn; that takes longer than a transfer may, and is none of its time."""
    sender = StoreScu("OVERREAD", replace(PATIENT, total=0.5), pace=Pace(objects_per_second=1))

    outcomes = sender.send(pacs_at(recording_pacs.port), [segmentation, report])

    assert [outcome.verdict for outcome in outcomes] == [Verdict.DELIVERED] * 2


@pytest.mark.parametrize("host", ["pacs..example", f"{'a' * 64}.example"])
def test_a_host_that_can_be_no_name_is_told_as_one_that_is_not_there(report: FrozenEvidence, host: str) -> None:
    """A dot too many, or a label too long, fails at its own destination; it ends no lane, and no process with it."""
    where = pacs_at(104).model_copy(update={"host": host})

    assert StoreScu("OVERREAD", QUICK).send(where, [report]) == (
        outcome_without_answer(report.sop_instance_uid, NoAnswer.UNKNOWN_HOST),
    )
    assert echo("OVERREAD", where) is NoAnswer.UNKNOWN_HOST


def test_what_cannot_be_sent_any_more_takes_no_turn(
    recording_pacs: RecordingPacs, segmentation: FrozenEvidence, report: FrozenEvidence
) -> None:
    """The PACS aborts at the first object: the second is not waited for, and holds up no other association."""
    recording_pacs.abort_next()
    waits: list[float] = []
    pace = Pace(objects_per_second=1 / 3600, now=lambda: 0.0)
    pace.wait = lambda seconds, stopped: waits.append(seconds)  # type: ignore[method-assign]

    StoreScu("OVERREAD", PATIENT, pace=pace).send(pacs_at(recording_pacs.port), [segmentation, report])

    assert waits == [0.0]
    assert pace.take_turn(1) == 3600


def test_an_unanswered_release_changes_no_verdict(recording_pacs: RecordingPacs, report: FrozenEvidence) -> None:
    """What was acknowledged stays delivered when the PACS never answers the release."""
    recording_pacs.ignore_release_next()

    outcomes = StoreScu("OVERREAD", QUICK).send(pacs_at(recording_pacs.port), [report])

    assert outcomes == (outcome_of_status(report.sop_instance_uid, 0x0000),)


def test_an_answer_counts_only_for_the_message_it_names(
    recording_pacs: RecordingPacs, segmentation: FrozenEvidence, report: FrozenEvidence
) -> None:
    """A success that came before the report was sent does not make the report delivered."""
    recording_pacs.answer_ahead_next()
    recording_pacs.answer(0xA700)

    first, second = StoreScu("OVERREAD", QUICK).send(pacs_at(recording_pacs.port), [segmentation, report])

    assert first.verdict is Verdict.DELIVERED
    assert second.verdict is Verdict.TRY_AGAIN


def test_a_peer_that_never_answers_the_association_is_tried_again(report: FrozenEvidence) -> None:
    """A port that accepts and says nothing is left after the deadline."""
    with silent_listener() as port:
        outcomes = StoreScu("OVERREAD", QUICK).send(pacs_at(port), [report])

    assert outcomes == (outcome_without_answer(report.sop_instance_uid, NoAnswer.NO_ASSOCIATION),)


def test_stopping_cuts_an_association_that_waits(recording_pacs: RecordingPacs, report: FrozenEvidence) -> None:
    """Once told to stop, a PACS that says nothing holds us no longer, however long its deadline is."""
    recording_pacs.stay_silent_next()
    stop = threading.Event()
    outcomes: list[object] = []
    sending = threading.Thread(
        target=lambda: outcomes.extend(
            StoreScu("OVERREAD", PATIENT).send(pacs_at(recording_pacs.port), [report], stop.is_set)
        )
    )
    sending.start()
    recording_pacs.wait_until(lambda pacs: bool(pacs.received))

    stop.set()
    sending.join(30)

    assert outcomes == [outcome_without_answer(report.sop_instance_uid, NoAnswer.INTERRUPTED)]


def test_nothing_is_sent_once_stopped(recording_pacs: RecordingPacs, report: FrozenEvidence) -> None:
    """With the stop given beforehand no association is opened, and nothing is told as sent."""
    outcomes = StoreScu("OVERREAD", PATIENT).send(pacs_at(recording_pacs.port), [report], lambda: True)

    expected = replace(outcome_without_answer(report.sop_instance_uid, NoAnswer.INTERRUPTED), went_out=False)
    assert outcomes == (expected,)
    assert recording_pacs.proposed == []


@pytest.mark.timeout(90)
def test_an_answer_that_trickles_holds_nobody_up(report: FrozenEvidence) -> None:
    """The time for an association is one for all of it, not one for each byte, and ends before the total does."""
    with trickling_listener() as port:
        (outcome,) = StoreScu("OVERREAD", replace(QUICK, connect=1, total=1800)).send(pacs_at(port), [report])

    assert outcome.verdict is Verdict.TRY_AGAIN
