"""The segments as contours in an RT Structure Set, for radiotherapy planning (PS3.3 section A.19).

A contour runs along the edges of the pixels of its image, so whoever fills it again has the segmentation's pixels.
It is written in Implicit VR Little Endian, which every peer takes (PS3.5 section 10.1): in the explicit one a contour
would have to end after 65,534 bytes of numbers, which is less than the outline of a large organ needs.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from highdicom.base import SOPClass
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage
from pydicom.valuerep import DA, TM

from inference.evidence.attributes import (
    LONG_STRING,
    MANUFACTURER,
    algorithm_equipment,
    complete,
    series_description,
)
from inference.evidence.codes import item_code
from inference.evidence.context import EvidenceContext
from inference.evidence.keyhole import without_holes
from inference.evidence.outline import Polyline
from inference.evidence.references import reference, references
from inference.evidence.segment_findings import FoundSegment, Labels
from inference.evidence.segment_parts import algorithm_identification
from inference.evidence.sources import has_place, stand_in
from storage.domain.result import EvidenceObject, EvidenceRole

_STUDY = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management: what names a study in a structure set
_LEAST_POINTS = 3
_SHORT_STRING = 16  # characters in one value of VR SH
_CONTOUR_DATA = Tag(tag_for_keyword("ContourData") or 0)

Points = npt.NDArray[np.float64]


def build_structure_set(
    context: EvidenceContext, labels: Labels, found: Sequence[FoundSegment]
) -> tuple[EvidenceObject, ...]:
    """One structure set with a region of interest per segment that has a voxel, numbered as in the segmentation.

    None when nothing was found, or when an image does not say where in the patient it lies: a contour has nothing
    but coordinates in mm in the patient's system (PS3.3 section C.8.8.6).
    """
    present = [one for one in found if one.number]
    if not present or not all(has_place(source) for source in context.sources):
        return ()
    sop = _empty(context)
    sop.ReferencedFrameOfReferenceSequence = [_frame_of_reference(context)]
    sop.StructureSetROISequence = [_region_of_interest(context, one) for one in present]
    sop.ROIContourSequence = [_contours_of(context, labels, one) for one in present]
    sop.RTROIObservationsSequence = [_observation(one) for one in present]
    sop.ApprovalStatus = "UNAPPROVED"
    return (complete(sop, context, EvidenceRole.STRUCTURE_SET, series_description(context, "structure set")),)


def _empty(context: EvidenceContext) -> SOPClass:
    source = stand_in(context.sources[0])
    sop = SOPClass(
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=context.identity.uid("structure-set-series"),
        series_number=1,
        sop_instance_uid=context.identity.uid("structure-set"),
        sop_class_uid=RTStructureSetStorage,
        instance_number=1,
        modality="RTSTRUCT",
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ImplicitVRLittleEndian,
    )
    sop.ContributingEquipmentSequence = [algorithm_equipment(context)]
    moment = context.local_started_at
    sop.StructureSetLabel = "AI_CONTOURS"[:_SHORT_STRING]
    sop.StructureSetName = context.algorithm.name[:LONG_STRING]
    sop.StructureSetDescription = f"{context.algorithm.name} {context.algorithm.version}. {context.mark}"
    sop.StructureSetDate, sop.StructureSetTime = DA(moment.date()), TM(moment.time())
    sop.OperatorsName = ""
    sop.FrameOfReferenceUID = source.FrameOfReferenceUID
    sop.PositionReferenceIndicator = source.get("PositionReferenceIndicator", "")
    return sop


def _frame_of_reference(context: EvidenceContext) -> Dataset:
    """All analysed images, which is how a planning system finds the series to draw on."""
    source = context.sources[0]
    series = Dataset()
    series.SeriesInstanceUID = source.SeriesInstanceUID
    series.ContourImageSequence = references(context.sources)
    study = Dataset()
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY, source.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = source.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _region_of_interest(context: EvidenceContext, one: FoundSegment) -> Dataset:
    item = Dataset()
    item.ROINumber = one.number
    item.ReferencedFrameOfReferenceUID = context.sources[0].FrameOfReferenceUID
    item.ROIName = one.segment.label[:LONG_STRING]
    item.ROIDescription = context.mark
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = f"{context.algorithm.name} {context.algorithm.version}"[:LONG_STRING]
    item.ROIDerivationAlgorithmIdentificationSequence = algorithm_identification(context)
    return item


def _contours_of(context: EvidenceContext, labels: Labels, one: FoundSegment) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = list(one.segment.rgb)
    item.ReferencedROINumber = one.number
    item.ContourSequence = [
        _contour(context.sources[index], outline)
        for index in np.flatnonzero(one.areas)
        for outline in without_holes(labels[index] == one.segment.number)
    ]
    for number, contour in enumerate(item.ContourSequence, start=1):
        contour.ContourNumber = number
    return item


def _contour(image: Dataset, outline: Polyline) -> Dataset:
    points = _in_patient(image, outline[:-1])  # the last point is joined to the first by the type of the contour
    item = Dataset()
    item.ContourImageSequence = [reference(image)]
    item.ContourGeometricType = "CLOSED_PLANAR"
    item.NumberOfContourPoints = len(points)
    # As the bytes that they are in the file: an element of numbers would make an object of each.
    numbers = "\\".join([f"{value:.3f}" for value in points.reshape(-1).tolist()]).encode("ascii")
    padded = numbers + b" " * (len(numbers) % 2)
    item[_CONTOUR_DATA] = RawDataElement(_CONTOUR_DATA, "DS", len(padded), padded, 0, True, True)
    return item


def _in_patient(image: Dataset, corners: Polyline) -> Points:
    """Points of an image in mm in the patient's coordinate system (PS3.3 equation C.7.6.2.1-1).

    ``corners`` are (column, row) with the origin at the corner of the first pixel, whose centre the position names.
    """
    cosines = np.array([float(value) for value in image.ImageOrientationPatient])
    down, across = (float(value) for value in image.PixelSpacing)
    column, row = (corners.astype(np.float64) - 0.5).T
    position = np.array([float(value) for value in image.ImagePositionPatient])
    points: Points = position + np.outer(column * across, cosines[:3]) + np.outer(row * down, cosines[3:])
    return points


def _observation(one: FoundSegment) -> Dataset:
    item = Dataset()
    item.ObservationNumber = one.number
    item.ReferencedROINumber = one.number
    item.ROIObservationLabel = one.segment.label[:_SHORT_STRING]
    item.RTROIIdentificationCodeSequence = [item_code(one.segment.type)]
    item.RTROIInterpretedType = ""
    item.ROIInterpreter = ""
    return item
