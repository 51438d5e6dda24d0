"""What a series says of itself is read as pydicom reads it, and never stops an import."""

import io
import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from storage.domain.route import RuleAttribute
from storage.domain.series_attributes import TAGS, SeriesAttributes, series_attributes
from storage.objects.part10 import data_set_offset
from storage.postgres.route_tables import SeriesAttributesRow

_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "routing.md"
_OF_THE_DOOR = {"modality", "body_part_examined", "series_description"}


def _snake(keyword: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", keyword).lower()


def _data_set(ds: Dataset, syntax: UID) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    content = file.getvalue()
    return content[data_set_offset(content) :]


def test_code_database_and_page_have_the_same_attributes() -> None:
    """What a rule may name is read, has a column, and stands on the page with its tag."""
    names = [field.name for field in fields(SeriesAttributes)]
    assert set(TAGS) == set(names) == set(SeriesAttributesRow.__table__.columns.keys()) - {"series_id"}
    assert {*RuleAttribute} == {*names, *_OF_THE_DOOR, "calling_ae_title", "account"}
    assert {name: _snake(keyword_for_tag(tag)) for name, tag in TAGS.items()} == {name: name for name in TAGS}
    rows = re.compile(r"^\| `(\w+)` \| .*?(?:\((\w{4}),(\w{4})\).*)?\|$", re.MULTILINE)
    told = rows.findall(_PAGE.read_text(encoding="utf-8"))
    assert [name for name, *_ in told] == [str(attribute) for attribute in RuleAttribute]
    assert {name: int(group + element, 16) for name, group, element in told if name in TAGS} == TAGS


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_attribute_is_read(syntax: UID) -> None:
    """Each is what pydicom wrote, in every encoding; what is absent is empty."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    for name, tag in TAGS.items():
        setattr(ds, keyword_for_tag(tag), "STAT" if name == "requested_procedure_priority" else f"Größe {name}"[:16])

    read = series_attributes(_data_set(ds, syntax), syntax)

    assert read is not None
    assert asdict(read) == {name: str(ds[tag].value) for name, tag in TAGS.items()}
    del ds.StationName
    assert series_attributes(_data_set(ds, syntax), syntax).station_name == ""  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("character_set", "written"),
    [("ISO_IR 100", "Größe"), ("ISO_IR 144", "Голова"), ("ISO_IR 192", "頭部"), ("GB18030", "头部"), ("", "Head")],
)
def test_text_is_decoded_by_its_character_set(character_set: str, written: str) -> None:
    """A rule is compared with what the scanner wrote, in whatever letters."""
    ds = Dataset()
    if character_set:
        ds.SpecificCharacterSet = character_set
    ds.StudyDescription = written

    read = series_attributes(_data_set(ds, ExplicitVRLittleEndian), ExplicitVRLittleEndian)

    assert read is not None
    assert read.study_description == written


def test_text_that_cannot_be_printed_or_decoded_is_bounded() -> None:
    """Control characters go, bytes of no character are replaced, and nothing is endless."""
    head = (
        b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 192"
        b"\x08\x00\x10\x10SH\x06\x00E\x1b\x00R\xff "
        b"\x08\x00\x30\x10LO\x84\x03" + b"A" * 900
    )

    read = series_attributes(head, ExplicitVRLittleEndian)

    assert read is not None
    assert (read.station_name, read.study_description) == ("ER\N{REPLACEMENT CHARACTER}", "A" * 256)


def test_what_cannot_be_read_says_nothing() -> None:
    """No data set, and one that is cut, are no reason to stop an import."""
    assert series_attributes(b"no data set", ExplicitVRLittleEndian) is None
    assert series_attributes(b"\x08\x00\x10\x10SH\x06\x00ER", ExplicitVRLittleEndian) is None
