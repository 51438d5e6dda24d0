"""Attributes as JSON: what PS3.18 annex F asks for, also of instances that do not follow the Standard."""

import json
from pathlib import Path

import pytest
from pydicom import config
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from listener.scp.file_meta import part10_prefix
from listener.web.dicomweb.dicom_file import UnreadableFile, read_dicom_file
from listener.web.dicomweb.dicom_json import attribute, dumped, json_attributes
from listener.web.dicomweb.metadata import binary_value


def test_what_is_empty_has_no_value() -> None:
    """Empty text, numbers and sequences are there with their VR alone (PS3.18 section F.2.5)."""
    instance = Dataset()
    instance.PatientName, instance.SeriesNumber, instance.ReferencedStudySequence = "", None, []

    assert json_attributes(instance) == {
        "00081110": {"vr": "SQ"},
        "00100010": {"vr": "PN"},
        "00200011": {"vr": "IS"},
    }
    assert attribute("ModalitiesInStudy") == {"00080061": {"vr": "CS"}}


def test_numbers_that_are_none_become_text() -> None:
    """JSON has no NaN and no infinity; a client's parser would stop at them."""
    instance = Dataset()
    instance.add_new(0x00189073, "FD", [float("nan"), float("inf"), -1.5])

    told = json.loads(dumped(json_attributes(instance)), parse_constant=lambda name: AssertionError(name))

    assert told["00189073"]["Value"] == ["NaN", "inf", -1.5]


def test_a_broken_value_costs_itself_only(monkeypatch) -> None:
    """What cannot be read is left out, deep in a sequence too; its neighbours stay, and no setting is switched."""
    monkeypatch.setattr(config.settings, "reading_validation_mode", config.IGNORE)
    item = Dataset()
    item.StudyDescription = "kept"
    item._dict[Tag("InstanceNumber")] = RawDataElement(Tag("InstanceNumber"), "IS", 4, b"1.x ", 0, False, True)
    instance = Dataset()
    instance.PatientID, instance.ReferencedStudySequence = "P1", [item]

    answer = json_attributes(instance)

    assert answer["00100020"] == {"vr": "LO", "Value": ["P1"]}
    assert answer["00081110"]["Value"] == [{"00081030": {"vr": "LO", "Value": ["kept"]}}]


def test_text_that_is_no_text_is_still_json() -> None:
    """A lone surrogate cannot be written as UTF-8; JSON's own escapes carry it."""
    assert json.loads(dumped({"a": "\udc80"})) == {"a": "\udc80"}


@pytest.mark.parametrize(
    "element",
    [
        b"\x08\x00\x70\x00UL\x05\x00abcde",  # no whole number of values
        b"\x08\x00\x15\x11SQ\x00\x00\x03\x00\x00\x00\xfe\xff\x00",  # an item that is cut off, in a known length
    ],
)
def test_a_value_that_pydicom_chokes_on_is_left_out(tmp_path: Path, element: bytes) -> None:
    """Whatever it raises, an OSError without a number too: the others are told, and its value is unreadable.

    Both were found by scripts/fuzz.
    """
    path = tmp_path / "instance.dcm"
    known = b"\x10\x00\x20\x00LO\x04\x00ID 1"
    path.write_bytes(part10_prefix("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1", "") + element + known)
    file = read_dicom_file(path)

    assert json_attributes(file.data_set) == {"00100020": {"vr": "LO", "Value": ["ID 1"]}}
    with pytest.raises(UnreadableFile):
        binary_value(file, int.from_bytes(element[:2], "little") << 16 | int.from_bytes(element[2:4], "little"))


def test_a_sequence_of_unknown_length_that_is_cut_off_is_unreadable(tmp_path: Path) -> None:
    """pydicom says so with an OSError, which is none of the disk."""
    path = tmp_path / "instance.dcm"
    cut = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00"
    path.write_bytes(part10_prefix("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1", "") + cut)

    with pytest.raises(UnreadableFile):
        read_dicom_file(path)
