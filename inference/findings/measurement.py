"""Sizes and intensities of segments, with their codes and UCUM units."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.segmentation_manifest import GEOMETRIC, Outputs, Segment
from inference.findings.diameters import Chord, diameters
from inference.findings.intensity_unit import Quantity, quantity_of
from inference.findings.mesh_surface import mesh_surface_mm2
from inference.findings.postprocessing import count_components
from inference.findings.segmentation import Labels
from inference.imaging.extent import boxes
from inference.imaging.frames import frame_number
from inference.imaging.image_series import pixel_spacing
from inference.imaging.volume import Volume
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import Finding, MeasuredLine, Measurement

VOLUME = CodedConcept("118565006", "SCT", "Volume")
# CID 7462 knows no millilitre; a cubic centimetre is the same volume.
CUBIC_CENTIMETER = CodedConcept("cm3", "UCUM", "cubic centimeter")
AREA = CodedConcept("42798000", "SCT", "Area")
SQUARE_CENTIMETER = CodedConcept("cm2", "UCUM", "Centimeter**2")
LONG_AXIS = CodedConcept("103339001", "SCT", "Long axis")
SHORT_AXIS = CodedConcept("103340004", "SCT", "Short axis")
MILLIMETER = CodedConcept("mm", "UCUM", "millimeter")
SURFACE = CodedConcept("C0JK", "IBSI", "Surface Area of Mesh")
SQUARE_MILLIMETER = CodedConcept("mm2", "UCUM", "square millimeter")
LESIONS = CodedConcept("246206008", "SCT", "Number of lesions")
OCCURRENCES = CodedConcept("246432004", "SCT", "Number of occurrences")
# Not "1", for the reason given at intensity_unit.NO_UNITS.
COUNT = CodedConcept("{count}", "UCUM", "count")
_ABNORMAL = "49755003"  # SCT: a segment of this category is a change and no organ
MEAN = CodedConcept("373098007", "SCT", "Mean")

# How many values become one (CID 7464 and 7465); the deviation is that of the voxels, not an estimate from a sample.
_Condense = Callable[[NDArray[np.float64]], float]
CONDENSED: Mapping[str, tuple[CodedConcept, _Condense]] = {
    "mean_intensity": (MEAN, lambda values: float(values.mean())),
    "standard_deviation": (
        CodedConcept("386136009", "SCT", "Standard Deviation"),
        lambda values: float(values.std()),
    ),
    "minimum_intensity": (CodedConcept("255605001", "SCT", "Minimum"), lambda values: float(values.min())),
    "maximum_intensity": (CodedConcept("56851009", "SCT", "Maximum"), lambda values: float(values.max())),
    "median_intensity": (CodedConcept("373099004", "SCT", "Median"), lambda values: float(np.median(values))),
    "percentile_5": (
        CodedConcept("371888009", "SCT", "5th Percentile Value of population"),
        lambda values: float(np.percentile(values, 5)),
    ),
    "percentile_10": (
        CodedConcept("371890005", "SCT", "10th Percentile Value of population"),
        lambda values: float(np.percentile(values, 10)),
    ),
    "percentile_90": (
        CodedConcept("371887004", "SCT", "90th Percentile Value of population"),
        lambda values: float(np.percentile(values, 90)),
    ),
    "percentile_95": (
        CodedConcept("371889001", "SCT", "95th Percentile Value of population"),
        lambda values: float(np.percentile(values, 95)),
    ),
}


def measure(
    volume: Volume, labels: Labels, outputs: Outputs, algorithm: str, tracking_uid: Callable[[str], str]
) -> tuple[Finding, ...]:
    """One finding per segment, in their order, also for a segment without a voxel: its volume is 0.

    A segment without a voxel has no diameter and no intensity. Intensities are left out where the images do not say
    in which unit they are. ``algorithm`` is the name that tracking identifiers begin with; ``tracking_uid`` derives
    the UID of one label.
    """
    quantity = quantity_of(volume.headers) if set(outputs.measurements) - GEOMETRIC else None
    found = boxes(labels)
    return tuple(
        Finding(
            kind=segment.type.concept(),
            site=segment.site.concept() if segment.site else None,
            tracking_identifier=f"{algorithm} {segment.label}",
            tracking_uid=tracking_uid(segment.label),
            measurements=_measurements(
                _Region(volume, labels, segment, found[segment.number - 1]), outputs.measurements, quantity
            ),
            made_by=segment.made_by(),
            label=segment.label,
        )
        for segment in outputs.segments
    )


@dataclass(frozen=True)
class _Region:
    """The voxels of one segment; ``box`` is the part of the volume that holds them, ``None`` where there is none."""

    volume: Volume
    labels: Labels
    segment: Segment
    box: tuple[slice, slice, slice] | None

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """The segment's voxels within the box."""
        if self.box is None:
            return np.zeros((0, 0, 0), np.bool_)
        return np.asarray(self.labels[self.box] == self.segment.number)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The images' values at the segment's voxels."""
        return self.volume.values[self.box][self.mask].astype(np.float64)

    @cached_property
    def diameters(self) -> tuple[Chord, Chord] | None:
        """The longest one and the one across it, in pixels of the box."""
        _, rows, columns = self.volume.geometry.spacing_mm
        return diameters(self.mask, rows, columns)

    def line(self, chord: Chord) -> MeasuredLine:
        """Where a chord lies in its image and in the patient."""
        assert self.box is not None  # noqa: S101 - an empty mask has no chord
        slices, rows, columns = (int(part.start) for part in self.box)
        index, ends = chord.slice + slices, chord.ends + np.array([columns, rows])
        header, affine = self.volume.headers[index], self.volume.geometry.affine
        # The centre of the first pixel lies half a pixel from the corner that the ends are counted from.
        places = [affine @ (index, row - 0.5, column - 0.5, 1) for column, row in ends]
        return MeasuredLine(
            sop_instance_uid=str(header.SOPInstanceUID),
            frame_number=frame_number(header),
            image_points=_two([tuple(float(value) for value in end) for end in ends]),
            patient_points_mm=_two([tuple(float(value) for value in place[:3]) for place in places])
            if self.volume.geometry.frame_of_reference_uid
            else None,
        )

    @property
    def pixel_mm2(self) -> float | None:
        """The area of a pixel; of a radiograph on its detector, where what lies in front of it is smaller."""
        geometry = self.volume.geometry
        if not geometry.frame_of_reference_uid and pixel_spacing(self.volume.headers[0]) is None:
            return None
        return geometry.spacing_mm[1] * geometry.spacing_mm[2]


def _measurements(region: _Region, wanted: Sequence[str], quantity: Quantity | None) -> tuple[Measurement, ...]:
    return tuple(one for name in wanted if (one := _measured(region, name, quantity)) is not None)


def _measured(region: _Region, name: str, quantity: Quantity | None) -> Measurement | None:
    geometry, voxels, pixel_mm2 = region.volume.geometry, int(np.count_nonzero(region.mask)), region.pixel_mm2
    if name == "volume":
        return Measurement(VOLUME, voxels * geometry.voxel_volume_mm3 / 1000, CUBIC_CENTIMETER)
    if name == "area":
        return None if pixel_mm2 is None else Measurement(AREA, voxels * pixel_mm2 / 100, SQUARE_CENTIMETER)
    if name == "components":
        code = LESIONS if region.segment.category.value == _ABNORMAL else OCCURRENCES
        return Measurement(code, float(count_components(region.mask)) if region.box else 0.0, COUNT)
    if region.box is None or (name in GEOMETRIC and pixel_mm2 is None):
        return None
    if name == "surface":
        return Measurement(SURFACE, mesh_surface_mm2(region.mask, geometry.affine[:3, :3]), SQUARE_MILLIMETER)
    if name in GEOMETRIC:
        assert region.diameters is not None  # noqa: S101 - there is a voxel
        code, chord = {
            "longest_diameter": (LONG_AXIS, region.diameters[0]),
            "perpendicular_diameter": (SHORT_AXIS, region.diameters[1]),
        }[name]
        return Measurement(code, chord.length_mm, MILLIMETER, line=region.line(chord))
    if quantity is None:
        return None
    derivation, condense = CONDENSED[name]
    return Measurement(quantity[0], condense(region.values), quantity[1], derivation)


def _two(points: list[tuple[float, ...]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    first, second = points
    return first, second
