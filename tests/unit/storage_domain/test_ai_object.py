"""An image that says that an algorithm made it is known by what it says, in every encoding."""

import io
import struct

import pytest
from pydicom import DataElement, Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from storage.domain.ai_object import AiDeclaration, ai_declaration
from storage.domain.first_reading import first_reading
from storage.objects.part10 import data_set_offset
from tests.peers.synthetic_series import slice_headers

CT = "1.2.840.10008.5.1.4.1.1.2"
CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
COLOUR_CAPTURE = "1.2.840.10008.5.1.4.1.1.7.4"
PROCESSING = ("109102", "DCM", "Processing Equipment")
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]


def _equipment(purpose: tuple[str, str, str] | None = None, **attributes: str) -> Dataset:
    item = Dataset()
    item.Manufacturer = "Somebody"
    if purpose is not None:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = purpose
        item.PurposeOfReferenceCodeSequence = [code]
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _data_set(
    equipment: list[Dataset], syntax: UID = ExplicitVRLittleEndian, *, undefined: bool = False, **attributes: str
) -> bytes:
    (ds,) = slice_headers(count=1)
    ds.Manufacturer = "Scanners and Sons"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.PixelData = bytes(40)
    if equipment:
        ds.ContributingEquipmentSequence = equipment
        for sequence in (ds["ContributingEquipmentSequence"], *_purposes(equipment)):
            sequence.is_undefined_length = undefined
            for item in sequence.value:
                item.is_undefined_length_sequence_item = undefined
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    content = file.getvalue()
    return content[data_set_offset(content) :]


def _purposes(equipment: list[Dataset]) -> list[DataElement]:
    return [item["PurposeOfReferenceCodeSequence"] for item in equipment if "PurposeOfReferenceCodeSequence" in item]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize(
    ("sop_class_uid", "equipment", "declaration"),
    [
        (CT, [_equipment(("Newcode1", "99IHE", "Processing Algorithm"))], AiDeclaration.ALGORITHM),
        (CT, [_equipment(), _equipment(("Newcode1", "99IHE", "Processing Algorithm"))], AiDeclaration.ALGORITHM),
        (CT, [_equipment(PROCESSING, DeviceUID="1.2.3")], None),  # nor is a better reconstruction left out
        (CAPTURE, [_equipment(PROCESSING)], AiDeclaration.PROCESSED_CAPTURE),
        (COLOUR_CAPTURE, [_equipment(PROCESSING)], AiDeclaration.PROCESSED_CAPTURE),
        (CT, [_equipment(PROCESSING)], None),  # a workstation's reformatted slices are images to be analysed
        (CT, [_equipment(("109103", "DCM", "Modifying Equipment"), DeviceUID="1.2.3")], None),  # an archive's
        (CAPTURE, [_equipment(("109101", "DCM", "Acquisition Equipment"))], None),
        (CT, [_equipment(DeviceUID="1.2.3")], None),
        (CT, [_equipment(("DLR", "99SITE", "Processing Algorithm"))], None),
        (CAPTURE, [_equipment(("109102", "99SITE", "Weighing"))], None),
        (CT, [], None),
    ],
)
def test_what_an_image_says_of_its_equipment_counts(
    syntax: UID, undefined: bool, sop_class_uid: str, equipment: list[Dataset], declaration: AiDeclaration | None
) -> None:
    """IHE's purpose and processed captures; nothing that scanners, workstations and reconstructions write."""
    data_set = _data_set(equipment, syntax, undefined=undefined)

    assert first_reading(data_set, sop_class_uid, syntax).declares is declaration


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("manufacturer", "model", "declaration"),
    [
        ("Overread", "Overread", AiDeclaration.OURS),
        ("Overread ", "Overread", AiDeclaration.OURS),
        ("Overread demo", "Overread", None),
        ("Overread", "Phantom", None),
        ("Scanners and Sons", "Overread", None),
    ],
)
def test_an_image_of_ours_is_known_under_any_uid(
    syntax: UID, manufacturer: str, model: str, declaration: AiDeclaration | None
) -> None:
    """Manufacturer and model both are ours; the demo's images and those of a scanner are not."""
    data_set = _data_set([], syntax, Manufacturer=manufacturer, ManufacturerModelName=model)

    assert first_reading(data_set, CAPTURE, syntax).declares is declaration


@pytest.mark.parametrize("undefined", [False, True])
def test_equipment_that_a_relay_did_not_know_is_read(undefined: bool) -> None:
    """Whoever does not know an element writes it on as UN, in implicit VR inside (PS3.5 section 6.2.2)."""
    ds = Dataset()
    ds.ContributingEquipmentSequence = [_equipment(PROCESSING)]
    inner = DicomBytesIO()
    inner.is_little_endian, inner.is_implicit_VR = True, True
    write_dataset(inner, ds)
    items = inner.getvalue()[8:]
    head, tail = struct.pack("<HH2sH", 0x0008, 0x0070, b"LO", 2) + b"S ", struct.pack("<HH2sH", 0x0028, 2, b"US", 2)
    length = 0xFFFFFFFF if undefined else len(items)
    unknown = struct.pack("<HH2sHL", 0x0018, 0xA001, b"UN", 0, length) + items
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) if undefined else b""

    said = ai_declaration(head + unknown + end + tail + b"\1\0", CAPTURE, ExplicitVRLittleEndian)

    assert said is AiDeclaration.PROCESSED_CAPTURE


def test_an_image_that_cannot_be_walked_declares_nothing() -> None:
    """Cut anywhere, it is never a reason to stop an import, and never a declaration that is not there."""
    whole = _data_set([_equipment(PROCESSING)])
    found = {first_reading(whole[:size], CAPTURE, ExplicitVRLittleEndian).declares for size in range(len(whole) + 1)}

    assert found == {None, AiDeclaration.PROCESSED_CAPTURE}


def test_equipment_without_end_is_not_read() -> None:
    """A sequence with more items than any real image has costs a bounded walk and says nothing."""
    data_set = _data_set([_equipment() for _ in range(101)] + [_equipment(PROCESSING)])

    assert first_reading(data_set, CAPTURE, ExplicitVRLittleEndian).declares is None
