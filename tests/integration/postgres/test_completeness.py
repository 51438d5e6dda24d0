"""When a study settles by the evidence of its rows, and what is written of the decision."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import event

from storage.domain.algorithm import AlgorithmStage, InputNeeds
from storage.domain.completeness import AvailabilityNotice, EvidenceKind, Patience, Source, SourcePatience
from storage.domain.explanation import sentences
from storage.domain.image_record import ImageRecord
from storage.housekeeping.settle_studies import settle_studies
from storage.postgres.completeness_rows import GeometrySeen, PostgresCompletenessClaims, forget_old_claims
from storage.postgres.overview import Overview
from storage.postgres.study_settlement import PostgresStudySettlement

_USUAL = SourcePatience(60, 3600, 5)
_PATIENCE = Patience(
    _USUAL,
    {
        Source("CT1"): replace(_USUAL, evidence=frozenset({EvidenceKind.COMMITMENT, EvidenceKind.GEOMETRY})),
        Source("ROUTER"): replace(_USUAL, evidence=frozenset({EvidenceKind.AVAILABILITY})),
        Source("SLOW"): replace(_USUAL, quiet_seconds=600),
        Source("SLOW", web=True): replace(_USUAL, quiet_seconds=6),
    },
)
_DECISIVE = "SELECT revision, kind FROM revision_evidence WHERE decisive ORDER BY revision"


def _quiet(hospital: Any, seconds: float, study: str = "1.2.3") -> None:
    hospital.rows(
        "UPDATE study SET last_received_at = now() - make_interval(secs => %s), "
        "unsettled_since = least(unsettled_since, now() - make_interval(secs => %s)) WHERE study_instance_uid = %s",
        *(seconds, seconds, study),
    )


def _waited(hospital: Any, seconds: float) -> None:
    hospital.rows("UPDATE study SET unsettled_since = now() - make_interval(secs => %s)", seconds)


def _asked_about(
    hospital: Any, *arrivals: Any, claim_id: str = "one", title: str = "CT1", more: tuple[str, ...] = ()
) -> None:
    uids = [*(arrival.header.sop_instance_uid for arrival in arrivals), *more]
    PostgresCompletenessClaims(hospital.database, _PATIENCE).note(claim_id, EvidenceKind.COMMITMENT, title, uids)


def _settle(hospital: Any) -> int:
    return settle_studies(hospital.database, _PATIENCE)


def _story(hospital: Any) -> list[str]:
    return list(sentences(hospital.overview.explain("1.2.3")))


def test_a_study_that_waits_says_what_for(hospital: Any) -> None:
    """What decided that it is not complete comes first; of one that is complete nothing is said."""
    hospital.install()
    arrival = hospital.arrival()
    hospital.receive(arrival)
    _asked_about(hospital, arrival, more=("1.2.9",))
    told = Overview(hospital.database, _PATIENCE)
    _quiet(hospital, 61)
    assert _settle(hospital) == 0

    (sentence,) = [one for one in sentences(told.explain("1.2.3")) if one.startswith("It is waited for more")]
    lacking = "CT1 asked for storage commitment of 2 instances, 1 of which had not arrived."
    assert sentence == f"It is waited for more because of commitment: {lacking}"

    _waited(hospital, 3601)
    assert _settle(hospital) == 1
    assert told.explain("1.2.3")["waiting"] == []


def test_the_quiet_time_is_that_of_the_sender(hospital: Any) -> None:
    """A slow sender is waited for longer, also when a quicker one sent the rest; an account is no AE title."""
    slow = hospital.association(calling_ae_title="SLOW")
    hospital.receive(hospital.arrival(), hospital.arrival("1.2.4"), hospital.arrival("1.2.4", slow))
    for study in ("1.2.3", "1.2.4"):
        _quiet(hospital, 61, study)

    assert _settle(hospital) == 1
    assert hospital.rows("SELECT study_instance_uid FROM study WHERE revision = 1") == [("1.2.3",)]
    _quiet(hospital, 601, "1.2.4")
    assert _settle(hospital) == 1
    assert set(hospital.rows("SELECT kind, sentence FROM revision_evidence")) == {
        ("quiet", "No new instance had arrived for 60 s."),
        ("quiet", "No new instance had arrived for 600 s."),
    }


def test_a_sender_without_end_is_not_waited_for_without_end(hospital: Any) -> None:
    """Although an instance arrived just now, the longest wait ends; the next instance begins a new one."""
    hospital.install()
    hospital.receive(hospital.arrival(), hospital.arrival())
    assert _settle(hospital) == 0

    _waited(hospital, 3601)
    hospital.receive(hospital.arrival())
    assert _settle(hospital) == 1
    hospital.receive(hospital.arrival())
    assert _settle(hospital) == 0
    _quiet(hospital, 61)
    assert _settle(hospital) == 1

    assert hospital.rows(_DECISIVE) == [(1, "longest-wait"), (2, "quiet")]
    assert hospital.rows("SELECT revision, count(*) FROM instance GROUP BY 1 ORDER BY 1") == [(1, 3), (2, 1)]
    assert "Decided by longest-wait: It had waited for 3600 s, which is the longest wait." in _story(hospital)


def test_a_request_that_names_all_of_a_study_ends_the_wait(hospital: Any) -> None:
    """After evident_seconds; row, audit trail and explain tell it."""
    hospital.install()
    arrivals = [hospital.arrival() for _ in range(3)]
    hospital.receive(*arrivals)
    _asked_about(hospital, *arrivals[:2], claim_id="one")
    _quiet(hospital, 6)
    assert _settle(hospital) == 0  # the third is named by none

    _asked_about(hospital, arrivals[2], claim_id="two")
    _quiet(hospital, 1)
    assert _settle(hospital) == 0  # it said so only now, and more may follow
    _quiet(hospital, 6)
    assert _settle(hospital) == 1

    assert hospital.rows(_DECISIVE) == [(1, "commitment")]
    told = "CT1 asked for storage commitment of 3 instances; all had arrived, and no other."
    assert f"Decided by commitment: {told}" in _story(hospital)
    assert hospital.rows("SELECT details->>'because' FROM audit_event WHERE action = 'study-stable'") == [
        ("commitment",)
    ]


def test_a_request_that_names_more_than_has_come_extends_the_wait(hospital: Any) -> None:
    """Until it comes; an instance that never comes is waited for once, and not again by the next revision."""
    hospital.install()
    arrivals = [hospital.arrival() for _ in range(3)]
    hospital.receive(*arrivals[:2])
    _asked_about(hospital, *arrivals, more=("1.2.3.1.999",))
    _quiet(hospital, 3599)
    assert _settle(hospital) == 0

    _quiet(hospital, 3601)
    assert _settle(hospital) == 1
    hospital.receive(arrivals[2])
    _quiet(hospital, 6)
    assert _settle(hospital) == 1

    assert hospital.rows(_DECISIVE) == [(1, "longest-wait"), (2, "commitment")]
    lacked = "CT1 asked for storage commitment of 4 instances, 2 of which had not arrived."
    assert f"Looked at beside it, commitment: {lacked}" in _story(hospital)


def test_what_was_set_aside_is_not_waited_for(hospital: Any) -> None:
    """It came and can never become an instance: it neither extends the wait nor is the study whole without it."""
    arrival = hospital.arrival(association=hospital.association(calling_ae_title="CT1"))
    hospital.receive(arrival)
    aside = hospital.quarantined(sop_instance_uid="1.2.3.99")
    hospital.arrivals.record([], [aside], [])
    _asked_about(hospital, arrival, more=("1.2.3.99",))
    _quiet(hospital, 10)
    assert _settle(hospital) == 0
    _quiet(hospital, 61)

    assert _settle(hospital) == 1

    assert hospital.rows(_DECISIVE) == [(1, "quiet")]
    told = "CT1 asked for storage commitment of 2 instances (1 of them set aside when they came, and not waited for)"
    assert f"Looked at beside it, commitment: {told}; all others had arrived." in _story(hospital)


def test_only_peers_that_are_believed_are_listened_to(hospital: Any) -> None:
    """Anybody may ask for storage commitment; who has no such entry neither ends nor extends a wait."""
    arrivals = [hospital.arrival(), hospital.arrival()]
    hospital.receive(*arrivals)
    _asked_about(hospital, *arrivals, title="ELSE", claim_id="one")
    _quiet(hospital, 6)
    assert _settle(hospital) == 0

    _asked_about(hospital, *arrivals, title="ELSE", claim_id="two", more=("1.2.3.1.999",))
    _quiet(hospital, 61)
    assert _settle(hospital) == 1
    assert hospital.rows(_DECISIVE) == [(1, "quiet")]


def test_a_request_about_two_studies_is_evidence_of_each(hospital: Any) -> None:
    """Two studies of one patient, interleaved by two peers: each settles with its own instances and nothing else."""
    one, other = ([hospital.arrival(study) for _ in range(4)] for study in ("1.2.3", "1.2.4"))
    peers = [hospital.association(), hospital.association(calling_ae_title="CT2")]
    for number, pair in enumerate(zip(one, other, strict=True)):
        hospital.receive(*(replace(arrival, association=peers[number % 2]) for arrival in pair))
    _asked_about(hospital, *one, *other[:3])
    for study in ("1.2.3", "1.2.4"):
        _quiet(hospital, 6, study)

    assert _settle(hospital) == 1
    assert hospital.rows(
        "SELECT study_instance_uid, count(*) FROM instance JOIN study ON study.id = study_id "
        "WHERE instance.revision = 1 GROUP BY 1"
    ) == [("1.2.3", 4)]
    _asked_about(hospital, other[3], claim_id="two")
    assert _settle(hospital) == 1


def test_a_hole_in_a_series_extends_the_wait(hospital: Any) -> None:
    """Until the slice comes, or the longest wait is over; a sender's word that it is all weighs more."""
    hospital.install()
    slices = [_slice(hospital, float(z)) for z in range(12)]
    hospital.receive(*slices[:5], *slices[6:])
    _quiet(hospital, 61)
    assert _settle(hospital) == 0
    hospital.receive(slices[5])
    _quiet(hospital, 61)
    assert _settle(hospital) == 1

    holed = [_slice(hospital, float(z), "1.2.4") for z in range(12) if z != 5]
    hospital.receive(*holed)
    _quiet(hospital, 61, "1.2.4")
    assert _settle(hospital) == 0
    _asked_about(hospital, *holed)
    assert _settle(hospital) == 1

    story = sentences(hospital.overview.explain("1.2.4"))
    lacked = "By the positions of its images, series 1.2.4.1 lacked 1 image."
    assert f"Looked at beside it, geometry: {lacked}" in list(story)


def test_a_study_with_too_few_images_for_an_algorithm_is_waited_for(hospital: Any) -> None:
    """Until it has enough, or the longest wait is over; one of another modality, or in shadow, wants nothing."""
    for name, modality, stage, least in (
        ("lungs", "CT", AlgorithmStage.ACTIVE, 3),
        ("brain", "MR", AlgorithmStage.ACTIVE, 30),
        ("heart", "CT", AlgorithmStage.SHADOW, 30),
        ("unknown", "CT", AlgorithmStage.ACTIVE, 0),
    ):
        needs = InputNeeds((modality,), least)
        hospital.algorithms.add(replace(hospital.registered(name, "1", AlgorithmStage.ACTIVE), needs=needs), "tester")
        if stage is AlgorithmStage.SHADOW:
            hospital.algorithms.shadow(name, "1", "tester")
    needy = Patience(replace(_USUAL, evidence=frozenset({EvidenceKind.CONTRACT})))
    hospital.receive(*(hospital.arrival() for _ in range(2)))
    _quiet(hospital, 61)
    assert settle_studies(hospital.database, needy) == 0
    told = "Lungs needs 3 images of a series, the largest CT series had 2."
    assert f"It is waited for more because of contract: {told}" in sentences(
        Overview(hospital.database, needy).explain("1.2.3")
    )

    hospital.receive(hospital.arrival())
    _quiet(hospital, 61)
    assert settle_studies(hospital.database, needy) == 1
    hospital.receive(hospital.arrival("1.2.4"))
    _quiet(hospital, 3601, "1.2.4")
    assert settle_studies(hospital.database, needy) == 1
    assert hospital.rows(_DECISIVE) == [(1, "quiet"), (1, "longest-wait")]


def test_a_study_that_waits_with_a_hole_is_not_read_at_each_look(hospital: Any) -> None:
    """A large study waits for hours and is looked at each second; its positions are read when something came."""
    slices = [_slice(hospital, float(z)) for z in range(12)]
    hospital.receive(*slices[:5], *slices[7:])
    _quiet(hospital, 61)
    seen = GeometrySeen()
    read: list[str] = []
    engine = hospital.database._engine
    event.listen(engine, "before_cursor_execute", lambda *told: read.append(told[2]))

    for _ in range(3):
        assert settle_studies(hospital.database, _PATIENCE, None, seen) == 0
    assert sum(one.startswith("SELECT series") for one in read) == 1
    hospital.receive(slices[5])
    _quiet(hospital, 61)
    assert settle_studies(hospital.database, _PATIENCE, None, seen) == 0
    hospital.receive(slices[6])
    _quiet(hospital, 61)
    assert settle_studies(hospital.database, _PATIENCE, None, seen) == 1
    assert sum(one.startswith("SELECT series") for one in read) == 3


def _slice(hospital: Any, z: float, study: str = "1.2.3") -> Any:
    image = ImageRecord(
        rows=4,
        columns=4,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        number_of_frames=1,
        bits_allocated=16,
        bits_stored=16,
        high_bit=15,
        pixel_representation=0,
        image_position_patient=(0.0, 0.0, z),
        image_orientation_patient=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        pixel_spacing=(1.0, 1.0),
        rescale_intercept=None,
        rescale_slope=None,
        head_length=100,
        head_sha256="a" * 64,
        pixel_offset=None,
        pixel_length=None,
    )
    return replace(hospital.arrival(study), image=image)


def test_who_says_that_it_is_all_is_told_as_the_reason(hospital: Any) -> None:
    """A caller of the web's analysis needs no quiet time."""
    hospital.install()
    arrival = hospital.arrival()
    hospital.receive(arrival)
    PostgresStudySettlement(hospital.database).settle_now("1.2.3", [arrival.header.sop_instance_uid], "researcher")

    assert "Decided by said: researcher sent 1 instance and said that this was all." in _story(hospital)


def test_a_claim_is_noted_once_and_forgotten_after_a_month(open_hospital: Callable[..., Any]) -> None:
    """A process that died after it wrote writes the same again; old words are removed."""
    hospital = open_hospital()
    arrival = hospital.arrival()
    hospital.receive(arrival)
    _asked_about(hospital, arrival)
    _asked_about(hospital, arrival, more=("1.2.9",))

    assert hospital.rows("SELECT sop_instance_uids FROM completeness_claim") == [([arrival.header.sop_instance_uid],)]
    assert forget_old_claims(hospital.database) == 0
    hospital.rows("UPDATE completeness_claim SET received_at = now() - interval '31 days'")
    assert forget_old_claims(hospital.database) == 1


def test_what_is_not_believed_of_a_peer_is_not_noted(hospital: Any) -> None:
    """Nobody fills the table by asking; of what is believed only the newest is kept."""
    arrival = hospital.arrival()
    hospital.receive(arrival)
    _asked_about(hospital, arrival, title="STRANGER")
    _available(hospital, arrival, notice_id="two", title="CT1")
    assert hospital.rows("SELECT count(*)::int FROM completeness_claim") == [(0,)]

    for number in range(3):
        _available(hospital, arrival, notice_id=f"n{number}")
    assert forget_old_claims(hospital.database, most=2) == 1
    assert hospital.rows("SELECT claim_id FROM completeness_claim ORDER BY claim_id") == [("n1",), ("n2",)]


def test_who_names_more_studies_than_twenty_says_nothing_of_one(hospital: Any) -> None:
    """What is not here yet may be of any study that is named, so many studies would be many times as many names."""
    arrivals = [hospital.arrival(f"1.2.{number}") for number in range(21)]
    hospital.receive(*arrivals)

    _asked_about(hospital, *arrivals, claim_id="one", more=("1.3.1",))
    assert hospital.rows("SELECT count(*)::int FROM completeness_claim") == [(0,)]

    _asked_about(hospital, *arrivals[:20], claim_id="two", more=("1.3.1",))
    assert hospital.rows("SELECT count(*)::int FROM completeness_claim") == [(20,)]


def _available(
    hospital: Any, *arrivals: Any, notice_id: str, title: str = "ROUTER", more: tuple[str, ...] = ()
) -> None:
    uids = (*(arrival.header.sop_instance_uid for arrival in arrivals), *more)
    claims = PostgresCompletenessClaims(hospital.database, _PATIENCE)
    for _ in range(2):  # as after a kill between the database and the file
        claims.note_available(notice_id, AvailabilityNotice("1.2.3", uids, title))


def test_notifications_that_list_all_of_a_study_end_the_wait(hospital: Any) -> None:
    """Two of them together; one of a peer that is not believed for this, or noted twice, changes nothing."""
    hospital.install()
    router = hospital.association(calling_ae_title="ROUTER")
    arrivals = [hospital.arrival("1.2.3", router) for _ in range(3)]
    _available(hospital, *arrivals[:2], notice_id="one")  # before anything has come
    hospital.receive(*arrivals)
    _available(hospital, *arrivals, notice_id="other", title="CT1")
    _quiet(hospital, 6)
    assert _settle(hospital) == 0

    _available(hospital, arrivals[2], notice_id="two")
    assert _settle(hospital) == 1

    assert hospital.rows(_DECISIVE) == [(1, "availability")]
    told = "ROUTER notified the availability of 3 instances; all had arrived, and no other."
    assert f"Decided by availability: {told}" in _story(hospital)


def test_a_notification_that_lists_more_extends_the_wait_but_not_for_our_own_results(hospital: Any) -> None:
    """What has not come is waited for; a result of ours that the archive lists as well never comes."""
    hospital.install()
    router = hospital.association(calling_ae_title="ROUTER")
    arrivals = [hospital.arrival("1.2.3", router) for _ in range(2)]
    hospital.receive(*arrivals)
    _quiet(hospital, 61)
    assert _settle(hospital) == 1
    hospital.queue.complete_analysed(hospital.claimed(), hospital.result(arrivals), [])
    ours = tuple(uid for (uid,) in hospital.rows("SELECT sop_instance_uid FROM evidence"))
    late = hospital.arrival("1.2.3", router)
    hospital.receive(hospital.arrival("1.2.3", router))
    uids = tuple(uid for (uid,) in hospital.rows("SELECT sop_instance_uid FROM instance"))
    _available(hospital, late, notice_id="one", more=(*uids, *ours))
    _quiet(hospital, 61)
    assert _settle(hospital) == 0

    hospital.receive(late)
    _quiet(hospital, 6)
    assert _settle(hospital) == 1
    assert hospital.rows(_DECISIVE)[1] == (2, "availability")
    assert any(f"{len(ours)} of them results of ours" in sentence for sentence in _story(hospital))
