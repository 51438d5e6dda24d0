"""What a radiologist sees of a structure set in OHIF, over Orthanc's DICOMweb server and over our own."""

import numpy as np
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO

from inference.evidence.attributes import series_number
from inference.evidence.build import further_evidence
from inference.evidence.result_uids import USUAL_NAMING
from storage.domain.result import EvidenceRole
from tests.conformance.test_structure_set_conformance import with_holes
from tests.end_to_end.viewers.conftest import Station, part10
from tests.peers.ohif import Ohif


def test_contours_are_drawn_on_their_own_images(desk: Station, reading: list[Ohif]) -> None:
    """Each contour of the object is on its image, in its segment's colour, with its points; no other one is there."""
    result = with_holes("CT axial")
    (evidence,) = further_evidence(result, EvidenceRole.STRUCTURE_SET)
    desk.archive.store([*(part10(source) for source in result.context.sources), evidence.part10])
    window = desk.read(str(result.context.sources[0].StudyInstanceUID))
    reading.append(window)

    shown = window.show_structure_set(series_number(USUAL_NAMING, EvidenceRole.STRUCTURE_SET))

    written = {
        (item.ReferencedROINumber, contour.ContourImageSequence[0].ReferencedSOPInstanceUID): contour.ContourData
        for item in dcmread(DicomBytesIO(evidence.part10)).ROIContourSequence
        for contour in item.ContourSequence
    }
    assert {(one.number, one.sop_instance_uid) for one in shown} == set(written)
    assert len(shown) == len(written)
    colors = {one.number: one.segment.rgb for one in result.found}
    for one in shown:
        points = np.array(written[one.number, one.sop_instance_uid], np.float64).reshape(-1, 3)
        np.testing.assert_allclose(one.points, points)
        assert one.color == colors[one.number]
    window.wait_for_picture()
    assert window.alarms() == []
