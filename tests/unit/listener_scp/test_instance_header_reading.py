"""The header reader: strict on identity, tolerant of the rest, bounded whatever it is given."""

import struct
import zlib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import dcmread
from pydicom.filewriter import write_dataset

from listener.errors import UnacceptableIdentity
from listener.scp.instance_header import read_header
from storage.domain.study import InstanceHeader, QuarantineReason
from storage.errors import UnreadableDataSet

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"


def make_data_set(**changes) -> Dataset:
    """A small CT header."""
    data_set = Dataset()
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.SOPClassUID = CT
    data_set.SOPInstanceUID = "1.2.3.4.5"
    data_set.StudyDate = "20260102"
    data_set.AccessionNumber = "A1"
    data_set.Modality = "CT"
    data_set.SeriesDescription = "Thörax"
    data_set.PatientID = "P1"
    data_set.IssuerOfPatientID = "H"
    data_set.BodyPartExamined = "CHEST"
    data_set.StudyInstanceUID = "1.2.3"
    data_set.SeriesInstanceUID = "1.2.3.4"
    data_set.SeriesNumber = "7"
    data_set.InstanceNumber = "12"
    for keyword, value in changes.items():
        if value is None:
            delattr(data_set, keyword)
        else:
            setattr(data_set, keyword, value)
    return data_set


def encode(data_set: Dataset, syntax: str = EXPLICIT) -> bytes:
    """The bytes of a data set in a transfer syntax."""
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = syntax == IMPLICIT, syntax != BIG
    write_dataset(file, data_set)
    encoded = file.getvalue()
    if syntax == DEFLATED:
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return deflate.compress(encoded) + deflate.flush()
    return encoded


def read(data: bytes, syntax: str = EXPLICIT, sop_class: str = CT, sop_instance: str = "1.2.3.4.5") -> InstanceHeader:
    """Read with the command's UIDs."""
    return read_header(sop_class, sop_instance, syntax, data)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
def test_every_encoding_gives_the_same_header(syntax):
    """Implicit, explicit, big endian and deflated data sets are read alike."""
    assert read(encode(make_data_set(), syntax), syntax) == InstanceHeader(
        CT, "1.2.3.4.5", "1.2.3", "1.2.3.4", syntax, "P1", "H", "A1", date(2026, 1, 2), "CT", "CHEST", "Thörax", 7, 12
    )


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "JPEG2000.dcm",
        "image_dfl.dcm",
        "rtplan.dcm",
        "test-SR.dcm",
        "waveform_ecg.dcm",
    ],
)
def test_the_header_is_what_pydicom_reads(name):
    """On pydicom's own test files the walk finds the values that pydicom finds."""
    path = get_testdata_file(name, download=False)
    expected = dcmread(path, force=True, stop_before_pixels=True)
    meta = expected.file_meta
    raw = Path(path).read_bytes()
    offset = 132 + 12 + meta.FileMetaInformationGroupLength

    header = read_header(expected.SOPClassUID, expected.SOPInstanceUID, meta.TransferSyntaxUID, raw[offset:])

    assert header.study_instance_uid == expected.StudyInstanceUID
    assert header.series_instance_uid == expected.SeriesInstanceUID
    assert header.patient_id == (expected.get("PatientID") or "").strip()
    assert header.modality == expected.Modality


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_a_missing_identity_is_a_mismatch(keyword):
    """Each of the four UIDs is required."""
    with pytest.raises(UnacceptableIdentity) as caught:
        read(encode(make_data_set(**{keyword: None})))
    assert caught.value.reason is QuarantineReason.IDENTITY_MISMATCH


@pytest.mark.parametrize(("keyword", "value"), [("SOPInstanceUID", "1.2.3.4.6"), ("SOPClassUID", "1.2.840.1")])
def test_an_identity_other_than_the_commands_is_a_mismatch(keyword, value):
    """The data set must be the one that the C-STORE command names."""
    with pytest.raises(UnacceptableIdentity) as caught:
        read(encode(make_data_set(**{keyword: value})))
    assert caught.value.reason is QuarantineReason.IDENTITY_MISMATCH
    assert caught.value.study_instance_uid == "1.2.3"


@pytest.mark.parametrize("value", ["1.2.003", "../../x", "1..2", "1.2.", "1" * 65, "1.2.3\\1.2.4", "１.2"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_malformed_study_uid_is_refused(value):
    """A Study Instance UID that does not follow PS3.5 section 9.1 is refused by name."""
    encoded = encode(make_data_set(StudyInstanceUID="9.8.7.6.5"))
    raw = value.encode()
    raw += b"\x00" * (len(raw) % 2)
    before, after = encoded.split(b"UI\x0a\x009.8.7.6.5\x00")
    with pytest.raises(UnacceptableIdentity) as caught:
        read(before + b"UI" + struct.pack("<H", len(raw)) + raw + after)
    assert caught.value.reason is QuarantineReason.MALFORMED_IDENTIFIER


@pytest.mark.parametrize(
    ("keyword", "raw", "attribute", "expected"),
    [
        ("StudyDate", b"2026-1-2", "study_date", None),
        ("StudyDate", b"20261399", "study_date", None),
        ("SeriesNumber", b"seven ", "series_number", None),
        ("SeriesNumber", b"99999999999 ", "series_number", None),
        ("PatientID", b"P\x00\x1b[31m", "patient_id", "P"),
        ("SpecificCharacterSet", b"NO SUCH SET ", "patient_id", "P1"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bad_values_elsewhere_are_tolerated(keyword, raw, attribute, expected):
    """A value that is not identity never costs the instance; text loses its control characters."""
    data_set = make_data_set()
    del data_set[keyword]
    data_set.add_new(keyword, "LO", raw.decode())  # as a text, or the encoder would check it

    value = getattr(read(encode(data_set)), attribute)

    assert value == expected or (keyword == "PatientID" and value.startswith("P") and value.isprintable())


@pytest.mark.parametrize("character_set", ["ISO_IR 192", "ISO_IR 6", "ISO 2022 IR 87", "GB18030", "NO SUCH SET"])
@pytest.mark.parametrize("keyword", ["PatientID", "IssuerOfPatientID"])
@pytest.mark.parametrize(
    "pair",
    [(b"P\xff", b"P\xfe"), (b"P\xc3 1", b"P\xc4 1"), (b"P\x0011", b"P11"), (b"P\x1b(Z\xff", b"P\x1b(Z\xfe")],
    ids=["undecodable", "cut-short", "control", "escape"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_patients_whose_bytes_differ_stay_two(pair, keyword, character_set):
    """What cannot be decoded or printed stays as a number, so no two IDs become one replacement character."""
    attribute = {"PatientID": "patient_id", "IssuerOfPatientID": "issuer_of_patient_id"}[keyword]
    seen = []
    for raw in pair:
        data_set = make_data_set(SpecificCharacterSet=None)
        data_set.add_new("SpecificCharacterSet", "LO", character_set)
        del data_set[keyword]
        data_set.add_new(keyword, "OB", raw)
        seen.append(getattr(read(encode(data_set)), attribute))

    assert seen[0] != seen[1]
    assert all(text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text for text in seen)


def test_padding_is_no_part_of_a_patient_id():
    """NUL and space at the end are padding, whoever wrote them."""
    for padding in (b"\x00", b" \x00", b"  "):
        data_set = make_data_set()
        del data_set["PatientID"]
        data_set.add_new("PatientID", "OB", b"P1" + padding)

        assert read(encode(data_set)).patient_id == "P1"


def test_what_is_declared_implicit_but_written_explicit_is_read():
    """The first element tells how the data set is really written."""
    assert read(encode(make_data_set(), EXPLICIT), IMPLICIT).patient_id == "P1"
    assert read(encode(make_data_set(), IMPLICIT), EXPLICIT).patient_id == "P1"


@pytest.mark.parametrize("data", [b"", b"garbage", b"garbage data " * 1000, bytes(5000), b"\xff" * 5000])
@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
def test_garbage_is_unreadable(data, syntax):
    """Bytes that are no data set raise UnreadableDataSet."""
    with pytest.raises(UnreadableDataSet):
        read(data, syntax)


@pytest.mark.parametrize("depth", [2, 30])
def test_nested_sequences_are_stepped_over(depth):
    """Sequences before the identity, of undefined length, are skipped to their end."""
    assert read(_nested(depth)).study_instance_uid == "1.2.3"


@pytest.mark.parametrize("depth", [66, 1000, 20000])
def test_too_deep_a_nesting_is_unreadable(depth):
    """Depth is bounded; no recursion happens, so no depth can exhaust the stack."""
    with pytest.raises(UnreadableDataSet):
        read(_nested(depth))


def test_a_million_empty_items_are_unreadable():
    """The number of steps is bounded."""
    items = b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * 1_000_000

    with pytest.raises(UnreadableDataSet):
        read(b"\x08\x00\x05\x00CS\x00\x00\x08\x00\x08\x11SQ\x00\x00\xff\xff\xff\xff" + items)


def test_a_deflate_bomb_is_inflated_only_at_its_head():
    """A header behind the first megabyte of inflated bytes is unreadable, however much would follow."""
    bomb = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    element = b"\x08\x00\x01\x00UT\x00\x00" + struct.pack("<L", 200 * 2**20)
    data = bomb.compress(element) + bomb.compress(bytes(200 * 2**20)) + bomb.flush()

    with pytest.raises(UnreadableDataSet):
        read(data, DEFLATED)


def test_pixel_data_is_not_looked_at():
    """A data set cut in its pixel data keeps its header: it is evidence, and judged elsewhere."""
    data_set = make_data_set(Rows=1)
    data_set.add_new("PixelData", "OW", bytes(10_000))

    assert read(encode(data_set)[:-9000]).patient_id == "P1"


@given(st.binary(max_size=300), st.sampled_from([IMPLICIT, EXPLICIT, BIG, DEFLATED]), st.integers(0, 250))
def test_any_bytes_are_read_or_refused_by_name(noise, syntax, cut):
    """Whatever follows or replaces the head of a data set, only the two named errors come out."""
    data = encode(make_data_set(), syntax)[:cut] + noise
    try:
        header = read(data, syntax)
    except (UnreadableDataSet, UnacceptableIdentity):
        return
    assert header.sop_instance_uid == "1.2.3.4.5"


def _nested(depth: int) -> bytes:
    sequence = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff"
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    ends = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00" + b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
    levels = depth // 2
    encoded = encode(make_data_set())
    first = encoded.index(b"\x08\x00\x16\x00UI")
    return encoded[:first] + (sequence + item) * levels + ends * levels + encoded[first:]
