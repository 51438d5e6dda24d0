"""From a network's output to labels on the source grid, and from labels to numbers with units."""

import numpy as np
import pytest

from inference.algorithms.segmentation_manifest import Preprocessing, Segment, SegmentationManifest
from inference.findings.measurement import CUBIC_CENTIMETER, VOLUME, measure
from inference.findings.segmentation import Probabilities, label_voxels, largest_component
from inference.imaging.geometry import order_slices
from inference.imaging.resampling import grid_map
from inference.imaging.volume import Volume
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


def test_only_the_largest_component_is_kept_when_asked() -> None:
    """Voxels that touch by an edge only are apart."""
    output = np.zeros((1, *GEOMETRY.shape))
    output[0, 2, 1:4, 1:3] = 1
    output[0, 3, 0, 0] = output[0, 5, 4, 3] = 1

    assert _labelled(output, _segment()).sum() == 8
    assert _labelled(output, _segment(keep_largest_component=True)).sum() == 6
    assert largest_component(np.zeros((2, 2, 2), bool)).sum() == 0


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
    assert (volume.name, volume.unit, volume.value) == (VOLUME, CUBIC_CENTIMETER, pytest.approx(0.03))
    assert (mean.name.value, mean.unit.value, mean.value) == ("110852", "1", pytest.approx(4.5))
    assert mean.derivation is not None
    assert finding.tracking_identifier == "tiny Brain"
    assert finding.tracking_uid == "2.25.5"


def test_a_segment_without_a_voxel_still_has_its_finding() -> None:
    """'Not seen' is a finding of volume 0 without a mean, not a missing one."""
    (finding,) = _findings(np.zeros(GEOMETRY.shape, np.uint8))

    assert [(m.name, m.value) for m in finding.measurements] == [(VOLUME, 0.0)]
