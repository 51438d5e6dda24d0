"""Functional groups are encoded as pydicom encodes them."""

import pytest
from highdicom import PlanePositionSequence
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from inference.evidence.explicit_vr import element, encoded, sequence


def by_pydicom(data_set):
    """The same by the library."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, data_set)
    return buffer.getvalue()


def test_the_bytes_are_those_of_pydicom():
    """Odd and even lengths, one value and several, nested items, elements given in any order."""
    code, content, item = Dataset(), Dataset(), Dataset()
    code.CodeMeaning, code.CodeValue, code.CodingSchemeDesignator = "Segmentation", "113076", "DCM"
    content.DimensionIndexValues = [3, 70000]
    item.PlanePositionSequence = PlanePositionSequence("PATIENT", [-90.0, 1.25, 767.5])
    item.FrameContentSequence = [content]
    item.DerivationCodeSequence = [code, code]
    item.ReferencedSOPInstanceUID = "1.2.3"
    item.ReferencedSegmentNumber = 7
    item.SpatialLocationsPreserved = "YES"
    item.DerivationImageSequence = []

    assert encoded(item) == by_pydicom(item)


def test_an_element_without_a_data_set_has_the_same_bytes():
    """What is put together from parts is what the whole would be."""
    content, item = Dataset(), Dataset()
    content.DimensionIndexValues = [3, 70000]
    item.FrameContentSequence = [content, content]

    values = element(Tag("DimensionIndexValues"), "UL", [3, 70000])

    assert sequence(Tag("FrameContentSequence"), [values, values]) == by_pydicom(item)


def test_what_is_not_known_is_refused():
    """An element that would be encoded wrongly ends in an error, not in a file."""
    item = Dataset()
    item.FrameAcquisitionDateTime = "20260101"

    with pytest.raises(ValueError, match="FrameAcquisitionDateTime has VR DT"):
        encoded(item)
