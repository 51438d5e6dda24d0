"""Arrivals: written once, whatever the order, with the study's quiet time and its patient watched."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from storage.domain.ai_object import AiDeclaration
from storage.domain.association import AssociationEnd
from storage.domain.explanation import sentences
from storage.domain.image_record import ImageRecord
from storage.domain.study import StudySize
from storage.errors import DamagedObject, DatabaseUnavailable, InvalidTransition, UnknownRecord
from storage.postgres.arrival_log import PostgresArrivalLog
from storage.postgres.engine import open_database
from storage.postgres.stored_text import stored_text

_ALL_ROWS = (
    "SELECT (SELECT jsonb_agg(t) FROM study AS t), (SELECT jsonb_agg(t) FROM series AS t), "
    "(SELECT jsonb_agg(t) FROM instance AS t), (SELECT jsonb_agg(t) FROM association AS t), "
    "(SELECT jsonb_agg(t) FROM quarantined_object AS t), (SELECT jsonb_agg(t) FROM audit_event AS t)"
)


def _ended(association: Any, end: AssociationEnd = AssociationEnd.RELEASED) -> Any:
    return type(association)(
        association.association_id,
        association.calling_ae_title,
        association.called_ae_title,
        association.remote_address,
        association.started_at,
        association.started_at + timedelta(seconds=3),
        end,
        2,
        0,
    )


def test_instances_make_study_series_and_association(hospital: Any) -> None:
    """One call leaves every row and one audit row per association and study."""
    association = hospital.association()
    hospital.receive(
        hospital.arrival(association=association, accession_number="A1", study_date=date(2026, 1, 2)),
        hospital.arrival(association=association, series_instance_uid="1.2.3.2", modality="MR"),
        hospital.arrival("1.2.4", association),
    )

    assert hospital.rows("SELECT study_instance_uid, patient_id, study_date::text, revision FROM study ORDER BY 1") == [
        ("1.2.3", "P1", "2026-01-02", 0),
        ("1.2.4", "P1", None, 0),
    ]
    assert hospital.rows("SELECT modality FROM series ORDER BY id") == [("CT",), ("MR",), ("CT",)]
    assert hospital.rows("SELECT ending, ended_at FROM association") == [("open", None)]
    assert hospital.rows(
        "SELECT study_instance_uid, details ->> 'instances' FROM audit_event "
        "WHERE action = 'instance-stored' ORDER BY 1"
    ) == [("1.2.3", "2"), ("1.2.4", "1")]


def test_recording_the_same_thing_twice_changes_nothing(hospital: Any) -> None:
    """Arrivals, quarantined objects and association ends may come any number of times."""
    association = hospital.association()
    call = ([hospital.arrival(association=association)], [hospital.quarantined()], [_ended(association)])
    hospital.arrivals.record(*call)
    before = hospital.rows(_ALL_ROWS)

    hospital.arrivals.record(*call)
    hospital.arrivals.record(call[0] + call[0], [], [])

    assert hospital.rows(_ALL_ROWS) == before


def test_the_size_of_a_study_is_told_as_it_grows(hospital: Any) -> None:
    """Instances and bytes of every study in a call, excluded instances too, and none that was known already."""
    presentation_state = hospital.arrival(sop_class_uid="1.2.840.10008.5.1.4.1.1.11.1")
    once = [hospital.arrival(), presentation_state, hospital.arrival("1.2.4")]

    assert hospital.arrivals.record(once, [], []) == {"1.2.3": StudySize(2, 1024), "1.2.4": StudySize(1, 512)}
    assert hospital.arrivals.record([once[0], hospital.arrival()], [], []) == {"1.2.3": StudySize(3, 1536)}
    assert hospital.arrivals.sizes(["1.2.3", "1.2.5"]) == {"1.2.3": StudySize(3, 1536)}


@pytest.mark.parametrize("end_first", [True, False])
def test_an_association_takes_its_end_in_either_order(hospital: Any, end_first: bool) -> None:
    """The note of the end may come before or after the manifest of an instance; one audit row tells the end."""
    association = hospital.association()
    calls = [([hospital.arrival(association=association)], [], []), ([], [], [_ended(association)])]
    for call in reversed(calls) if end_first else calls:
        hospital.arrivals.record(*call)

    assert hospital.rows("SELECT ending, stored_count FROM association") == [("released", 2)]
    assert hospital.audited("association-ended") == 1


def test_a_rejected_association_is_audited_as_such(hospital: Any) -> None:
    """Whoever was turned away leaves a row that says so."""
    hospital.arrivals.record([], [], [_ended(hospital.association(), AssociationEnd.REJECTED)])

    assert hospital.rows("SELECT action, outcome FROM audit_event") == [("association-rejected", "minor-failure")]


def test_quarantined_objects_are_audited(hospital: Any) -> None:
    """Each object that was set aside has a row, an audit row, and a sentence in the overview."""
    hospital.arrivals.record([], [hospital.quarantined()], [])

    assert hospital.audited("instance-quarantined") == 1
    [thing] = hospital.overview.status()["quarantined"]
    assert "0x0111" in thing["error"]


def test_a_second_patient_parks_the_study(hospital: Any) -> None:
    """A study whose instances name two patients gets no job, a reason, and one audit row."""
    hospital.install()
    hospital.receive(hospital.arrival())
    hospital.receive(hospital.arrival(patient_id="P2"))
    hospital.receive(hospital.arrival(patient_id="P3"))

    assert hospital.settle() == 0
    assert hospital.rows("SELECT parked_code FROM study") == [("patient-mix",)]
    assert hospital.audited("study-parked") == 1
    study = hospital.overview.status()["studies"][0]
    assert study["state"] == "parked"
    assert "different patients" in study["error"]
    assert hospital.overview.no_silent_state() == []


def test_two_patients_in_one_batch_park_the_study(hospital: Any) -> None:
    """The mix is noticed within a single call, and by the issuer alone too."""
    hospital.receive(hospital.arrival(), hospital.arrival(issuer_of_patient_id="ELSEWHERE"))

    assert hospital.rows("SELECT patient_id, parked_code FROM study") == [("P1", "patient-mix")]


def test_our_own_result_sent_back_is_set_aside_by_rule(hospital: Any) -> None:
    """An instance that is evidence of ours counts neither for the study nor for its quiet time, nor as a mix."""
    hospital.install()
    hospital.analysed()
    hospital.rows("UPDATE study SET last_received_at = last_received_at - interval '1 hour'")
    before = hospital.rows("SELECT last_received_at FROM study")

    hospital.receive(hospital.arrival(sop_instance_uid="1.2.3.7.1", series_instance_uid="1.2.3.7", patient_id="P1^X"))

    assert hospital.rows("SELECT excluded_rule FROM instance WHERE sop_instance_uid = '1.2.3.7.1'") == [("own-result",)]
    assert hospital.rows("SELECT last_received_at FROM study") == before
    assert hospital.rows("SELECT parked_code FROM study") == [(None,)]
    assert hospital.settle() == 0
    assert hospital.overview.no_silent_state() == []


def _report(hospital: Any, **header: Any) -> Any:
    facts = {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.11.1", "series_instance_uid": "1.2.3.8", "modality": "PR"}
    return hospital.arrival(**{**facts, **header})


def test_a_derived_object_opens_no_revision(hospital: Any) -> None:
    """A radiologist's presentation state is kept, but neither unsettles the study nor has it analysed again."""
    hospital.install()
    hospital.analysed()
    hospital.rows("UPDATE study SET last_received_at = last_received_at - interval '1 hour'")
    before = hospital.rows("SELECT last_received_at, revision FROM study")

    hospital.receive(_report(hospital))

    assert hospital.rows("SELECT excluded_rule FROM instance WHERE excluded_rule IS NOT NULL") == [("derived-object",)]
    assert hospital.settle() == 0
    assert hospital.rows("SELECT last_received_at, revision FROM study") == before
    assert hospital.overview.no_silent_state() == []
    [excluded] = hospital.overview.explain("1.2.3")["excluded"]
    assert "presentation state" in excluded["reason"]


@pytest.mark.parametrize("patient_id", ["OVERREAD-SELFTEST^HOSPITAL", "hosp1-overread-selftest"])
def test_a_self_test_that_comes_back_is_never_analysed(hospital: Any, patient_id: str) -> None:
    """Images and results of a self-test, of whichever Overread, make no revision and no job, and are accounted for."""
    hospital.install()

    hospital.receive(
        hospital.arrival(patient_id=patient_id),
        _report(hospital, patient_id=patient_id, sop_instance_uid="1.2.3.8.1"),
    )

    assert hospital.rows("SELECT DISTINCT excluded_rule FROM instance") == [("self-test",)]
    assert hospital.settle() == 0
    assert hospital.rows("SELECT count(*) FROM job") == [(0,)]
    assert hospital.rows("SELECT revision, parked_code FROM study") == [(0, None)]
    assert hospital.overview.status()["studies"][0]["state"] == "not-analysed"
    assert hospital.overview.no_silent_state() == []
    assert "self-test" in hospital.overview.explain("1.2.3")["excluded"][0]["reason"]


def test_an_image_that_an_algorithm_made_opens_no_revision(hospital: Any) -> None:
    """Another AI node's picture is kept, told and counted by its rule, and the study stays as it is."""
    hospital.install()
    hospital.analysed()
    picture = hospital.arrival(sop_class_uid="1.2.840.10008.5.1.4.1.1.7", series_instance_uid="1.2.3.8")
    of_class = _report(hospital)

    hospital.receive(
        replace(picture, declares=AiDeclaration.PROCESSED_CAPTURE), replace(of_class, declares=AiDeclaration.ALGORITHM)
    )

    assert set(hospital.rows("SELECT sop_class_uid, excluded_rule FROM instance WHERE excluded_rule IS NOT NULL")) == {
        (picture.header.sop_class_uid, "ai-result"),
        (of_class.header.sop_class_uid, "derived-object"),
    }
    assert hospital.settle() == 0
    assert hospital.overview.no_silent_state() == []
    assert "1 instance did not count (ai-result)" in "".join(sentences(hospital.overview.explain("1.2.3")))
    told = hospital.rows("SELECT details FROM audit_event WHERE action = 'instance-stored' ORDER BY id DESC LIMIT 2")
    assert {details["association_id"]: details for (details,) in told} == {
        association: {"association_id": association, "instances": 1, "excluded": 1, rule: 1}
        for association, rule in [
            (picture.association.association_id, "ai-result"),
            (of_class.association.association_id, "derived-object"),
        ]
    }


def test_our_own_result_is_named_before_its_class(hospital: Any) -> None:
    """A segmentation of ours that comes back is own-result, not derived-object."""
    hospital.install()
    hospital.analysed()

    hospital.receive(_report(hospital, sop_instance_uid="1.2.3.7.1", sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4"))

    assert hospital.rows("SELECT excluded_rule FROM instance WHERE excluded_rule IS NOT NULL") == [("own-result",)]


def test_a_derived_object_of_another_patient_parks_the_study(hospital: Any) -> None:
    """It is not analysed, yet it shows that the study's patient is in doubt."""
    hospital.receive(hospital.arrival())
    hospital.receive(_report(hospital, patient_id="P2"))

    assert hospital.rows("SELECT parked_code FROM study") == [("patient-mix",)]


def test_a_study_of_derived_objects_alone_is_not_analysed_with_a_reason(hospital: Any) -> None:
    """It does not read receiving for ever; when its images come, it is received and analysed like any other."""
    hospital.install()
    hospital.receive(_report(hospital))
    assert hospital.settle() == 0

    [study] = hospital.overview.status()["studies"]
    assert (study["state"], study["reason_code"]) == ("not-analysed", "nothing-to-analyse")
    assert "nothing to analyse" in study["error"] == study["reason"]
    assert hospital.overview.no_silent_state() == []
    with pytest.raises(InvalidTransition, match="nothing to analyse"):
        hospital.queue.submit("1.2.3", "tester")

    hospital.receive(hospital.arrival())
    [study] = hospital.overview.status()["studies"]
    assert (study["state"], study["reason_code"], study["error"]) == ("receiving", None, None)
    assert hospital.settle() == 1
    [study] = hospital.overview.status()["studies"]
    assert (study["state"], study["reason_code"]) == ("queued", None)


def test_a_new_instance_moves_the_quiet_time_by_the_databases_clock(hospital: Any) -> None:
    """The sender's clock is a year off; the study was last received now."""
    hospital.receive(hospital.arrival())
    hospital.rows("UPDATE study SET last_received_at = now() - interval '1 hour'")

    hospital.receive(hospital.arrival())

    assert hospital.rows("SELECT now() - last_received_at < interval '1 minute' FROM study") == [(True,)]


def test_text_that_postgresql_cannot_hold_does_not_stop_the_import(hospital: Any) -> None:
    """NUL, lone surrogates and absurd numbers are replaced, and the instance has its row."""
    hospital.receive(hospital.arrival(patient_id="P\x001", series_description="\udcff", instance_number=10**30))
    hospital.receive(hospital.arrival(patient_id="P\x001"))

    assert hospital.rows("SELECT patient_id, parked_code FROM study") == [("P\N{REPLACEMENT CHARACTER}1", None)]
    assert hospital.rows("SELECT instance_number IS NULL FROM instance ORDER BY id LIMIT 1") == [(True,)]


def test_a_missing_server_is_database_unavailable(hospital: Any) -> None:
    """The importer can tell that nothing was written and that the spool keeps everything."""
    gone = open_database("postgresql://nobody@127.0.0.1:1/nothing", "test")

    with pytest.raises(DatabaseUnavailable):
        PostgresArrivalLog(gone).record([hospital.arrival()], [], [])


def test_a_connection_that_was_cut_is_replaced(hospital: Any) -> None:
    """After the server dropped every connection the next call works without a restart."""
    hospital.receive(hospital.arrival())
    hospital.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    hospital.receive(hospital.arrival())

    assert hospital.rows("SELECT count(*) FROM instance") == [(2,)]


def test_a_connection_cut_within_a_transaction_is_database_unavailable(hospital: Any) -> None:
    """A statement on a dead connection is named as what it is, and nothing was written."""
    hospital.arrivals.record([], [], [hospital.association()])

    def interrupted() -> None:
        with hospital.database.transaction() as session:
            session.connection().exec_driver_sql("DELETE FROM association")
            hospital.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            session.connection().exec_driver_sql("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        interrupted()

    assert hospital.rows("SELECT count(*) FROM association") == [(1,)]


def test_a_stable_study_holds_exactly_its_revision(hospital: Any) -> None:
    """Revision one keeps its instances when a late one makes revision two."""
    hospital.install()
    first = hospital.stable_study()
    late = hospital.arrival()
    hospital.receive(late)
    hospital.settle()
    for arrival in [*first, late]:
        path = hospital.objects.instance(arrival.header.sop_instance_uid)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    one, two = (hospital.studies.stable_study("1.2.3", revision) for revision in (1, 2))

    assert [stored.header for stored in one.instances] == [arrival.header for arrival in first]
    assert [stored.sha256 for stored in two.instances] == [arrival.sha256 for arrival in [*first, late]]
    assert (one.patient_id, one.stable_at < two.stable_at) == ("P1", True)
    with pytest.raises(UnknownRecord):
        hospital.studies.stable_study("1.2.3", 3)
    path.unlink()
    with pytest.raises(DamagedObject, match=late.header.sop_instance_uid):
        hospital.studies.stable_study("1.2.3", 2)


def test_what_an_instance_says_of_its_image_comes_back(hospital: Any) -> None:
    """The record of the import is what a worker gets, once for each instance; where there is none it gets none."""
    image = ImageRecord(
        *(512, 512, 1, "MONOCHROME2", 1, 16, 12, 11, 1),
        *((0.5, -1.25, 1e-7), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), None, -1024.0, None),
        *(900, "a" * 64, 912, 524288),
    )
    bare = replace(
        image, image_position_patient=None, pixel_offset=None, pixel_length=None, photometric_interpretation="\0"
    )
    arrivals = [replace(hospital.arrival(), image=one) for one in (image, bare, None)]
    hospital.receive(*arrivals)
    hospital.receive(*(replace(arrival, image=replace(image, rows=1)) for arrival in arrivals))
    hospital.settle()

    study = hospital.studies.received("1.2.3", 1)

    assert [instance.image and instance.image.photometric_interpretation for instance in study.instances][1] != "\0"
    assert study.instances[0].image == image
    assert study.instances[1].image == replace(bare, photometric_interpretation=stored_text("\0"))
    assert study.instances[2].image is None
