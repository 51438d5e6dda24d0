"""From a network's output to labels on the source grid, and from labels to numbers with units."""

import numpy as np
import pytest
import SimpleITK as sitk

from inference.algorithms.segmentation_manifest import Preprocessing, Segment, SegmentationManifest
from inference.findings.measurement import CUBIC_CENTIMETER, VOLUME, measure
from inference.findings.segmentation import Probabilities, label_voxels
from inference.imaging.geometry import Geometry, order_slices
from inference.imaging.resampling import grid_map
from inference.imaging.volume import Volume
from storage.domain.finding import Measurement
from tests.peers.synthetic_series import slice_headers
from tests.peers.tiny_algorithm import MANIFEST

FIRST = MANIFEST["outputs"]["segments"][0]
HEADERS, GEOMETRY = order_slices(slice_headers())


def _segment(number: int = 1, **changes: object) -> Segment:
    return Segment.model_validate(FIRST | {"number": number, "label": f"s{number}"} | changes)


def _labelled(output: np.ndarray, *segments: Segment) -> np.ndarray:
    mapping = grid_map(GEOMETRY, Preprocessing())
    channels = {segment.number: segment.channel for segment in segments}
    return label_voxels(Probabilities(output.astype(np.float32), channels, mapping), segments)


def test_a_voxel_belongs_from_the_threshold_on() -> None:
    """Exactly the threshold is inside, anything less is outside."""
    output = np.zeros((1, *GEOMETRY.shape))
    output[0, 0, 0, :3] = [0.5, 0.49, 0.9]

    labels = _labelled(output, _segment())

    assert labels.dtype == np.uint8
    assert labels[0, 0].tolist() == [1, 0, 1, 0]
    assert labels.sum() == 2


def test_the_highest_value_has_the_voxel() -> None:
    """Where two segments reach their thresholds, the surer one wins, whatever their order."""
    output = np.zeros((2, *GEOMETRY.shape))
    output[:, 0, 0, 0] = 0.7, 0.8
    output[:, 0, 0, 1] = 0.9, 0.8

    labels = _labelled(output, _segment(), _segment(2, channel=1))

    assert labels[0, 0, :2].tolist() == [2, 1]


def _findings(labels: np.ndarray):
    volume = Volume(np.arange(120, dtype=np.float32).reshape(GEOMETRY.shape), GEOMETRY, tuple(HEADERS))
    outputs = SegmentationManifest.model_validate(MANIFEST).outputs
    return measure(volume, labels, outputs, "tiny", lambda label: f"2.25.{len(label)}")


def test_volume_and_mean_have_codes_and_units() -> None:
    """Ten voxels of 2 x 1 x 1.5 mm are 0.03 cubic centimetres; the mean is that of the source values."""
    labels = np.zeros(GEOMETRY.shape, np.uint8)
    labels.reshape(-1)[:10] = 1

    (finding,) = _findings(labels)

    volume, mean = finding.measurements
    assert finding.label == "Brain"
    assert (volume.name, volume.unit, volume.value) == (VOLUME, CUBIC_CENTIMETER, pytest.approx(0.03))
    assert (mean.name.value, mean.unit.value, mean.value) == ("110852", "{unitless}", pytest.approx(4.5))
    assert mean.derivation is not None
    assert finding.tracking_identifier == "tiny Brain"
    assert finding.tracking_uid == "2.25.5"


def test_a_segment_without_a_voxel_still_has_its_finding() -> None:
    """'Not seen' is a finding of volume 0 without a mean, not a missing one."""
    (finding,) = _findings(np.zeros(GEOMETRY.shape, np.uint8))

    assert [(m.name, m.value) for m in finding.measurements] == [(VOLUME, 0.0)]


EVERY = (
    "volume",
    "longest_diameter",
    "perpendicular_diameter",
    "surface",
    "components",
    "mean_intensity",
    "standard_deviation",
    "minimum_intensity",
    "maximum_intensity",
    "median_intensity",
    "percentile_5",
    "percentile_10",
    "percentile_90",
    "percentile_95",
)
_COS, _SIN = float(np.cos(0.4)), float(np.sin(0.4))


def _oblique_volume() -> Volume:
    """A stack that lies askew in the patient, of voxels with three different sides, with noise as values."""
    headers, geometry = order_slices(
        slice_headers(9, 2.5, (0.8, 1.7), (_COS, _SIN, 0, 0.6 * _SIN, -0.6 * _COS, -0.8), (30, 20))
    )
    values = np.random.default_rng(7).normal(100, 30, geometry.shape).astype(np.float32)
    return Volume(values, geometry, tuple(headers))


def _oblique_labels() -> np.ndarray:
    labels = np.zeros((9, 30, 20), np.uint8)
    slices, rows, columns = np.indices(labels.shape)
    labels[((slices - 4) / 3) ** 2 + ((rows - 14) / 9) ** 2 + ((columns - 9) / 6) ** 2 <= 1] = 1
    labels[0, 27:, :2] = labels[8, 0, 15:] = 1
    return labels


def _measured(volume: Volume, labels: np.ndarray, *names: str) -> dict[str, Measurement]:
    outputs = SegmentationManifest.model_validate(MANIFEST | {"outputs": MANIFEST["outputs"] | {"measurements": names}})
    (finding,) = measure(volume, labels, outputs.outputs, "tiny", lambda label: "2.25.1")
    return dict(zip(names, finding.measurements, strict=True))


def test_sizes_and_intensities_are_those_of_itk_on_an_oblique_grid() -> None:
    """Volume, count, mean, deviation and range agree with SimpleITK on the grid; percentiles with sorted values."""
    volume, labels = _oblique_volume(), _oblique_labels()
    mask, values = sitk.GetImageFromArray(labels), sitk.GetImageFromArray(volume.values)
    for image in (mask, values):
        image.SetSpacing(volume.geometry.spacing_mm[::-1])
    shape, intensity = sitk.LabelShapeStatisticsImageFilter(), sitk.LabelIntensityStatisticsImageFilter()
    shape.Execute(mask)
    intensity.Execute(mask, values)
    parts = sitk.ConnectedComponentImageFilter()
    parts.Execute(mask)

    found = {name: one.value for name, one in _measured(volume, labels, *EVERY).items()}

    count = shape.GetNumberOfPixels(1)
    deviation = intensity.GetStandardDeviation(1) * ((count - 1) / count) ** 0.5
    ordered = np.sort(volume.values[labels == 1].astype(float))
    assert found["volume"] == pytest.approx(shape.GetPhysicalSize(1) / 1000)
    assert found["components"] == parts.GetObjectCount() == 3
    assert found["mean_intensity"] == pytest.approx(intensity.GetMean(1))
    assert found["standard_deviation"] == pytest.approx(deviation)
    assert (found["minimum_intensity"], found["maximum_intensity"]) == (ordered[0], ordered[-1])
    for name, share in {"percentile_5": 5, "percentile_10": 10, "percentile_90": 90, "percentile_95": 95}.items():
        below, rest = divmod(share / 100 * (count - 1), 1)
        at = int(below)
        assert found[name] == pytest.approx(ordered[at] + rest * (ordered[at + 1] - ordered[at]))
    assert found["median_intensity"] == pytest.approx(np.median(ordered))


def test_a_diameter_lies_where_it_was_measured_in_image_and_patient() -> None:
    """The ends on the image, taken to the patient by the image's own header, are those in the patient's coordinates."""
    volume, labels = _oblique_volume(), _oblique_labels()
    labels[[0, 8]] = 0
    found = _measured(volume, labels, "longest_diameter", "perpendicular_diameter")

    directions = []
    for one in found.values():
        assert one.line is not None
        (header,) = [each for each in volume.headers if each.SOPInstanceUID == one.line.sop_instance_uid]
        origin, axes = np.array(header.ImagePositionPatient), np.array(header.ImageOrientationPatient).reshape(2, 3)
        rows, columns = header.PixelSpacing
        expected = [
            origin + axes[0] * (x - 0.5) * columns + axes[1] * (y - 0.5) * rows for x, y in one.line.image_points
        ]
        assert np.array(one.line.patient_points_mm) == pytest.approx(np.array(expected))
        directions.append(expected[1] - expected[0])
        on_image = labels[volume.headers.index(header)]
        for x, y in np.array(one.line.image_points).round().astype(int):
            assert on_image[max(y - 2, 0) : y + 2, max(x - 2, 0) : x + 2].any()
        assert np.linalg.norm(directions[-1]) == pytest.approx(one.value)
        assert (one.unit.value, one.derivation) == ("mm", None)
    assert directions[0] @ directions[1] == pytest.approx(0, abs=1e-9)
    # The ellipse reaches over 13 columns of 1.7 mm and over 19 rows of 0.8 mm.
    assert 13 * 1.7 <= found["longest_diameter"].value < 13 * 1.7 + 1
    assert 14 < found["perpendicular_diameter"].value < 19 * 0.8 + 1


def test_the_count_of_a_lesion_is_one_of_lesions() -> None:
    """Parts of an abnormality are lesions; parts of an organ occur."""
    volume, labels = _oblique_volume(), _oblique_labels()
    assert _measured(volume, labels, "components")["components"].name.value == "246432004"

    abnormal = {"value": "49755003", "scheme": "SCT", "meaning": "Morphologically Abnormal Structure"}
    segment = FIRST | {"category": abnormal}
    document = MANIFEST | {"outputs": {"segments": [segment], "measurements": ["components"]}}
    (finding,) = measure(volume, labels, SegmentationManifest.model_validate(document).outputs, "t", lambda _: "2.25.1")
    assert [(one.name.value, one.value) for one in finding.measurements] == [("246206008", 3)]


def test_a_segment_without_a_voxel_has_volume_and_count_only() -> None:
    """Nothing has no diameter, no surface and no mean; and no unit that reads as a number where a viewer shows no 0."""
    outputs = SegmentationManifest.model_validate(MANIFEST | {"outputs": MANIFEST["outputs"] | {"measurements": EVERY}})
    volume = _oblique_volume()

    (finding,) = measure(volume, np.zeros(volume.geometry.shape, np.uint8), outputs.outputs, "t", lambda _: "2.25.1")

    assert [(one.name.meaning, one.value, one.unit.value) for one in finding.measurements] == [
        ("Volume", 0, "cm3"),
        ("Number of occurrences", 0, "{count}"),
    ]


def test_intensities_without_a_unit_are_left_out() -> None:
    """An effective atomic number of a spectral CT is no attenuation; the volume is measured all the same."""
    volume = _oblique_volume()
    for header in volume.headers:
        header.Modality, header.RescaleType = "CT", "Z_EFF"
    outputs = SegmentationManifest.model_validate(MANIFEST).outputs

    (finding,) = measure(volume, _oblique_labels(), outputs, "t", lambda _: "2.25.1")

    assert [one.name for one in finding.measurements] == [VOLUME]


def test_a_radiograph_has_lengths_on_its_detector_or_none() -> None:
    """The line lies on the image and nowhere in the patient; pixels of unknown size have no length."""
    (header,) = slice_headers(1, size=(30, 20))
    header.Modality = "DX"
    for keyword in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        delattr(header, keyword)
    header.ImagerPixelSpacing = [0.5, 0.25]
    labels = np.zeros((1, 30, 20), np.uint8)
    labels[0, 5:11, 4:12] = 1
    names = ["area", "longest_diameter", "components"]
    document = MANIFEST | {"input": {"modalities": ["DX"], "projection": True, "min_slices": 1}}
    document |= {"outputs": MANIFEST["outputs"] | {"measurements": names}}
    outputs = SegmentationManifest.model_validate(document).outputs

    def measured(spacing: tuple[float, float]) -> list[Measurement]:
        geometry = Geometry((1, 30, 20), np.diag([1.0, *spacing, 1.0]), "")
        volume = Volume(np.zeros((1, 30, 20), np.float32), geometry, (header,))
        return list(measure(volume, labels, outputs, "t", lambda _: "2.25.1")[0].measurements)

    area, diameter, count = measured((0.5, 0.25))
    assert (area.value, count.value) == (pytest.approx(48 * 0.125 / 100), 1)
    assert diameter.value == pytest.approx((3**2 + 2**2) ** 0.5)
    assert diameter.line is not None
    assert diameter.line.patient_points_mm is None
    assert sorted(diameter.line.image_points) == [(4.0, 5.0), (12.0, 11.0)]

    del header.ImagerPixelSpacing
    assert [one.value for one in measured((1.0, 1.0))] == [1]
