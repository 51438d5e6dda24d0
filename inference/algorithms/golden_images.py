"""The golden pair of a classification.

It is ``images`` (image, row, column) as decoded, ``prepared`` as the network takes them, ``probabilities`` (image,
class) and, where the network gives them, ``maps``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.engine import Classifier
from inference.algorithms.golden_parity import (
    SCORE_TOLERANCES,
    Parity,
    largest_difference,
    other_outputs,
    prepared_as_serving,
)
from inference.imaging.plane import network_input


@dataclass(frozen=True, eq=False)
class Golden:
    """The pair of a classification as it stands in the file."""

    images: NDArray[np.float32]
    prepared: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    maps: NDArray[np.float32] | None


def images_pair(found: Mapping[str, NDArray[np.float32]]) -> Golden | None:
    """The pair that arrays are; ``None`` where they do not belong together. Raises KeyError."""
    images, prepared, probabilities = found["images"], found["prepared"], found["probabilities"]
    if images.ndim != 3 or prepared.ndim != 3 or not len(images) == len(prepared) == len(probabilities) > 0:
        return None
    return Golden(images, prepared, probabilities, found.get("maps"))


def check_images(manifest: ClassificationManifest, golden: Golden, classifier: Classifier) -> Parity:
    """How near the network comes. Raises InvalidAlgorithm."""
    prepared, preparing = prepared_as_serving(manifest.title, manifest.image, golden.images, golden.prepared)
    scores = classifier.score(network_input(prepared, manifest.image))
    predicting = largest_difference(scores.probabilities, golden.probabilities)
    if golden.maps is not None and scores.maps is not None:
        scale = max(1.0, float(np.abs(golden.maps).max()))
        predicting = max(predicting, largest_difference(scores.maps, golden.maps) / scale)
    if not predicting <= SCORE_TOLERANCES[manifest.inference.precision]:
        raise other_outputs(manifest.title, Parity(predicting))
    return Parity(max(preparing, predicting))
