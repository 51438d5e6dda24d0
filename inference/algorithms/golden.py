"""The golden pair of a classification: images and the outputs they must give, from preprocessing to probability.

``golden.npz`` beside the model holds arrays and nothing else: ``images`` (image, row, column) as decoded,
``prepared`` as the network takes them, ``probabilities`` (image, class) and, where the network gives them, ``maps``.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.engine import Classifier
from inference.algorithms.folder import VerifiedAlgorithm
from inference.errors import InvalidAlgorithm
from inference.imaging.plane import prepare_plane

GOLDEN_NAME = "golden.npz"
TOLERANCE = 1e-3  # of values in 0 to 1; of maps, relative to the largest; other processors round differently

_SIZE_LIMIT = 64 * 2**20  # bytes of all arrays
_ARRAYS = ("images", "prepared", "probabilities")


@dataclass(frozen=True, eq=False)
class Golden:
    """The pair as it stands in the file."""

    images: NDArray[np.float32]
    prepared: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    maps: NDArray[np.float32] | None


def write_golden(folder: Path, golden: Golden) -> None:
    """Write the pair beside the model."""
    arrays = {name: getattr(golden, name) for name in (*_ARRAYS, "maps")}
    with (folder / GOLDEN_NAME).open("wb") as file:
        np.savez_compressed(file, **{name: array for name, array in arrays.items() if array is not None})


def read_golden(folder: Path) -> Golden | None:
    """The pair of an algorithm folder, or ``None`` if it has none; nothing is ever unpickled.

    Raises:
        InvalidAlgorithm: the file is not what ``write_golden`` writes.
    """
    path = folder / GOLDEN_NAME
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _SIZE_LIMIT:
                raise InvalidAlgorithm(f"{path} holds more than {_SIZE_LIMIT} bytes; export the algorithm again.")
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name], np.float32) for name in arrays.files}
        wanted = [found[name] for name in _ARRAYS]
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, EOFError):
        raise InvalidAlgorithm(f"{path} holds no golden pair; restore it or export the algorithm again.") from None
    images, prepared, probabilities = wanted
    if images.ndim != 3 or prepared.ndim != 3 or not len(images) == len(prepared) == len(probabilities) > 0:
        raise InvalidAlgorithm(f"{path} holds arrays that do not belong together; export the algorithm again.")
    return Golden(images, prepared, probabilities, found.get("maps"))


def check_golden(algorithm: VerifiedAlgorithm, golden: Golden, classifier: Classifier) -> float:
    """Run the pair and return the largest difference; images are prepared as in serving.

    Raises:
        InvalidAlgorithm: preprocessing or network gives something else than when the algorithm was exported.
    """
    manifest = algorithm.manifest
    if not isinstance(manifest, ClassificationManifest):
        raise InvalidAlgorithm(f"{manifest.title} is no classification, but its folder holds {GOLDEN_NAME}; remove it.")
    prepared = np.stack([prepare_plane(image, manifest.image) for image in golden.images])
    preparing = _largest(prepared, golden.prepared)
    if not preparing <= TOLERANCE:
        raise InvalidAlgorithm(
            f"Preprocessing on this machine gives other images than when {manifest.title} was exported "
            f"(difference {preparing:.2g}); install the release it was exported with, or export it again."
        )
    scores = classifier.score(prepared[:, np.newaxis])
    predicting = _largest(scores.probabilities, golden.probabilities)
    if golden.maps is not None and scores.maps is not None:
        scale = max(1.0, float(np.abs(golden.maps).max()))
        predicting = max(predicting, _largest(scores.maps, golden.maps) / scale)
    if not predicting <= TOLERANCE:
        raise InvalidAlgorithm(
            f"The network of {manifest.title} gives other outputs on this machine than when it was exported "
            f"(difference {predicting:.2g}); do not use it here."
        )
    return max(preparing, predicting)


def _largest(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max()) if one.shape == other.shape else float("inf")
