"""Elements that come encoded stand in the file where pydicom would have written them."""

import pytest
from highdicom.base import SOPClass
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from inference.evidence.explicit_vr import encoded
from inference.evidence.part10 import part10

ENCODED = ("ReferencedSeriesSequence", "SourceImageSequence", "DimensionIndexSequence")


def made(character_set):
    """An object with lists of images, and with letters before and between them."""
    sop = SOPClass(
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.4",
        series_number=1,
        sop_instance_uid="1.2.5",
        sop_class_uid=SecondaryCaptureImageStorage,
        instance_number=1,
        modality="OT",
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    sop.InstanceCreationTime = sop.ContentTime = sop.SeriesTime = "010203"
    sop.SpecificCharacterSet = character_set
    sop.SeriesDescription = "Übersicht"
    sop.PatientName = "Müller^Jürgen"
    for keyword in ENCODED:
        item = Dataset()
        item.ReferencedSOPInstanceUID, item.InstanceNumber = "1.2.6", 4
        setattr(sop, keyword, [item, item])
    return sop


@pytest.mark.parametrize("character_set", ["ISO_IR 100", "ISO_IR 192"])
@pytest.mark.parametrize("keywords", [ENCODED[:1], ENCODED[1:2], ENCODED])
def test_the_file_is_that_of_the_whole_object(character_set, keywords):
    """Letters of any character set, and elements before, between and behind them, are written as they are without."""
    whole, parted = made(character_set), made(character_set)
    elements = {}
    for keyword in reversed(keywords):
        tag = Tag(keyword)
        elements[tag] = encoded(Dataset({tag: parted[tag]}))
        del parted[tag]

    assert part10(parted, elements) == part10(whole, {})
