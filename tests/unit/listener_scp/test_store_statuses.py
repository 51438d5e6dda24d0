"""The statuses: one table in the code, the same in the conformance statement, and which of them means what."""

import io
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from listener.scp.association_policy import REJECTIONS
from listener.scp.file_meta import part10_prefix
from listener.scp.presentation_contexts import (
    DEFLATED_TRANSFER_SYNTAXES,
    RETIRED_STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
)
from listener.scp.status import (
    ACTION_STATUSES,
    CANNOT_UNDERSTAND,
    CREATE_STATUSES,
    DATA_SET_DOES_NOT_MATCH,
    EVENT_STATUSES,
    OUT_OF_RESOURCES,
    SOP_CLASS_NOT_SUPPORTED,
    STATUS_OF_OUTCOME,
    STATUS_OF_REFUSAL,
    STATUSES,
)
from listener.scp.store import StoreHandler, StoreRequest
from storage.domain.association import Association
from storage.domain.study import KeepOutcome, QuarantineReason
from storage.objects.layout import DataFolder
from storage.objects.spool import FileSpool
from storage.settings import SpoolSettings
from tests.peers.spool_content import waiting_quarantined

CONFORMANCE_STATEMENT = Path(__file__).parents[3] / "docs" / "conformance-statement.md"
CT = "1.2.840.10008.5.1.4.1.1.2"
FACTS = Association("a", "CT1", "OVERREAD", "127.0.0.1", datetime(2026, 1, 1, tzinfo=UTC))


def rows_under(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its first two lines."""
    section = CONFORMANCE_STATEMENT.read_text().split(f"# {heading}\n")[1].split("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_status_is_in_the_conformance_statement():
    """The table in the code and the table in the document are equal, cell by cell."""
    assert rows_under("Statuses of C-STORE") == [
        [f"0x{status.code:04X}", status.name, status.comment or "-", status.section, status.sender_action]
        for status in STATUSES
    ]


def test_every_status_of_storage_commitment_is_in_the_conformance_statement():
    """What an N-ACTION may be answered with is documented like the statuses of C-STORE."""
    assert rows_under("Statuses of N-ACTION") == [
        [f"0x{status.code:04X}", status.name, status.comment or "-", status.section, status.sender_action]
        for status in ACTION_STATUSES
    ]


def test_every_status_of_a_report_is_in_the_conformance_statement():
    """What an N-EVENT-REPORT may be answered with is documented like the statuses of C-STORE."""
    assert rows_under("Statuses of N-EVENT-REPORT") == [
        [f"0x{status.code:04X}", status.name, status.comment or "-", status.section, status.sender_action]
        for status in EVENT_STATUSES
    ]


def test_every_status_of_a_notification_is_in_the_conformance_statement():
    """What an N-CREATE may be answered with is documented like the statuses of C-STORE."""
    assert rows_under("Statuses of N-CREATE") == [
        [f"0x{status.code:04X}", status.name, status.comment or "-", status.section, status.sender_action]
        for status in CREATE_STATUSES
    ]


def test_every_rejection_is_in_the_conformance_statement():
    """Result, source and reason of each rejection are documented."""
    assert rows_under("Rejected associations") == [
        [str(each.result), str(each.source), str(each.reason), each.sentence] for each in REJECTIONS
    ]


def test_every_transfer_syntax_is_in_the_conformance_statement():
    """What is accepted, what is accepted only by setting and which retired classes are served is documented."""
    assert {row[0] for row in rows_under("Transfer syntaxes")} == set(TRANSFER_SYNTAXES)
    assert {row[0] for row in rows_under("Deflated transfer syntaxes")} == set(DEFLATED_TRANSFER_SYNTAXES)
    assert {row[0]: row[1] for row in rows_under("Retired storage SOP Classes")} == RETIRED_STORAGE_CLASSES


def test_a_comment_fits_its_element():
    """Error Comment is LO: at most 64 characters, no backslash."""
    assert all(len(status.comment) <= 64 and "\\" not in status.comment for status in STATUSES)
    assert len({status.code for status in STATUSES}) == len(STATUSES)


def test_every_outcome_has_a_status():
    """Nothing the spool or the header reader says at the door is without an answer."""
    assert STATUS_OF_OUTCOME.keys() == set(KeepOutcome)
    assert STATUS_OF_REFUSAL.keys() == set(QuarantineReason) - {QuarantineReason.CONFLICT, QuarantineReason.DAMAGED}


@pytest.fixture
def folder(tmp_path):
    """A fresh data folder."""
    return DataFolder(tmp_path / "data")


def request(handler: StoreHandler, data_set: bytes = b"garbage", **changes) -> StoreRequest:
    """A C-STORE request whose data set is garbage."""
    fields = {
        "sop_class_uid": CT,
        "sop_instance_uid": "1.2.3",
        "abstract_syntax_uid": CT,
        "transfer_syntax_uid": "1.2.840.10008.1.2",
        "association": FACTS,
    }
    fields |= changes
    incoming = handler.begin(fields["sop_class_uid"], fields["sop_instance_uid"], fields["transfer_syntax_uid"], "CT1")
    incoming.add(data_set)
    return StoreRequest(incoming=incoming, **fields)


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({}, CANNOT_UNDERSTAND, "unparsable"),
        ({"sop_instance_uid": "../../x"}, DATA_SET_DOES_NOT_MATCH, "malformed-identifier"),
        ({"data_set": bytes.fromhex("080005000400000041424344")}, DATA_SET_DOES_NOT_MATCH, "identity-mismatch"),
    ],
)
def test_what_is_refused_is_set_aside_and_woken_for(folder, changes, status, reason):
    """Each refusal keeps the bytes with its reason and wakes the importer, which writes the row."""
    woken = []
    handler = StoreHandler(FileSpool(folder, SpoolSettings(min_free_bytes=0)), lambda: woken.append(True))

    assert handler.handle(request(handler, **changes)) is status
    [(kept_reason, _)] = waiting_quarantined(folder.root)
    assert kept_reason == reason
    assert woken == [True]


def test_another_sop_class_than_the_contexts_is_not_supported(folder):
    """A command that names a class which was not negotiated for its context is refused, and nothing is kept."""
    handler = StoreHandler(FileSpool(folder, SpoolSettings(min_free_bytes=0)))

    assert handler.handle(request(handler, abstract_syntax_uid="1.2.840.10008.5.1.4.1.1.4")) is SOP_CLASS_NOT_SUPPORTED
    assert not waiting_quarantined(folder.root)


def test_a_full_spool_takes_no_garbage_either(folder):
    """When nothing can be set aside, the answer is out of resources."""
    handler = StoreHandler(FileSpool(folder, SpoolSettings(cap_bytes=1, min_free_bytes=0)))

    assert handler.handle(request(handler)) is OUT_OF_RESOURCES


def test_the_prefix_is_file_meta_information_that_others_read():
    """pydicom reads back class, instance, transfer syntax and sender; the preamble is zeros."""
    prefix = part10_prefix(CT, "1.2.3", "1.2.840.10008.1.2.4.70", "CT1")

    meta = dcmread(io.BytesIO(prefix)).file_meta
    assert prefix[:132] == bytes(128) + b"DICM"
    assert meta.MediaStorageSOPClassUID == CT
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.70"
    assert meta.SourceApplicationEntityTitle == "CT1"
    assert meta.FileMetaInformationGroupLength == len(prefix) - 132 - 12
    assert re.fullmatch(r"2\.25\.\d{1,39}", meta.ImplementationClassUID)
