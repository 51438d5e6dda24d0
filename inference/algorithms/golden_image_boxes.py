"""The golden pair of a detection on images.

It is ``images`` and ``prepared`` as of a classification, ``counts`` (image), how many boxes each of the images has, and
the boxes of all images in their order: ``boxes`` (box, 4), left, top, right, bottom in pixels of the network's input,
``scores`` (box) and ``labels`` (box), the numbers of their classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.checked_boxes import ImageBoxes, checked_boxes
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.engine import Detector
from inference.algorithms.golden_boxes import alike_boxes, require_something_found
from inference.algorithms.golden_parity import Parity, prepared_as_serving
from inference.errors import InvalidOutput
from inference.imaging.plane import network_input


@dataclass(frozen=True, eq=False)
class GoldenBoxes:
    """The pair of a detection as it stands in the file."""

    images: NDArray[np.float32]
    prepared: NDArray[np.float32]
    counts: NDArray[np.float32]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.float32]

    def of_each_image(self) -> list[ImageBoxes]:
        """The boxes image by image.

        Raises:
            InvalidOutput: nothing may be concluded from them.
        """
        ends = np.cumsum(self.counts.astype(int))[:-1]
        parts = [np.split(array, ends) for array in (self.boxes, self.scores, self.labels)]
        return [checked_boxes(*arrays) for arrays in zip(*parts, strict=True)]


def image_boxes_pair(found: Mapping[str, NDArray[np.float32]]) -> GoldenBoxes | None:
    """The pair that arrays are; ``None`` where they do not belong together. Raises KeyError."""
    names = ("images", "prepared", "counts", "boxes", "scores", "labels")
    golden = GoldenBoxes(*(found[name] for name in names))
    counts = golden.counts
    if golden.images.ndim != 3 or golden.prepared.ndim != 3 or counts.ndim != 1:
        return None
    if not len(golden.images) == len(golden.prepared) == len(counts) > 0:
        return None
    if (counts < 0).any() or (counts % 1 != 0).any() or counts.sum() != len(golden.boxes):
        return None
    try:
        golden.of_each_image()
    except InvalidOutput:
        return None
    return golden


def check_image_boxes(manifest: DetectionManifest, golden: GoldenBoxes, detector: Detector) -> Parity:
    """How near the network comes. Raises InvalidAlgorithm."""
    expected = golden.of_each_image()
    require_something_found(manifest, expected)
    prepared, preparing = prepared_as_serving(manifest.title, manifest.image, golden.images, golden.prepared)
    found = [detector.detect(network_input(plane[np.newaxis], manifest.image)) for plane in prepared]
    parity = alike_boxes(manifest, found, expected)
    return Parity(max(preparing, parity.largest), overlap=parity.overlap)
