"""The golden pair of a segmentation.

It is ``volume`` (three axes), as it stands after preprocessing, and ``output`` (channel, three axes): the probabilities
of that volume, windows blended and activation done.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.engine import Predictor
from inference.algorithms.folder import GOLDEN_NAME
from inference.algorithms.golden_parity import VOXEL_TOLERANCES, Parity, largest_difference, other_outputs
from inference.algorithms.segmentation_manifest import Segment, SegmentationManifest
from inference.algorithms.sliding_window import predict_volume
from inference.errors import InvalidAlgorithm


@dataclass(frozen=True, eq=False)
class GoldenVolume:
    """The pair of a segmentation as it stands in the file."""

    volume: NDArray[np.float32]
    output: NDArray[np.float32]


def volume_pair(found: Mapping[str, NDArray[np.float32]]) -> GoldenVolume | None:
    """The pair that arrays are; ``None`` where they do not belong together. Raises KeyError."""
    volume, output = found["volume"], found["output"]
    if volume.ndim != 3 or output.ndim != 4 or output.shape[1:] != volume.shape or output.size == 0:
        return None
    return GoldenVolume(volume, output)


def check_volume(manifest: SegmentationManifest, golden: GoldenVolume, predictor: Predictor) -> Parity:
    """How near the network comes. Raises InvalidAlgorithm."""
    if len(golden.output) <= max(segment.channel for segment in manifest.outputs.segments):
        raise InvalidAlgorithm(f"{GOLDEN_NAME} of {manifest.title} lacks the channel of a segment; export it again.")
    predicted = predict_volume(predictor, golden.volume, manifest.inference)
    most, least = VOXEL_TOLERANCES[manifest.inference.precision]
    largest = largest_difference(predicted, golden.output)
    parity = Parity(largest, min(_dice(predicted, golden.output, one) for one in manifest.outputs.segments))
    if not (largest <= most and parity.dice is not None and parity.dice >= least):
        raise other_outputs(manifest.title, parity)
    return parity


def _dice(one: NDArray[np.float32], other: NDArray[np.float32], segment: Segment) -> float:
    """The overlap of what is above the segment's threshold in both; 1 where neither has anything."""
    if one.shape != other.shape:
        return 0.0
    first, second = (values[segment.channel] >= segment.threshold for values in (one, other))
    voxels = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / voxels if voxels else 1.0
