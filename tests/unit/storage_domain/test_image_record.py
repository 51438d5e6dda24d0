"""What an instance says of its image is read once, as pydicom reads it, and never stops an import."""

import hashlib
import io

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from storage.domain.image_record import image_record
from storage.objects.part10 import data_set_offset
from tests.peers.synthetic_series import slice_headers

PIXELS = np.arange(20, dtype="<u2").tobytes()


def _image(**attributes: object) -> Dataset:
    (ds,) = slice_headers(count=1)
    ds.RescaleSlope, ds.RescaleIntercept, ds.NumberOfFrames = "2.5", "-1024", 1
    ds.PixelData = PIXELS
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def _data_set(ds: Dataset, syntax: UID) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian:
        ds.PixelData = encapsulate([PIXELS])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    content = file.getvalue()
    return content[data_set_offset(content) :]


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_native_pixels_are_where_the_record_says(syntax: UID) -> None:
    """Geometry, rescale and format are those of the header, and the pixels begin and end where they say."""
    data_set = _data_set(_image(), syntax)

    record = image_record(data_set, syntax)

    assert record is not None
    assert (record.rows, record.columns, record.bits_allocated, record.pixel_representation) == (5, 4, 16, 0)
    assert (record.samples_per_pixel, record.photometric_interpretation) == (1, "MONOCHROME2")
    assert record.image_position_patient == (10.0, 20.0, 30.0)
    assert record.image_orientation_patient == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert (record.pixel_spacing, record.rescale_slope, record.rescale_intercept) == ((1.0, 1.5), 2.5, -1024.0)
    assert record.pixel_offset is not None
    assert data_set[record.pixel_offset : record.pixel_offset + (record.pixel_length or 0)] == PIXELS
    assert hashlib.sha256(data_set[: record.head_length]).hexdigest() == record.head_sha256


def test_encapsulated_pixels_have_a_header_and_no_place() -> None:
    """What is before them is known; where they end is not."""
    data_set = _data_set(_image(), RLELossless)

    record = image_record(data_set, RLELossless)

    assert record is not None
    assert (record.pixel_offset, record.pixel_length) == (None, None)
    assert data_set[record.head_length : record.head_length + 4] == b"\xe0\x7f\x10\x00"


def test_sequences_of_both_kinds_are_stepped_over() -> None:
    """Nested elements are not taken for those of the image, whether their lengths are told or not."""
    item = Dataset()
    item.Rows, item.RescaleSlope = 99, "99"
    ds = _image(ReferencedImageSequence=[item], RequestAttributesSequence=[item, item])
    ds["ReferencedImageSequence"].is_undefined_length = True

    record = image_record(_data_set(ds, ExplicitVRLittleEndian), ExplicitVRLittleEndian)

    assert record is not None
    assert (record.rows, record.rescale_slope) == (5, 2.5)


def test_a_long_header_is_read_further() -> None:
    """A private element of 100 kB before the pixels is stepped over; one that is longer than a mebibyte is too much."""
    for size, known in ((100_000, True), (2**20, False)):
        ds = _image()
        ds.private_block(0x0009, "TESTS", create=True).add_new(0x01, "OB", bytes(size))
        assert (image_record(_data_set(ds, ExplicitVRLittleEndian), ExplicitVRLittleEndian) is not None) is known


@pytest.mark.parametrize(
    "attributes",
    [
        {"RescaleSlope": "1e999"},
        {"PixelSpacing": ["1"]},
        {"ImagePositionPatient": None},
    ],
)
def test_numbers_that_are_none_are_left_out(attributes: dict[str, object]) -> None:
    """Infinity, a missing half and an empty value are not recorded as geometry; the rest is."""
    record = image_record(_data_set(_image(**attributes), ExplicitVRLittleEndian), ExplicitVRLittleEndian)

    assert record is not None
    assert None in (record.rescale_slope, record.pixel_spacing, record.image_position_patient)
    assert record.rows == 5


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, UID("1.2.3.4")])
def test_of_what_cannot_be_told_there_is_no_record(syntax: UID) -> None:
    """A deflated data set has to be inflated first, and an unknown syntax with native pixels is a contradiction."""
    told = ExplicitVRLittleEndian if str(syntax) == "1.2.3.4" else syntax

    assert image_record(_data_set(_image(), told), syntax) is None


def test_no_cut_or_flipped_byte_stops_an_import() -> None:
    """Whatever a peer sends has a record or none, but never an exception; a record lies within its bytes."""
    data_set = _data_set(_image(), ExplicitVRLittleEndian)
    spoilt = [data_set[:length] for length in range(len(data_set))]
    spoilt += [bytes([*data_set[:at], data_set[at] ^ 0xFF, *data_set[at + 1 :]]) for at in range(len(data_set))]

    records = [image_record(one, ExplicitVRLittleEndian) for one in spoilt]

    assert {record is None for record in records} == {True, False}
    assert all(record.head_length <= len(data_set) for record in records if record is not None)


def test_a_header_up_to_the_recorded_length_is_a_whole_header() -> None:
    """pydicom reads the same header from the part before the pixels as from the whole data set."""
    data_set = _data_set(_image(), ExplicitVRLittleEndian)
    record = image_record(data_set, ExplicitVRLittleEndian)
    assert record is not None

    assert dcmread(io.BytesIO(data_set[: record.head_length]), force=True) == dcmread(
        io.BytesIO(data_set), force=True, stop_before_pixels=True
    )
