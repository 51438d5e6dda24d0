"""Sizes and intensities of segments, with their codes and UCUM units."""

from collections.abc import Callable, Sequence

import numpy as np

from inference.algorithms.segmentation_manifest import Outputs, Segment
from inference.findings.segmentation import Labels
from inference.imaging.image_series import pixel_spacing
from inference.imaging.volume import Volume
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import Finding, Measurement

VOLUME = CodedConcept("118565006", "SCT", "Volume")
# CID 7462 knows no millilitre; a cubic centimetre is the same volume.
CUBIC_CENTIMETER = CodedConcept("cm3", "UCUM", "cubic centimeter")
MEAN = CodedConcept("373098007", "SCT", "Mean")
AREA = CodedConcept("42798000", "SCT", "Area")
SQUARE_CENTIMETER = CodedConcept("cm2", "UCUM", "Centimeter**2")
_INTENSITY = {
    "CT": (
        CodedConcept("112031", "DCM", "Attenuation Coefficient"),
        CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit"),
    ),
    "MR": (CodedConcept("110852", "DCM", "MR signal intensity"), CodedConcept("1", "UCUM", "no units")),
}


def measure(
    volume: Volume, labels: Labels, outputs: Outputs, algorithm: str, tracking_uid: Callable[[str], str]
) -> tuple[Finding, ...]:
    """One finding per segment, in their order, also for a segment without a voxel: its volume is 0.

    ``algorithm`` is the name that tracking identifiers begin with; ``tracking_uid`` derives the UID of one label.
    """
    return tuple(
        Finding(
            kind=segment.type.concept(),
            site=segment.site.concept() if segment.site else None,
            tracking_identifier=f"{algorithm} {segment.label}",
            tracking_uid=tracking_uid(segment.label),
            measurements=_measurements(volume, labels, segment, outputs.measurements),
        )
        for segment in outputs.segments
    )


def _measurements(volume: Volume, labels: Labels, segment: Segment, wanted: Sequence[str]) -> tuple[Measurement, ...]:
    mask = labels == segment.number
    voxels = int(np.count_nonzero(mask))
    measurements = []
    if "volume" in wanted:
        measurements.append(Measurement(VOLUME, voxels * volume.geometry.voxel_volume_mm3 / 1000, CUBIC_CENTIMETER))
    spacing = pixel_spacing(volume.headers[0]) if "area" in wanted else None
    if spacing is not None:  # of a radiograph, on its detector: what lies in front of it is smaller
        measurements.append(Measurement(AREA, voxels * spacing[0] * spacing[1] / 100, SQUARE_CENTIMETER))
    if "mean_intensity" in wanted and voxels:
        name, unit = _INTENSITY[volume.modality]
        measurements.append(Measurement(name, float(volume.values[mask].mean(dtype=np.float64)), unit, MEAN))
    return tuple(measurements)
