"""Headers share what they say alike, and nothing else."""

from io import BytesIO

import pytest
from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from inference.imaging.pixel_format import pixel_format, pixel_formats
from inference.imaging.shared_elements import SharedElements
from tests.peers.synthetic_series import slice_headers


def _as_read(header: Dataset) -> Dataset:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, header)
    return read_dataset(BytesIO(buffer.getvalue()), False, True)


def test_headers_share_what_their_bytes_say_alike() -> None:
    """An element with the bytes of one before it is that one; another has its own value, and a name stays unread."""
    first, second = slice_headers(count=2)
    second.PixelSpacing = [2.0, 3.0]
    read, alike = [_as_read(first), _as_read(second)], SharedElements()

    for header in read:
        alike.share(header)

    assert read[0]["ImageOrientationPatient"] is read[1]["ImageOrientationPatient"]
    assert [list(header.PixelSpacing) for header in read] == [[1.0, 1.5], [2.0, 3.0]]
    assert isinstance(read[1].get_item("PatientName"), RawDataElement)
    assert read == [first, second]


def test_what_cannot_be_read_is_left_to_whoever_asks() -> None:
    """A malformed element is no reason to refuse a series that nobody asks it of."""
    (header,) = slice_headers(count=1)
    read = _as_read(header)
    kept: DataElement | RawDataElement = read.get_item("Rows")
    assert isinstance(kept, RawDataElement)
    read._dict[kept.tag] = kept._replace(value=b"abc")

    SharedElements().share(read)

    assert isinstance(read.get_item("Rows"), RawDataElement)
    assert read.Columns == header.Columns


_COLOUR = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}
# What all headers state, and what one of them states otherwise.
_OTHERWISE = [
    (_COLOUR, {"SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}),
    ({}, {"PhotometricInterpretation": "MONOCHROME1"}),
    (_COLOUR, {"PlanarConfiguration": 1}),
    ({}, {"Rows": 7}),
    ({}, {"Columns": 9}),
    ({"BitsStored": 8, "HighBit": 7}, {"BitsAllocated": 8}),
    ({"BitsStored": 12}, {"BitsStored": 11}),
    ({"BitsStored": 12}, {"HighBit": 11}),
    ({}, {"PixelRepresentation": 1}),
]


@pytest.mark.parametrize(("stated", "otherwise"), _OTHERWISE, ids=lambda one: "-".join(one))
def test_the_form_of_pixels_is_that_of_each_header(stated: dict[str, object], otherwise: dict[str, object]) -> None:
    """Of headers that share elements each has the form that it states itself, whatever one states otherwise."""
    headers = slice_headers(count=6)
    for header in headers:
        for keyword, value in (stated | otherwise if header is headers[3] else stated).items():
            setattr(header, keyword, value)
    read, alike = [_as_read(header) for header in headers], SharedElements()
    for header in read:
        alike.share(header)

    forms = pixel_formats(read)

    assert forms == [pixel_format(header) for header in read]
    assert forms[2] == forms[4] != forms[3]
