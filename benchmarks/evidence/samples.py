"""What the writers are given: 300 images and structures in them."""

import colorsys
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import Dataset, dcmread

from inference.evidence.segment_findings import Labels
from inference.findings.segment import SegmentDescription
from storage.domain.coded_concept import CodedConcept
from tests.conformance.source_series import LIVER, SourceSeries, make_series

SHAPE = (300, 512, 512)
SPACING_MM, GAP_MM = 0.8, 1.25


def write_sources(folder: Path) -> None:
    """The images as files, one by one named by their place."""
    folder.mkdir()
    for index, image in enumerate(make_series(SourceSeries(shape=SHAPE, gap=GAP_MM))):
        image.save_as(folder / f"{index:04d}.dcm", enforce_file_format=True)


def read_sources(folder: Path) -> tuple[Dataset, ...]:
    """Their headers, in order."""
    return tuple(dcmread(path, stop_before_pixels=True) for path in sorted(folder.glob("*.dcm")))


def make_structures(count: int, shape: tuple[int, int, int] = SHAPE) -> Labels:
    """Ellipsoids, the smaller the more there are; later ones cover earlier ones, and each has a voxel of its own."""
    source = np.random.default_rng(count)
    labels = np.zeros(shape, np.uint8)
    extent = np.array(shape)
    radii = extent * min(0.25, 0.4 / count ** (1 / 3))
    for number in range(1, count + 1):
        middle = radii + source.random(3) * (extent - 2 * radii)
        low, high = (middle - radii).astype(int), np.minimum((middle + radii).astype(int) + 1, extent)
        axes = np.ogrid[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
        inside = sum(((axes[i] - middle[i]) / radii[i]) ** 2 for i in range(3)) < 1
        labels[low[0] : high[0], low[1] : high[1], low[2] : high[2]][inside] = number
    for number in range(1, count + 1):
        labels[number % shape[0], 0, number] = number
    return labels


def describe(count: int) -> tuple[SegmentDescription, ...]:
    """A description for each structure; the kinds differ, so that each is told from the others."""
    return tuple(
        SegmentDescription(
            number,
            f"Structure {number}",
            LIVER.category,
            CodedConcept(f"{number}", "99OVERREAD", f"Structure {number}"),
            None,
            _rgb(number / count),
        )
        for number in range(1, count + 1)
    )


def _rgb(hue: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.8, 0.9)
    return round(red * 255), round(green * 255), round(blue * 255)


def write_for_dcmqi(labels: Labels, sources: tuple[Dataset, ...], folder: Path) -> tuple[Path, Path]:
    """Labels and metadata in the form of dcmqi's command: an NRRD and a JSON file."""
    image, metadata = folder / "labels.nrrd", folder / "metadata.json"
    count = int(labels.max())
    with image.open("wb") as file:
        file.write(_nrrd_header(labels.shape, sources[0]).encode("ascii"))
        file.write(memoryview(labels).cast("B"))
    metadata.write_text(json.dumps(_metadata(count)))
    return image, metadata


def _nrrd_header(shape: tuple[int, ...], first: Dataset) -> str:
    origin = ",".join(str(float(value)) for value in first.ImagePositionPatient)
    return (
        "NRRD0004\ntype: unsigned char\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {shape[2]} {shape[1]} {shape[0]}\n"
        f"space directions: ({SPACING_MM},0,0) (0,{SPACING_MM},0) (0,0,{GAP_MM})\n"
        f"kinds: domain domain domain\nencoding: raw\nspace origin: ({origin})\n\n"
    )


def _metadata(count: int) -> dict[str, object]:
    return {
        "ContentCreatorName": "benchmark",
        "SeriesDescription": "benchmark",
        "SeriesNumber": "9001",
        "InstanceNumber": "1",
        "BodyPartExamined": "CHEST",
        "segmentAttributes": [[_segment(one) for one in describe(count)]],
    }


def _segment(one: SegmentDescription) -> dict[str, object]:
    return {
        "labelID": one.number,
        "SegmentLabel": one.label,
        "SegmentDescription": one.label,
        "SegmentAlgorithmType": "AUTOMATIC",
        "SegmentAlgorithmName": "benchmark",
        "SegmentedPropertyCategoryCodeSequence": _code(one.category),
        "SegmentedPropertyTypeCodeSequence": _code(one.type),
        "recommendedDisplayRGBValue": list(one.rgb),
    }


def _code(concept: CodedConcept) -> dict[str, str]:
    return {"CodeValue": concept.value, "CodingSchemeDesignator": concept.scheme, "CodeMeaning": concept.meaning}


def voxels_of(seg: Dataset, sources: tuple[Dataset, ...]) -> npt.NDArray[np.uint8]:
    """The labels that a segmentation holds, put together from its frames; numbers are its own."""
    slices = {str(source.SOPInstanceUID): index for index, source in enumerate(sources)}
    labels = np.zeros((len(sources), seg.Rows, seg.Columns), np.uint8)
    size = seg.Rows * seg.Columns // 8
    shared = seg.SharedFunctionalGroupsSequence[0]
    for index, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        bits = np.frombuffer(seg.PixelData, np.uint8, size, index * size)
        mask = np.unpackbits(bits, bitorder="little").reshape(labels.shape[1:]).astype(bool)
        source = str(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID)
        segment = frame if "SegmentIdentificationSequence" in frame else shared
        labels[slices[source]][mask] = segment.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    return labels
