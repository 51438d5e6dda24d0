"""Storage commitment: a peer asks, and is told on the same association or at its own address, also after a restart."""

import contextlib
import json
import threading
from contextlib import contextmanager

import psycopg2
import pytest
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pynetdicom import AE, evt

from listener.scp.commitment import read_request
from storage.errors import UnreadableDataSet
from storage.objects.layout import DataFolder
from tests.peers.free_ports import free_port
from tests.peers.raw_sender import CT, EXPLICIT, associated, ct_data_set, send
from tests.peers.upper_layer import Wire, command_set, data_pdu, ui, us

COMMITMENT = "1.2.840.10008.1.20.1"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"
IMPLICIT = "1.2.840.10008.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"


def question(*references: tuple[str, str], transaction: str = "1.2.9.1") -> Dataset:
    """The Action Information of a request."""
    data_set = Dataset()
    data_set.TransactionUID = transaction
    items = []
    for sop_class_uid, sop_instance_uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
        items.append(item)
    data_set.ReferencedSOPSequence = items
    return data_set


class Reports:
    """The reports that came, and a bell."""

    def __init__(self) -> None:
        self.came: list[tuple[int, Dataset]] = []
        self.bell = threading.Event()

    def take(self, event: evt.Event) -> tuple[int, None]:
        """Handle an N-EVENT-REPORT."""
        self.came.append((event.event_type, event.event_information))
        self.bell.set()
        return 0x0000, None

    def only(self) -> tuple[int, str, dict[str, int], set[str]]:
        """Event type, transaction, failures by UID, and what is committed to, of the one report."""
        assert self.bell.wait(40)
        [(kind, told)] = self.came
        failed = {str(i.ReferencedSOPInstanceUID): i.FailureReason for i in told.get("FailedSOPSequence", [])}
        good = {str(item.ReferencedSOPInstanceUID) for item in told.get("ReferencedSOPSequence", [])}
        return kind, str(told.TransactionUID), failed, good


@contextmanager
def asking(port: int, reports: Reports, syntax: str = EXPLICIT):
    """An association that may ask, and be told."""
    entity = AE("PEER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    entity.add_requested_context(COMMITMENT, syntax)
    association = entity.associate(
        "127.0.0.1", port, ae_title="OVERREAD", evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports.take)]
    )
    try:
        yield association
    finally:
        association.release()


@contextmanager
def at_home(reports: Reports):
    """The peer's own address: its port."""
    entity = AE("PEER")
    entity.add_supported_context(COMMITMENT, [IMPLICIT, EXPLICIT], scu_role=True, scp_role=True)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reports.take)])
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def store(port: int, *uids: str) -> None:
    """Have instances acknowledged."""
    with associated(port) as association:
        for uid in uids:
            assert send(association, ct_data_set(uid), uid) == 0x0000


def ask(association, data_set: Dataset) -> int:
    """The status of an N-ACTION."""
    return association.send_n_action(data_set, 1, COMMITMENT, WELL_KNOWN)[0].Status


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_a_peer_that_stays_is_told_on_its_association(listener_process, database_url, tmp_path, syntax):
    """What was just stored is committed to once it has its row; the request is then forgotten."""
    listener, reports = listener_process(database_url), Reports()
    store(listener.port, "1.2.3.1", "1.2.3.2")
    with asking(listener.port, reports, syntax) as association:
        assert ask(association, question((CT, "1.2.3.1"), (CT, "1.2.3.2"))) == 0x0000
        assert reports.only() == (1, "1.2.9.1", {}, {"1.2.3.1", "1.2.3.2"})
    assert listener.terminate()[0] == 0
    assert list((tmp_path / "data" / "commitments").iterdir()) == []


def test_what_a_peer_asks_about_is_noted_for_the_study(listener_process, database_url, tmp_path):
    """With all that it named, also what has not come, so that the study is waited for; before the peer is told."""
    listener, reports = listener_process(database_url), Reports()
    store(listener.port, "1.2.3.1", "1.2.3.2")
    with asking(listener.port, reports) as association:
        assert ask(association, question(*((CT, f"1.2.3.{number}") for number in (1, 2, 3)))) == 0x0000
        assert reports.only()[2] == {"1.2.3.3": 0x0112}

    with contextlib.closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT kind, calling_ae_title, sop_instance_uids FROM completeness_claim")
        assert cursor.fetchall() == [("commitment", "PEER", ["1.2.3.1", "1.2.3.2", "1.2.3.3"])]


def test_what_is_not_held_whole_is_not_committed_to(listener_process, database_url, tmp_path):
    """Never sent: 0x0112. Another class: 0x0119, also beside the right one. Its file has rotted: 0x0110.

    The rest is committed to.
    """
    listener, reports = listener_process(database_url), Reports()
    store(listener.port, "1.2.3.1", "1.2.3.2", "1.2.3.3")
    first = Reports()
    with asking(listener.port, first) as association:  # so that all have their objects
        assert ask(association, question((CT, "1.2.3.1"), (CT, "1.2.3.2"), (CT, "1.2.3.3"))) == 0x0000
        assert first.only()[0] == 1
    rotten = DataFolder(tmp_path / "data").instance("1.2.3.3")
    rotten.chmod(0o600)
    rotten.write_bytes(rotten.read_bytes()[:-1] + b"?")

    with asking(listener.port, reports) as association:
        wanted = ((CT, "1.2.3.1"), (MR, "1.2.3.1"), (MR, "1.2.3.2"), (CT, "1.2.3.3"), (CT, "1.2.3.4"))
        assert ask(association, question(*wanted)) == 0x0000
        failures = {"1.2.3.1": 0x0119, "1.2.3.2": 0x0119, "1.2.3.3": 0x0110, "1.2.3.4": 0x0112}
        assert reports.only() == (2, "1.2.9.1", failures, {"1.2.3.1"})


def test_a_peer_that_left_is_told_at_its_address(listener_process, database_url, tmp_path):
    """The report comes on an association of ours, to the host and port of the peer's entry."""
    reports = Reports()
    with at_home(reports) as home:
        peer = {"ae_title": "PEER", "networks": ["127.0.0.0/8"], "host": "127.0.0.1", "port": home}
        listener = listener_process(database_url, peers=[peer])
        store(listener.port, "1.2.3.1")
        with asking(listener.port, Reports()) as association:
            assert ask(association, question((CT, "1.2.3.1"))) == 0x0000
        assert reports.only() == (1, "1.2.9.1", {}, {"1.2.3.1"})
        assert listener.terminate()[0] == 0


def test_a_request_survives_a_kill_and_waits_for_the_database(listener_process, database_url, tmp_path):
    """Asked while the database is away, then killed: the next start decides, from rows and files, and reports."""
    reports = Reports()
    with at_home(reports) as home:
        peers = [{"ae_title": "PEER", "networks": ["127.0.0.0/8"], "host": "127.0.0.1", "port": home}]
        without = listener_process(peers=peers)
        store(without.port, "1.2.3.1")
        with asking(without.port, Reports()) as association:
            assert ask(association, question((CT, "1.2.3.1"))) == 0x0000
        without.kill()
        assert reports.came == []

        listener_process(database_url, peers=peers)
        assert reports.only() == (1, "1.2.9.1", {}, {"1.2.3.1"})


def test_orthanc_asks_and_is_told(listener_process, database_url, start_orthanc):
    """Orthanc as the peer: it leaves after asking, and is told at its address of one success and one failure."""
    port = free_port()
    orthanc = start_orthanc(modalities={"overread": ("OVERREAD", "127.0.0.1", port)})
    peers = [
        {"ae_title": "ORTHANC", "networks": ["127.0.0.0/8"], "host": "127.0.0.1", "port": orthanc.dicom_port},
        {"ae_title": "PEER", "networks": ["127.0.0.0/8"]},
    ]
    store(listener_process(database_url, port=port, peers=peers).port, "1.2.3.1")
    wanted = {"DicomInstances": [{"SOPClassUID": CT, "SOPInstanceUID": uid} for uid in ("1.2.3.1", "1.2.3.9")]}
    asked = orthanc.json("POST", "/modalities/overread/storage-commitment", json.dumps(wanted).encode())

    def status() -> str:
        return orthanc.json("GET", f"/storage-commitment/{asked['ID']}")["Status"]

    orthanc.wait_until(lambda: status() != "Pending", "no report came")
    told = orthanc.json("GET", f"/storage-commitment/{asked['ID']}")
    assert told["Status"] == "Failure"
    assert [each["SOPInstanceUID"] for each in told["Success"]] == ["1.2.3.1"]
    assert [(each["SOPInstanceUID"], each["FailureReason"]) for each in told["Failures"]] == [("1.2.3.9", 0x0112)]


def encoded(data_set: Dataset, *, implicit: bool, undefined: bool = False) -> bytes:
    """The data set as bytes."""
    if undefined:
        data_set["ReferencedSOPSequence"].is_undefined_length = True
        for item in data_set.ReferencedSOPSequence:
            item.is_undefined_length_sequence_item = True
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, implicit
    write_dataset(stream, data_set)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("instance", "action", "data", "status"),
    [
        ("1.2.3", 1, encoded(question((CT, "1.2.3")), implicit=False), 0x0112),
        (WELL_KNOWN, 2, encoded(question((CT, "1.2.3")), implicit=False), 0x0123),
        (WELL_KNOWN, 1, encoded(question(), implicit=False), 0x0115),
        (WELL_KNOWN, 1, encoded(question((CT, "../x")), implicit=False), 0x0115),
        (WELL_KNOWN, 1, encoded(question((CT, "1.2.3"), transaction="1..2"), implicit=False), 0x0115),
        (WELL_KNOWN, 1, encoded(question(*[(CT, f"1.{n}") for n in range(5001)]), implicit=False), 0x0115),
        (WELL_KNOWN, 1, b"garbage", 0x0115),
    ],
)
def test_a_request_that_cannot_be_taken_says_why(listener_process, instance, action, data, status):
    """Each reason has its status, and the association goes on."""
    listener = listener_process()
    with Wire(listener.port) as wire:
        wire.associate(contexts=((COMMITMENT, EXPLICIT),))
        command = command_set(
            ui(0x0003, COMMITMENT),
            us(0x0100, 0x0130),
            us(0x0110, 1),
            us(0x0800, 1),
            ui(0x1001, instance),
            us(0x1008, action),
        )
        for _ in range(2):
            wire.send(data_pdu(command, command=True))
            for start in range(0, len(data), 100_000):
                wire.send(data_pdu(data[start : start + 100_000], last=False))
            wire.send(data_pdu(b""))
            assert wire.status() == status


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("undefined", [True, False])
def test_a_question_is_read_in_each_encoding(implicit, undefined):
    """Implicit and explicit, lengths defined and undefined, with other elements around and nested sequences within."""
    data_set = question((CT, "1.2.3"), (MR, "1.2.4"))
    data_set.StorageMediaFileSetID = "X"
    data_set.ReferencedSOPSequence[0].PurposeOfReferenceCodeSequence = [question((CT, "9.9"))]
    transaction, references = read_request(
        encoded(data_set, implicit=implicit, undefined=undefined), IMPLICIT if implicit else EXPLICIT
    )
    assert transaction == "1.2.9.1"
    assert [(each.sop_class_uid, each.sop_instance_uid) for each in references] == [(CT, "1.2.3"), (MR, "1.2.4")]


def test_a_question_that_is_cut_anywhere_is_refused():
    """No length is believed beyond the bytes that are there."""
    whole = encoded(question((CT, "1.2.3"), (MR, "1.2.4")), implicit=False)
    for end in range(len(whole)):
        with pytest.raises(UnreadableDataSet):
            read_request(whole[:end], EXPLICIT)
