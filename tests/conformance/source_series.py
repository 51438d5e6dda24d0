"""Small synthetic series and findings, as a modality and an algorithm would leave them for the evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from inference.algorithms.identity import AlgorithmIdentity
from inference.evidence.build import EvidenceContext
from inference.evidence.result_uids import ResultIdentity
from inference.evidence.sources import states_thickness
from inference.findings.measurement import (
    CONDENSED,
    COUNT,
    LONG_AXIS,
    MILLIMETER,
    OCCURRENCES,
    SQUARE_MILLIMETER,
    SURFACE,
)
from inference.findings.segment import SegmentDescription
from inference.findings.segmentation import Probabilities
from inference.imaging.frames import frame_number
from inference.imaging.resampling import GridMap
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import Finding, MeasuredLine, Measurement
from storage.domain.result import EvidenceObject, EvidenceRole, stand_ins
from tests.peers.multi_frame import single_image

_COS, _SIN = float(np.cos(0.3)), float(np.sin(0.3))
ORIENTATIONS: dict[str, tuple[float, ...]] = {
    "axial": (1, 0, 0, 0, 1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
    "coronal": (1, 0, 0, 0, 0, -1),
    "oblique": (_COS, _SIN, 0, 0, 0, -1),
}
SOP_CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "PT": PositronEmissionTomographyImageStorage}
STARTED_AT = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)

ORGAN = CodedConcept("123037004", "SCT", "Anatomical Structure")
LESION = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
LIVER = SegmentDescription(1, "Liver", ORGAN, CodedConcept("10200004", "SCT", "Liver"), None, (221, 130, 101))
NODULE = SegmentDescription(
    2,
    "Lung nodule",
    LESION,
    CodedConcept("27925004", "SCT", "Nodule"),
    CodedConcept("39607008", "SCT", "Lung"),
    (255, 215, 0),
)

_VOLUME = CodedConcept("118565006", "SCT", "Volume")
_MEAN = CodedConcept("373098007", "SCT", "Mean")
_ATTENUATION = CodedConcept("112031", "DCM", "Attenuation Coefficient")
_CUBIC_MILLIMETER = CodedConcept("mm3", "UCUM", "Cubic millimeter")
_HOUNSFIELD = CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit")


@dataclass(frozen=True)
class SourceSeries:
    """What to make; ``reverse`` orders the images against the slice normal, ``tilt`` shifts each one by so many mm."""

    modality: str = "CT"
    orientation: str = "axial"
    shape: tuple[int, int, int] = (6, 24, 32)
    spacing: tuple[float, float] = (0.8, 0.8)
    gap: float = 2.5
    reverse: bool = False
    tilt: float = 0.0
    patient_name: str | bytes = "Doe^Jane"
    character_set: str | Sequence[str] | None = "ISO_IR 192"
    study_uid: str = "1.2.826.0.1.3680043.8.498.1"


def make_series(series: SourceSeries = SourceSeries()) -> tuple[Dataset, ...]:
    """The images in slice order, each read back from its bytes like a received one."""
    order = range(series.shape[0])
    return tuple(_image(series, index) for index in (reversed(order) if series.reverse else order))


def _image(series: SourceSeries, index: int) -> Dataset:
    _slices, rows, columns = series.shape
    axes = np.array(ORIENTATIONS[series.orientation]).reshape(2, 3)
    normal = np.cross(axes[0], axes[1])
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if series.character_set is not None:
        image.SpecificCharacterSet = series.character_set
    image.SOPClassUID = SOP_CLASSES[series.modality]
    image.SOPInstanceUID = f"{series.study_uid}.2.{index + 1}"
    image.StudyInstanceUID, image.SeriesInstanceUID = series.study_uid, f"{series.study_uid}.2"
    image.FrameOfReferenceUID = f"{series.study_uid}.3"
    image.PositionReferenceIndicator = ""
    image.PatientName, image.PatientID = series.patient_name, "PID-0042"
    image.IssuerOfPatientID = "HOSPITAL"
    image.PatientBirthDate, image.PatientSex, image.PatientAge = "19600102", "F", "065Y"
    image.StudyDate, image.StudyTime, image.StudyID = "20260303", "101112", "S1"
    image.AccessionNumber, image.StudyDescription = "ACC-7", "CT Thorax"
    image.ReferringPhysicianName = "Roe^Richard"
    image.Modality, image.SeriesNumber, image.InstanceNumber = series.modality, 3, index + 1
    image.BodyPartExamined, image.InstitutionName = "CHEST", "General Hospital"
    image.Manufacturer, image.ManufacturerModelName = "Acme", "Scan-O-Matic"
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.Rows, image.Columns = rows, columns
    image.PixelSpacing = list(series.spacing)
    image.SliceThickness = series.gap
    image.ImageOrientationPatient = [round(float(value), 9) for value in axes.reshape(-1)]
    image.ImagePositionPatient = [
        round(float(value), 6)
        for value in np.array([-90, -70, 40]) + (normal * series.gap + axes[1] * series.tilt) * index
    ]
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.RescaleIntercept, image.RescaleSlope = 0, 1
    image.WindowCenter, image.WindowWidth = 40, 400
    row, column = np.mgrid[:rows, :columns]
    image.PixelData = (row * 5 + column * 3 + index * 10 - 160).astype("<i2").tobytes()
    buffer = BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return dcmread(BytesIO(buffer.getvalue()))


def make_labels(shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """A liver over some slices and a smaller nodule on two of them; nothing on the first and the last slice."""
    slices, rows, columns = shape
    labels = np.zeros(shape, np.uint8)
    labels[1 : slices - 1, 3 : rows // 2, 4 : columns // 2] = 1
    labels[2, 3:6, 4:9] = 0
    labels[2:4, rows // 2 + 2 : rows // 2 + 6, columns // 2 + 1 : columns // 2 + 7] = 2
    labels[3, rows // 2 + 6, columns // 2 + 3] = 2
    return labels


def make_probabilities(labels: npt.NDArray[np.uint8], numbers: Sequence[int] = (1, 2)) -> Probabilities:
    """A network that is surest in the middle of its labels, every voxel another value, and unsure around them."""
    slices, rows, columns = np.indices(labels.shape)
    ramp = ((slices * 7 + rows * 3 + columns) % 40 / 100).astype(np.float32)
    output = np.stack([np.where(labels == number, 0.55 + ramp, ramp * (slices % 2)) for number in numbers])
    grid = GridMap((0, 1, 2), (False, False, False), labels.shape, labels.shape, (1, 1, 1))
    return Probabilities(output, {number: place for place, number in enumerate(numbers)}, grid)


def make_context(sources: tuple[Dataset, ...], artifact_sha256: str = "a" * 64) -> EvidenceContext:
    """The job around ``sources``."""
    algorithm = AlgorithmIdentity(
        name="Sample organ finder",
        version="1.2.3",
        manufacturer="The Overread developers",
        artifact_sha256=artifact_sha256,
        manifest_sha256="b" * 64,
        family=CodedConcept("123110", "DCM", "Artificial Intelligence"),
        use="research",
    )
    identity = ResultIdentity(
        site_secret=b"a secret of this site",
        study_instance_uid=str(sources[0].StudyInstanceUID),
        input_sha256s=tuple(f"{index:064x}" for index in range(len(sources))),
        artifact_sha256=artifact_sha256,
        manifest_sha256=algorithm.manifest_sha256,
    )
    return EvidenceContext(sources, lambda index: pixel_values(sources[index]), algorithm, STARTED_AT, identity)


def pixel_values(image: Dataset) -> npt.NDArray[np.float32]:
    """Its values after the Modality LUT, or its colours."""
    slope, intercept = float(image.get("RescaleSlope", 1)), float(image.get("RescaleIntercept", 0))
    values: npt.NDArray[np.float32] = single_image(image).pixel_array.astype(np.float32) * slope + intercept
    return values


def make_findings(
    context: EvidenceContext, labels: npt.NDArray[np.uint8], segments: Sequence[SegmentDescription]
) -> tuple[Finding, ...]:
    """One finding per segment with its volume and, where there is a voxel, a mean."""
    source = context.sources[0]
    thickness = float(source.SliceThickness) if states_thickness(source) else 1
    voxel = float(np.prod(source.get("PixelSpacing", (1, 1)))) * thickness
    findings = []
    for segment in segments:
        count = int(np.count_nonzero(labels == segment.number))
        measurements = [Measurement(_VOLUME, count * voxel, _CUBIC_MILLIMETER)]
        if count:
            measurements.append(Measurement(_ATTENUATION, -12.3456789, _HOUNSFIELD, _MEAN))
            measurements += _sizes(context, labels == segment.number)
        findings.append(
            Finding(
                kind=segment.type,
                site=segment.site,
                tracking_identifier=f"{segment.label} 1",
                tracking_uid=context.identity.uid(f"tracking {segment.label}"),
                measurements=tuple(measurements),
            )
        )
    return tuple(findings)


def _sizes(context: EvidenceContext, mask: npt.NDArray[np.bool_]) -> list[Measurement]:
    """Surface, count and a percentile; and a diameter that runs along the top of the slice with most of the mask."""
    index = int(np.argmax(mask.sum(axis=(1, 2))))
    rows, columns = np.nonzero(mask[index])
    top, left, right = float(rows.min()), float(columns.min()), float(columns.max() + 1)
    source = context.sources[index]
    line = MeasuredLine(
        str(source.SOPInstanceUID), frame_number(source), ((left, top), (right, top)), ((0, 0, 0), (right - left, 0, 0))
    )
    return [
        Measurement(LONG_AXIS, 17.25, MILLIMETER, line=line),
        Measurement(SURFACE, 1234.5, SQUARE_MILLIMETER),
        Measurement(OCCURRENCES, 1.0, COUNT),
        Measurement(_ATTENUATION, 43.5, _HOUNSFIELD, CONDENSED["percentile_95"][0]),
    ]


def evidence_dataset(evidence: Sequence[EvidenceObject], role: EvidenceRole) -> Dataset:
    """The evidence object of one role in its first form, read back from its bytes."""
    repeating = stand_ins(item.form for item in evidence)
    (one,) = [item for item in evidence if item.role is role and item.form not in repeating]
    return dcmread(BytesIO(one.part10))
