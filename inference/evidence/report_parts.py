"""What every report of ours with measurements has: root, observer, procedure, algorithm, flags (TID 1500, 4019)."""

from collections.abc import Container, Mapping, Sequence
from copy import deepcopy

from highdicom.sr import (
    AlgorithmIdentification,
    Comprehensive3DSR,
    ComprehensiveSR,
    CoordinatesForMeasurement,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    SourceImageForMeasurement,
    SourceImageForRegion,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage, ExplicitVRLittleEndian

from inference.evidence.attributes import MANUFACTURER, algorithm_equipment, complete, series_description
from inference.evidence.codes import item_code
from inference.evidence.context import EvidenceContext
from inference.evidence.evidence_list import EVIDENCE, evidence_list, named_images
from inference.evidence.explicit_vr import encoded, sequence
from inference.imaging.frames import frame_number
from storage.domain.finding import Finding
from storage.domain.finding import Measurement as FindingMeasurement
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole

Group = (
    MeasurementsAndQualitativeEvaluations
    | PlanarROIMeasurementsAndQualitativeEvaluations
    | VolumetricROIMeasurementsAndQualitativeEvaluations
)

# The content is the same in all three: our coordinates are in the plane of an image, which every one of them allows.
_Report = Comprehensive3DSR | ComprehensiveSR | EnhancedSR
_CLASSES: dict[EvidenceForm, type[_Report]] = {
    EvidenceForm.COMPREHENSIVE_3D: Comprehensive3DSR,
    EvidenceForm.COMPREHENSIVE: ComprehensiveSR,
    EvidenceForm.ENHANCED: EnhancedSR,
}
_UIDS = {
    EvidenceForm.COMPREHENSIVE_3D: Comprehensive3DSRStorage,
    EvidenceForm.COMPREHENSIVE: ComprehensiveSRStorage,
    EvidenceForm.ENHANCED: EnhancedSRStorage,
}

# The imaging procedure, not the algorithm: CID 100 "Quantitative Diagnostic Imaging Procedures". Radiographs came
# into it after its version of 2019, by which receivers still judge; for them the group's general code is written.
_PROCEDURES: dict[str, Code] = {
    "CT": codes.cid100.CTUnspecifiedBodyRegion,
    "MR": codes.cid100.MRIUnspecifiedBodyRegion,
    "PT": codes.cid100.PETUnspecifiedBodyRegion,
    "NM": codes.cid100.NMUnspecifiedBodyRegion,
}

_CONTENT = Tag("ContentSequence")


def build_reports(
    context: EvidenceContext,
    groups: Sequence[Group],
    others: Sequence[EvidenceObject],
    wanted: Container[EvidenceForm],
) -> tuple[EvidenceObject, ...]:
    """A report of these measurement groups in each wanted form that can hold them.

    It is complete, preliminary and unverified, because no physician has seen it. ``others`` are the objects of ours
    that the groups refer to.
    """
    forms = [form for form in _CLASSES if form in wanted]
    if not forms:
        return ()
    report = _report(context, groups, others, _CLASSES[forms[0]])
    del report[EVIDENCE]
    taken = {EVIDENCE: evidence_list(context, others), **_taken(report)}
    # They differ in class and UIDs only, so that the long content is made once, and the tree behind it is not copied.
    tree = {id(report.content): report.content}
    copies = [*(deepcopy(report, dict(tree)) for _ in forms[1:]), report]
    return tuple(_frozen(context, one, form, taken) for one, form in zip(copies, forms, strict=True))


def _report(
    context: EvidenceContext, groups: Sequence[Group], others: Sequence[EvidenceObject], kind: type[_Report]
) -> _Report:
    # highdicom copies and searches what it is given; it is given the first group, and the others are added to it.
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device_observer(context)),
        procedure_reported=_PROCEDURES.get(context.sources[0].Modality, codes.cid100.ImagingProcedure),
        imaging_measurements=groups[:1],
        title=codes.cid7021.ImagingMeasurementReport,
    )
    report = kind(
        evidence=[*named_images(context, content), *(_reference(context, one) for one in others)],
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
    measurements = report.ContentSequence[-1].ContentSequence
    for group in groups[1:]:
        measurements.extend(group)
    return report


def _frozen(
    context: EvidenceContext, report: _Report, form: EvidenceForm, encoded: Mapping[BaseTag, bytes]
) -> EvidenceObject:
    name = "" if form is EvidenceForm.COMPREHENSIVE_3D else f" {form}"
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = _UIDS[form]
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = UID(context.identity.uid(f"report{name}"))
    report.SeriesInstanceUID = UID(context.identity.uid(f"report-series{name}"))
    description = series_description(context, "report")
    return complete(report, context, EvidenceRole.REPORT, description, encoded=encoded)


def _taken(report: Dataset) -> dict[BaseTag, bytes]:
    """Take the content out of a report, encoded; not one with letters, which wants its character set."""
    try:
        taken = {_CONTENT: sequence(_CONTENT, map(encoded, report[_CONTENT].value))}
    except ValueError:
        return {}
    del report[_CONTENT]
    return taken


def device_observer(context: EvidenceContext) -> ObserverContext:
    """The algorithm as the observer of what a document says (TID 1002, 1004)."""
    algorithm = context.algorithm
    device = DeviceObserverIdentifyingAttributes(
        uid=context.identity.device_uid(),
        # Every rendering of the report prints the observer's name, so the mark stands in it.
        name=f"{algorithm.name} {algorithm.version}. {context.mark}",
        manufacturer_name=algorithm.manufacturer,
        model_name=algorithm.name,
        serial_number=algorithm.artifact_sha256[:16],
    )
    return ObserverContext(observer_type=codes.cid270.Device, observer_identifying_attributes=device)


def tracking(finding: Finding) -> TrackingIdentifier:
    """What ties a group to the other objects that speak of the same finding (TID 1501)."""
    return TrackingIdentifier(uid=finding.tracking_uid, identifier=finding.tracking_identifier)


def number(
    measurement: FindingMeasurement,
    images: Sequence[SourceImageForMeasurement] | None = None,
    coordinates: Sequence[CoordinatesForMeasurement] | None = None,
) -> Measurement:
    """A measurement (TID 300) with what it was inferred from."""
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


def algorithm_identification(context: EvidenceContext, *parameters: str) -> AlgorithmIdentification:
    """Who made the finding, with which bytes and which ``parameters`` of its own (TID 4019)."""
    algorithm = context.algorithm
    return AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        parameters=[
            f"artifact sha256:{algorithm.artifact_sha256}",
            f"manifest sha256:{algorithm.manifest_sha256}",
            *parameters,
        ],
        family=item_code(algorithm.family),
        manufacturer=algorithm.manufacturer,
    )


def finding_sites(finding: Finding) -> list[FindingSite] | None:
    """Where it was looked for."""
    return [FindingSite(anatomic_location=item_code(finding.site))] if finding.site is not None else None


def region_source(image: Dataset) -> SourceImageForRegion:
    """The image that coordinates are drawn on."""
    number = frame_number(image)
    return SourceImageForRegion(
        referenced_sop_class_uid=image.SOPClassUID,
        referenced_sop_instance_uid=image.SOPInstanceUID,
        referenced_frame_numbers=None if number is None else [number],
    )


def _reference(context: EvidenceContext, one: EvidenceObject) -> Dataset:
    """What the evidence sequence needs to know of an object of ours."""
    reference = Dataset()
    reference.StudyInstanceUID = context.sources[0].StudyInstanceUID
    reference.SeriesInstanceUID = one.series_instance_uid
    reference.SOPClassUID = one.sop_class_uid
    reference.SOPInstanceUID = one.sop_instance_uid
    return reference
