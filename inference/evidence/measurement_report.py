"""The findings as a Comprehensive 3D SR with TID 1500, Measurement Report, as root (PS3.16).

Each finding is one measurement group, and each group has coordinates on an image, because OHIF fails on the whole
report when one group has none. TID 1411 allows an image region or a referenced segment, never both, so a found
segment is given as its outline on the slice where it is largest. Segmentation and group are tied together by the
tracking UID and by the measurements, which name the segment as what they were inferred from.
"""

from collections.abc import Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    CoordinatesForMeasurement,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurement,
    SourceImageForRegion,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import ExplicitVRLittleEndian

from inference.evidence.attributes import MANUFACTURER, algorithm_equipment, complete, series_description
from inference.evidence.codes import item_code
from inference.evidence.context import EvidenceContext
from inference.evidence.outline import Polyline, frame_outline, largest_slice, outline
from inference.evidence.segment_findings import FoundSegment, Labels
from inference.evidence.sources import stand_in
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import Measurement as FindingMeasurement
from storage.domain.result import EvidenceObject, EvidenceRole

Group = MeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations

# The imaging procedure, not the algorithm: CID 100 "Quantitative Diagnostic Imaging Procedures".
_PROCEDURES: dict[str, Code] = {
    "CT": codes.cid100.CTUnspecifiedBodyRegion,
    "MR": codes.cid100.MRIUnspecifiedBodyRegion,
    "PT": codes.cid100.PETUnspecifiedBodyRegion,
    "NM": codes.cid100.NMUnspecifiedBodyRegion,
    "CR": codes.cid100.XRUnspecifiedBodyRegion,
    "DX": codes.cid100.XRUnspecifiedBodyRegion,
}

# What an absent finding without any measurement of its own is given, so that its group has coordinates.
_NO_VOLUME = (
    FindingMeasurement(
        CodedConcept("118565006", "SCT", "Volume"), 0.0, CodedConcept("cm3", "UCUM", "cubic centimeter")
    ),
)


def build_measurement_report(
    context: EvidenceContext,
    labels: Labels,
    found: Sequence[FoundSegment],
    segmentation: EvidenceObject | None,
) -> EvidenceObject:
    """The report: complete, preliminary and unverified, because no physician has seen it.

    ``segmentation`` is the object that holds the segments, ``None`` when no segment has a voxel; each finding then
    says in a group of its own that nothing was found on the examined images.
    """
    images = [stand_in(source) for source in context.sources]
    content = MeasurementReport(
        observation_context=_observation_context(context),
        procedure_reported=_PROCEDURES.get(images[0].Modality, codes.cid100.ImagingProcedure),
        imaging_measurements=[_group(context, labels, one, segmentation) for one in found],
        title=codes.cid7021.ImagingMeasurementReport,
    )
    # The image series stands first: readers take the first series of the evidence for the one that is outlined.
    evidence = [*images, *([_reference(context, segmentation)] if segmentation is not None else [])]
    report = Comprehensive3DSR(
        evidence=evidence,
        content=content,
        series_instance_uid=context.identity.uid("report-series"),
        series_number=1,
        sop_instance_uid=context.identity.uid("report"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=[algorithm_equipment(context)],
    )
    return complete(report, context, EvidenceRole.REPORT, series_description(context, "report"))


def _observation_context(context: EvidenceContext) -> ObservationContext:
    algorithm = context.algorithm
    device = DeviceObserverIdentifyingAttributes(
        uid=context.identity.device_uid(),
        # Every rendering of the report prints the observer's name, so the mark stands in it.
        name=f"{algorithm.name} {algorithm.version}. {context.mark}",
        manufacturer_name=algorithm.manufacturer,
        model_name=algorithm.name,
        serial_number=algorithm.artifact_sha256[:16],
    )
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.cid270.Device, observer_identifying_attributes=device
        )
    )


def _group(context: EvidenceContext, labels: Labels, one: FoundSegment, segmentation: EvidenceObject | None) -> Group:
    if segmentation is None or not one.number:
        return _absent_group(context, one)
    finding = one.finding
    index = largest_slice(labels, one.segment.number)
    region = ImageRegion(
        graphic_type="POLYLINE",
        graphic_data=outline(labels[index] == one.segment.number),
        source_image=_region_source(context.sources[index]),
    )
    source = _segment_source(segmentation, one.number)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=finding.tracking_uid, identifier=finding.tracking_identifier),
        referenced_regions=[region],
        finding_type=item_code(finding.kind),
        finding_category=item_code(one.segment.category),
        finding_sites=_finding_sites(one),
        algorithm_id=_algorithm_identification(context),
        measurements=[_measurement(measurement, images=[source]) for measurement in finding.measurements],
    )


def _absent_group(context: EvidenceContext, one: FoundSegment) -> MeasurementsAndQualitativeEvaluations:
    """TID 1501: the property is absent; its numbers are inferred from the whole of the middle image."""
    finding = one.finding
    middle = context.sources[len(context.sources) // 2]
    border: Polyline = frame_outline(int(middle.Rows), int(middle.Columns))
    examined = CoordinatesForMeasurement(
        graphic_type="POLYLINE", graphic_data=border, source_image=_region_source(middle)
    )
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid=finding.tracking_uid, identifier=finding.tracking_identifier),
        finding_type=item_code(finding.kind),
        finding_category=item_code(one.segment.category),
        finding_sites=_finding_sites(one),
        algorithm_id=_algorithm_identification(context),
        measurements=[_measurement(one, coordinates=[examined]) for one in finding.measurements or _NO_VOLUME],
        qualitative_evaluations=[QualitativeEvaluation(name=codes.DCM.PresenceOfProperty, value=codes.DCM.Absent)],
    )


def _measurement(
    measurement: FindingMeasurement,
    images: Sequence[SourceImageForMeasurement] | None = None,
    coordinates: Sequence[CoordinatesForMeasurement] | None = None,
) -> Measurement:
    return Measurement(
        name=item_code(measurement.name),
        value=_readable(measurement.value),
        unit=item_code(measurement.unit),
        derivation=item_code(measurement.derivation) if measurement.derivation is not None else None,
        referenced_images=images,
        referenced_coordinates=coordinates,
    )


def _readable(value: float) -> float:
    """Seven significant digits; what a floating point sum leaves behind them is noise that viewers would print."""
    return float(f"{value:.7g}")


def _algorithm_identification(context: EvidenceContext) -> AlgorithmIdentification:
    algorithm = context.algorithm
    return AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        parameters=[
            f"artifact sha256:{algorithm.artifact_sha256}",
            f"manifest sha256:{algorithm.manifest_sha256}",
        ],
        family=item_code(algorithm.family),
        manufacturer=algorithm.manufacturer,
    )


def _finding_sites(one: FoundSegment) -> list[FindingSite] | None:
    return [FindingSite(anatomic_location=item_code(one.finding.site))] if one.finding.site is not None else None


def _region_source(image: Dataset) -> SourceImageForRegion:
    return SourceImageForRegion(
        referenced_sop_class_uid=image.SOPClassUID, referenced_sop_instance_uid=image.SOPInstanceUID
    )


def _segment_source(segmentation: EvidenceObject, number: int) -> SourceImageForMeasurement:
    source = SourceImageForMeasurement(
        referenced_sop_class_uid=segmentation.sop_class_uid,
        referenced_sop_instance_uid=segmentation.sop_instance_uid,
    )
    source.ReferencedSOPSequence[0].ReferencedSegmentNumber = number
    return source


def _reference(context: EvidenceContext, segmentation: EvidenceObject) -> Dataset:
    """What the evidence sequence needs to know of the segmentation."""
    reference = Dataset()
    reference.StudyInstanceUID = context.sources[0].StudyInstanceUID
    reference.SeriesInstanceUID = segmentation.series_instance_uid
    reference.SOPClassUID = segmentation.sop_class_uid
    reference.SOPInstanceUID = segmentation.sop_instance_uid
    return reference
