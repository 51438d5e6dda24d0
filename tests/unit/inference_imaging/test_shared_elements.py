"""Headers share what they say alike, and nothing else."""

from io import BytesIO

from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

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
