"""Instance Availability Notification: a peer says which instances it has, and is heard after an outage too."""

from contextlib import contextmanager

import psycopg2
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pynetdicom import AE, evt

from listener.scp.availability import read_notice
from listener.scu.checkpoint import hold_answers
from storage.domain.completeness import AvailabilityNotice
from storage.errors import SpoolFull, UnreadableDataSet
from storage.objects.availability_folder import AvailabilityFolder
from storage.objects.layout import DataFolder
from tests.peers.raw_sender import CT, EXPLICIT

AVAILABILITY = "1.2.840.10008.5.1.4.33"
IMPLICIT = "1.2.840.10008.1.2"
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


def notice(*series: dict[str, str], study: str = "1.2.3", undefined: bool = False) -> Dataset:
    """An Attribute List; each series has its instances with what is said of each."""
    data_set = Dataset()
    data_set.ReferencedPerformedProcedureStepSequence = []
    data_set.StudyInstanceUID = study
    data_set.ReferencedSeriesSequence = []
    for number, instances in enumerate(series):
        one = Dataset()
        one.SeriesInstanceUID = f"{study}.{number}"
        one.ReferencedSOPSequence = [_reference(uid, said) for uid, said in instances.items()]
        one["ReferencedSOPSequence"].is_undefined_length = undefined
        one.is_undefined_length_sequence_item = undefined
        data_set.ReferencedSeriesSequence.append(one)
    data_set["ReferencedSeriesSequence"].is_undefined_length = undefined
    return data_set


def _reference(uid: str, said: str) -> Dataset:
    item = Dataset()
    item.InstanceAvailability, item.RetrieveAETitle = said, "ARCHIVE"
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
    return item


def encoded(data_set: Dataset, syntax: str = EXPLICIT) -> bytes:
    """Its bytes."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, syntax == IMPLICIT
    write_dataset(buffer, data_set)
    return buffer.getvalue()


@contextmanager
def notifying(port: int, syntax: str = EXPLICIT):
    """An association that may notify, and the UIDs in the answers to it."""
    answered: list[str] = []

    def note(event: evt.Event) -> None:
        answered.append(str(event.message.command_set.get("AffectedSOPInstanceUID", "")))

    entity = AE("ROUTER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    entity.add_requested_context(AVAILABILITY, syntax)
    association = entity.associate("127.0.0.1", port, ae_title="OVERREAD", evt_handlers=[(evt.EVT_DIMSE_RECV, note)])
    assert association.is_established
    hold_answers(association)
    try:
        yield association, answered
    finally:
        association.release()


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_a_notification_is_kept_until_the_database_has_it(listener_process, database_url, tmp_path, syntax):
    """With the database away it is answered with success and waits as a file; the next start writes it down."""
    listener = listener_process(NOWHERE)
    with notifying(listener.port, syntax) as (association, answered):
        status, _ = association.send_n_create(notice({"1.2.3.1": "ONLINE"}, {"1.2.3.2": "NEARLINE"}), AVAILABILITY)
        assert status.Status == 0x0000
        status, _ = association.send_n_create(notice({"1.2.3.3": "ONLINE"}), AVAILABILITY, "1.2.9")
        assert status.Status == 0x0000
        assert answered[0].startswith("2.25.")  # it was given one
        assert answered[1] == "1.2.9"
    listener.kill()
    waiting = [one for _, one in AvailabilityFolder(DataFolder(tmp_path / "data")).waiting()]
    assert waiting == [
        AvailabilityNotice("1.2.3", ("1.2.3.1", "1.2.3.2"), "ROUTER"),
        AvailabilityNotice("1.2.3", ("1.2.3.3",), "ROUTER"),
    ]

    listener = listener_process(database_url)
    told: list[tuple[object, ...]] = []
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        while len(told) < 2:
            cursor.execute(
                "SELECT kind, study_instance_uid, calling_ae_title, sop_instance_uids FROM completeness_claim "
                "ORDER BY sop_instance_uids"
            )
            told = cursor.fetchall()
            connection.rollback()
    assert told == [
        ("availability", "1.2.3", "ROUTER", ["1.2.3.1", "1.2.3.2"]),
        ("availability", "1.2.3", "ROUTER", ["1.2.3.3"]),
    ]
    assert listener.terminate()[0] == 0
    assert list(AvailabilityFolder(DataFolder(tmp_path / "data")).waiting()) == []


def test_what_cannot_be_read_is_refused_and_the_association_goes_on(listener_process):
    """No study, no series, a malformed UID: 0x0106; another operation: 0x0211."""
    listener = listener_process(NOWHERE)
    without_study = notice({"1.2.3.1": "ONLINE"})
    del without_study.StudyInstanceUID
    with notifying(listener.port) as (association, _):
        for data_set in (without_study, notice(), notice({}), notice({"1.2.x": "ONLINE"})):
            assert association.send_n_create(data_set, AVAILABILITY)[0].Status == 0x0106
        assert association.send_n_create(notice({"1.2.3.1": "ONLINE"}), AVAILABILITY)[0].Status == 0x0000
        assert association.send_n_delete(AVAILABILITY, "1.2.9").Status == 0x0211
    assert listener.terminate()[0] == 0


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_what_can_be_had_is_read_in_every_encoding(syntax, undefined):
    """Once each, of all series; what is said to be unavailable is not."""
    said = notice(
        {"1.2.3.1": "ONLINE", "1.2.3.2": "UNAVAILABLE"},
        {"1.2.3.3": "OFFLINE", "1.2.3.1": "ONLINE"},
        undefined=undefined,
    )

    assert read_notice(encoded(said, syntax), syntax) == ("1.2.3", ("1.2.3.1", "1.2.3.3"))


def test_what_no_setting_lets_in_is_not_waited_for():
    """An instance of a class of the Standard that is none of storage never comes; one of a private class may."""
    said = notice({"1.2.3.1": "ONLINE", "1.2.3.2": "ONLINE", "1.2.3.3": "ONLINE"})
    items = said.ReferencedSeriesSequence[0].ReferencedSOPSequence
    items[1].ReferencedSOPClassUID = "1.2.840.10008.1.3.10"  # Media Storage Directory
    items[2].ReferencedSOPClassUID = "1.3.12.2.1107.5.9.1"

    assert read_notice(encoded(said), EXPLICIT) == ("1.2.3", ("1.2.3.1", "1.2.3.3"))


def test_a_notification_that_is_cut_off_is_unreadable():
    """At whichever byte but the last; and one that names more than 5000 instances is."""
    whole = encoded(notice({"1.2.3.1": "ONLINE"}, {"1.2.3.2": "ONLINE"}))
    for length in range(len(whole)):
        with pytest.raises(UnreadableDataSet):
            read_notice(whole[:length], EXPLICIT)
    many = [{f"1.2.{half}.{number}": "ONLINE" for number in range(2501)} for half in (1, 2)]
    with pytest.raises(UnreadableDataSet):
        read_notice(encoded(notice(*many)), EXPLICIT)


def test_one_peer_takes_no_other_its_place(tmp_path):
    """64 notifications of one title may wait, and those of another are still kept."""
    folder = AvailabilityFolder(DataFolder(tmp_path))
    for _ in range(64):
        folder.keep(AvailabilityNotice("1.2.3", ("1.2.3.1",), "ROUTER"))

    with pytest.raises(SpoolFull):
        folder.keep(AvailabilityNotice("1.2.3", ("1.2.3.1",), "ROUTER"))
    folder.keep(AvailabilityNotice("1.2.3", ("1.2.3.1",), "ELSE"))
    assert len(list(folder.waiting())) == 65


def test_a_damaged_notification_is_dropped_and_the_others_are_read(tmp_path, caplog):
    """It would keep the place of another for ever; the log says so."""
    folder = AvailabilityFolder(DataFolder(tmp_path))
    for uid in ("1.2.3.1", "1.2.3.2"):
        folder.keep(AvailabilityNotice("1.2.3", (uid,), "ROUTER"))
    first = sorted((tmp_path / "availability").glob("*.json"))[0]
    first.write_bytes(first.read_bytes()[:10])

    assert [one.sop_instance_uids for _, one in folder.waiting()] == [("1.2.3.2",)]
    assert "damaged on the disk" in caplog.text
    assert not first.exists()
