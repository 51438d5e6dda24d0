"""The golden pair of an algorithm: inputs, and the outputs that the original framework made of them.

``golden.npz`` beside the model holds arrays and nothing else. Which ones, and how they are compared, the file of each
kind of pair says: ``golden_images``, ``golden_volume``, ``golden_image_boxes``, ``golden_volume_boxes``.
"""

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.engine import Classifier, Detector, Predictor
from inference.algorithms.folder import GOLDEN_NAME, VerifiedAlgorithm
from inference.algorithms.golden_image_boxes import GoldenBoxes, check_image_boxes, image_boxes_pair
from inference.algorithms.golden_images import Golden, check_images, images_pair
from inference.algorithms.golden_parity import Parity
from inference.algorithms.golden_volume import GoldenVolume, check_volume, volume_pair
from inference.algorithms.golden_volume_boxes import GoldenVolumeBoxes, check_volume_boxes, volume_boxes_pair
from inference.algorithms.manifest import Manifest
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.errors import InvalidAlgorithm
from storage.domain.plain_file import open_plain

_SIZE_LIMIT = 512 * 2**20  # bytes of all arrays

AnyGolden = Golden | GoldenVolume | GoldenBoxes | GoldenVolumeBoxes


def write_golden(folder: Path, golden: AnyGolden) -> None:
    """Write the pair beside the model."""
    arrays = {field.name: getattr(golden, field.name) for field in fields(golden)}
    with (folder / GOLDEN_NAME).open("wb") as file:
        np.savez_compressed(file, **{name: array for name, array in arrays.items() if array is not None})


def read_golden(folder: Path, manifest: Manifest | None = None) -> AnyGolden | None:
    """The pair of an algorithm folder, or ``None`` if it has none; nothing is ever unpickled.

    ``manifest`` tells which arrays are expected where some are missing.

    Raises:
        InvalidAlgorithm: the file is not what ``write_golden`` writes; the message names arrays that are missing.
    """
    path = folder / GOLDEN_NAME
    if not path.exists():
        return None
    try:
        with open_plain(path) as file:
            with zipfile.ZipFile(file) as archive:
                if sum(member.file_size for member in archive.infolist()) > _SIZE_LIMIT:
                    raise InvalidAlgorithm(f"{path} holds more than {_SIZE_LIMIT} bytes; export the algorithm again.")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                found = {name: np.asarray(arrays[name], np.float32) for name in arrays.files}
        kind = _kind(found)
        if kind is None:
            raise _incomplete(path, found, manifest)
        golden = kind.pair(found)
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, TypeError, KeyError, EOFError, NotImplementedError):
        raise InvalidAlgorithm(f"{path} holds no golden pair; restore it or export the algorithm again.") from None
    if golden is None:
        raise InvalidAlgorithm(f"{path} holds arrays that do not belong together; export the algorithm again.")
    return golden


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of pair: whose it is in words, its class, whose fields are the arrays of the file, what checks it."""

    words: str
    manifest: type
    golden: type
    pair: Callable[[Mapping[str, NDArray[np.float32]]], AnyGolden | None]

    @property
    def names(self) -> tuple[str, ...]:
        """The arrays that it must have."""
        return tuple(field.name for field in fields(self.golden) if field.name not in _MAY_LACK)


_MAY_LACK = ("maps",)
# Whoever has boxes is a detection, whatever else is there.
_KINDS = (
    _Kind("a detection in volumes", VolumeDetectionManifest, GoldenVolumeBoxes, volume_boxes_pair),
    _Kind("a detection", DetectionManifest, GoldenBoxes, image_boxes_pair),
    _Kind("a segmentation", SegmentationManifest, GoldenVolume, volume_pair),
    _Kind("a classification", ClassificationManifest, Golden, images_pair),
)


def _kind(found: Mapping[str, NDArray[np.float32]]) -> _Kind | None:
    """The first one of which no array is missing."""
    return next((kind for kind in _KINDS if set(kind.names) <= found.keys()), None)


def _incomplete(path: Path, found: Mapping[str, NDArray[np.float32]], manifest: Manifest | None) -> InvalidAlgorithm:
    """What is missing for the manifest's task, or for the task that the file is nearest to."""
    of_task = [kind for kind in _KINDS if isinstance(manifest, kind.manifest)]
    kind = min(of_task or _KINDS, key=lambda one: len(set(one.names) - found.keys()))
    missing = [name for name in kind.names if name not in found]
    return InvalidAlgorithm(
        f"{path} lacks {_listed(missing)}: the golden pair of {kind.words} has the arrays {_listed(kind.names)}; add "
        "what is missing or export the algorithm again."
    )


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


class Network(Predictor, Classifier, Detector, Protocol):
    """What a pair is run through; which of the calls is right, the manifest's task says."""


def check_golden(algorithm: VerifiedAlgorithm, golden: AnyGolden, network: Network) -> Parity:
    """Run the pair and return how near the outputs are; images are prepared as in serving.

    Raises:
        InvalidAlgorithm: preprocessing or network gives something else than when the algorithm was exported.
    """
    manifest = algorithm.manifest
    if isinstance(manifest, ClassificationManifest) and isinstance(golden, Golden):
        return check_images(manifest, golden, network)
    if isinstance(manifest, SegmentationManifest) and isinstance(golden, GoldenVolume):
        return check_volume(manifest, golden, network)
    if isinstance(manifest, DetectionManifest) and isinstance(golden, GoldenBoxes):
        return check_image_boxes(manifest, golden, network)
    if isinstance(manifest, VolumeDetectionManifest) and isinstance(golden, GoldenVolumeBoxes):
        return check_volume_boxes(manifest, golden, network)
    raise InvalidAlgorithm(f"{GOLDEN_NAME} of {manifest.title} is one of another task; remove it.")
