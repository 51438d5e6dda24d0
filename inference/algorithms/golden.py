"""The golden pair of an algorithm: inputs, and the outputs that the original framework made of them.

``golden.npz`` beside the model holds arrays and nothing else. Which ones, and how they are compared, the file of each
kind of pair says: ``golden_images``, ``golden_volume``, ``golden_image_boxes``, ``golden_volume_boxes``.
"""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields
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


def read_golden(folder: Path) -> AnyGolden | None:
    """The pair of an algorithm folder, or ``None`` if it has none; nothing is ever unpickled.

    Raises:
        InvalidAlgorithm: the file is not what ``write_golden`` writes.
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
        golden = _pair(found)
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, TypeError, KeyError, EOFError, NotImplementedError):
        raise InvalidAlgorithm(f"{path} holds no golden pair; restore it or export the algorithm again.") from None
    if golden is None:
        raise InvalidAlgorithm(f"{path} holds arrays that do not belong together; export the algorithm again.")
    return golden


def _pair(found: Mapping[str, NDArray[np.float32]]) -> AnyGolden | None:
    if "volume" in found:
        return volume_boxes_pair(found) if "boxes" in found else volume_pair(found)
    return image_boxes_pair(found) if "boxes" in found else images_pair(found)


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
