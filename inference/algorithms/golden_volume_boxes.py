"""The golden pair of a detection in volumes.

It is ``volume`` (three axes), as it stands after preprocessing, and the boxes that remain of it: ``boxes`` (box, 6),
low edges along the three axes, then high edges, in voxels of ``volume``, ``scores`` (box) and ``labels`` (box), the
numbers of their classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.box_windows import detect_volume
from inference.algorithms.checked_boxes import ImageBoxes, checked_boxes
from inference.algorithms.engine import Detector
from inference.algorithms.golden_boxes import alike_boxes, require_something_found
from inference.algorithms.golden_parity import Parity
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.errors import InvalidOutput


@dataclass(frozen=True, eq=False)
class GoldenVolumeBoxes:
    """The pair of a detection in volumes as it stands in the file."""

    volume: NDArray[np.float32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.float32]

    def checked(self) -> ImageBoxes:
        """The boxes.

        Raises:
            InvalidOutput: nothing may be concluded from them.
        """
        return checked_boxes(self.boxes, self.scores, self.labels, axes=3)


def volume_boxes_pair(found: Mapping[str, NDArray[np.float32]]) -> GoldenVolumeBoxes | None:
    """The pair that arrays are; ``None`` where they do not belong together. Raises KeyError."""
    golden = GoldenVolumeBoxes(*(found[name] for name in ("volume", "boxes", "scores", "labels")))
    if golden.volume.ndim != 3 or golden.volume.size == 0:
        return None
    try:
        golden.checked()
    except InvalidOutput:
        return None
    return golden


def check_volume_boxes(manifest: VolumeDetectionManifest, golden: GoldenVolumeBoxes, detector: Detector) -> Parity:
    """How near the network comes. Raises InvalidAlgorithm."""
    expected = [golden.checked()]
    require_something_found(manifest, expected)
    return alike_boxes(manifest, [detect_volume(detector, golden.volume, manifest)], expected)
