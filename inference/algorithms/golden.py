"""The golden pair of an algorithm: inputs, and the outputs that the original framework made of them.

``golden.npz`` beside the model holds arrays and nothing else.

Of a classification they are ``images`` (image, row, column) as decoded, ``prepared`` as the network takes them,
``probabilities`` (image, class) and, where the network gives them, ``maps``.

Of a segmentation they are ``volume`` (three axes), as it stands after preprocessing, and ``output`` (channel, three
axes): the probabilities of that volume, windows blended and activation done.

Of a detection in volumes they are ``volume`` (three axes), as it stands after preprocessing, and the boxes that remain
of it: ``boxes`` (box, 6), low edges along the three axes, then high edges, in voxels of ``volume``, ``scores`` (box)
and ``labels`` (box), the numbers of their classes.

Of a detection they are ``images`` and ``prepared`` as of a classification, ``counts`` (image), how many boxes each of
the images has, and the boxes of all images in their order: ``boxes`` (box, 4), left, top, right, bottom in pixels of
the network's input, ``scores`` (box) and ``labels`` (box), the numbers of their classes.
"""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.box_windows import detect_volume
from inference.algorithms.checked_boxes import ImageBoxes, checked_boxes, reached
from inference.algorithms.classification_manifest import ClassificationManifest, ImagePreprocessing
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.engine import Classifier, Detector, Predictor
from inference.algorithms.folder import GOLDEN_NAME, VerifiedAlgorithm
from inference.algorithms.golden_boxes import BOX_TOLERANCES, likeness
from inference.algorithms.segmentation_manifest import Segment, SegmentationManifest
from inference.algorithms.sliding_window import predict_volume
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.errors import InvalidAlgorithm, InvalidOutput
from inference.imaging.plane import network_input, prepare_plane

TOLERANCE = 1e-3  # of prepared images, in 0 to 1; other processors round differently

# By the manifest's precision: the largest difference of a probability that may be, and the least Dice of a segment.
# One voxel on a steep border may differ by more than the rounding, so volumes are judged by both.
SCORE_TOLERANCES = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2, "int8": 5e-2}
VOXEL_TOLERANCES = {"float32": (0.02, 0.999), "float16": (0.1, 0.995), "bfloat16": (0.2, 0.99), "int8": (0.3, 0.98)}

_SIZE_LIMIT = 512 * 2**20  # bytes of all arrays


@dataclass(frozen=True, eq=False)
class Golden:
    """The pair of a classification as it stands in the file."""

    images: NDArray[np.float32]
    prepared: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    maps: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class GoldenVolume:
    """The pair of a segmentation as it stands in the file."""

    volume: NDArray[np.float32]
    output: NDArray[np.float32]


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


AnyGolden = Golden | GoldenVolume | GoldenBoxes | GoldenVolumeBoxes


@dataclass(frozen=True, slots=True)
class Parity:
    """How near this machine comes to the original.

    That is the largest difference; of segmentations also the smallest Dice, and of detections the smallest overlap of
    a box with its like.
    """

    largest: float
    dice: float | None = None
    overlap: float | None = None

    def __str__(self) -> str:
        dice = "" if self.dice is None else f", Dice {self.dice:.4f}"
        overlap = "" if self.overlap is None else f", smallest overlap of boxes {self.overlap:.4f}"
        return f"largest difference {self.largest:.1g}{dice}{overlap}"


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
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _SIZE_LIMIT:
                raise InvalidAlgorithm(f"{path} holds more than {_SIZE_LIMIT} bytes; export the algorithm again.")
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name], np.float32) for name in arrays.files}
        golden = _pair(found)
    except (OSError, zipfile.BadZipFile, zlib.error, ValueError, TypeError, KeyError, EOFError, NotImplementedError):
        raise InvalidAlgorithm(f"{path} holds no golden pair; restore it or export the algorithm again.") from None
    if golden is None:
        raise InvalidAlgorithm(f"{path} holds arrays that do not belong together; export the algorithm again.")
    return golden


def _pair(found: Mapping[str, NDArray[np.float32]]) -> AnyGolden | None:
    if "volume" in found:
        return _volume_boxes(found) if "boxes" in found else _volume(found)
    return _boxes(found) if "boxes" in found else _images(found)


def _images(found: Mapping[str, NDArray[np.float32]]) -> Golden | None:
    images, prepared, probabilities = found["images"], found["prepared"], found["probabilities"]
    if images.ndim != 3 or prepared.ndim != 3 or not len(images) == len(prepared) == len(probabilities) > 0:
        return None
    return Golden(images, prepared, probabilities, found.get("maps"))


def _volume(found: Mapping[str, NDArray[np.float32]]) -> GoldenVolume | None:
    volume, output = found["volume"], found["output"]
    if volume.ndim != 3 or output.ndim != 4 or output.shape[1:] != volume.shape or output.size == 0:
        return None
    return GoldenVolume(volume, output)


def _volume_boxes(found: Mapping[str, NDArray[np.float32]]) -> GoldenVolumeBoxes | None:
    golden = GoldenVolumeBoxes(*(found[name] for name in ("volume", "boxes", "scores", "labels")))
    if golden.volume.ndim != 3 or golden.volume.size == 0:
        return None
    try:
        golden.checked()
    except InvalidOutput:
        return None
    return golden


def _boxes(found: Mapping[str, NDArray[np.float32]]) -> GoldenBoxes | None:
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


class Network(Predictor, Classifier, Detector, Protocol):
    """What a pair is run through; which of the calls is right, the manifest's task says."""


def check_golden(algorithm: VerifiedAlgorithm, golden: AnyGolden, network: Network) -> Parity:
    """Run the pair and return how near the outputs are; images are prepared as in serving.

    Raises:
        InvalidAlgorithm: preprocessing or network gives something else than when the algorithm was exported.
    """
    manifest = algorithm.manifest
    if isinstance(manifest, ClassificationManifest) and isinstance(golden, Golden):
        return _check_images(manifest, golden, network)
    if isinstance(manifest, SegmentationManifest) and isinstance(golden, GoldenVolume):
        return _check_volume(manifest, golden, network)
    if isinstance(manifest, DetectionManifest) and isinstance(golden, GoldenBoxes):
        return _check_boxes(manifest, golden, network)
    if isinstance(manifest, VolumeDetectionManifest) and isinstance(golden, GoldenVolumeBoxes):
        return _check_volume_boxes(manifest, golden, network)
    raise InvalidAlgorithm(f"{GOLDEN_NAME} of {manifest.title} is one of another task; remove it.")


def _check_images(manifest: ClassificationManifest, golden: Golden, classifier: Classifier) -> Parity:
    prepared, preparing = _prepared(manifest.title, manifest.image, golden)
    scores = classifier.score(network_input(prepared, manifest.image))
    predicting = _largest(scores.probabilities, golden.probabilities)
    if golden.maps is not None and scores.maps is not None:
        scale = max(1.0, float(np.abs(golden.maps).max()))
        predicting = max(predicting, _largest(scores.maps, golden.maps) / scale)
    if not predicting <= SCORE_TOLERANCES[manifest.inference.precision]:
        raise _other_outputs(manifest.title, Parity(predicting))
    return Parity(max(preparing, predicting))


def _check_boxes(manifest: DetectionManifest, golden: GoldenBoxes, detector: Detector) -> Parity:
    expected = golden.of_each_image()
    _require_something_found(manifest, expected)
    prepared, preparing = _prepared(manifest.title, manifest.image, golden)
    found = [detector.detect(network_input(plane[np.newaxis], manifest.image)) for plane in prepared]
    parity = _alike(manifest, found, expected)
    return Parity(max(preparing, parity.largest), overlap=parity.overlap)


def _check_volume_boxes(manifest: VolumeDetectionManifest, golden: GoldenVolumeBoxes, detector: Detector) -> Parity:
    expected = [golden.checked()]
    _require_something_found(manifest, expected)
    return _alike(manifest, [detect_volume(detector, golden.volume, manifest)], expected)


def _require_something_found(
    manifest: DetectionManifest | VolumeDetectionManifest, expected: Sequence[ImageBoxes]
) -> None:
    if not any(reached(one, _thresholds(manifest)).any() for one in expected):
        raise InvalidAlgorithm(
            f"{GOLDEN_NAME} of {manifest.title} has no box that reaches the threshold of its class, so it compares "
            "nothing; export it with images on which something is found."
        )


def _alike(
    manifest: DetectionManifest | VolumeDetectionManifest, found: Sequence[ImageBoxes], expected: Sequence[ImageBoxes]
) -> Parity:
    alike = [likeness(one, other, _thresholds(manifest)) for one, other in zip(found, expected, strict=True)]
    parity = Parity(max(one.score for one in alike), overlap=min(one.overlap for one in alike))
    precision = manifest.inference.precision
    if not (parity.largest <= SCORE_TOLERANCES[precision] and (parity.overlap or 0) >= BOX_TOLERANCES[precision]):
        raise _other_outputs(manifest.title, parity)
    return parity


def _thresholds(manifest: DetectionManifest | VolumeDetectionManifest) -> dict[int, float]:
    return {one.index: one.threshold for one in manifest.outputs.classes}


def _prepared(title: str, image: ImagePreprocessing, golden: Golden | GoldenBoxes) -> tuple[NDArray[np.float32], float]:
    """The images as this machine prepares them, and by how much at most they differ from the pair's."""
    prepared = np.stack([prepare_plane(one, image) for one in golden.images])
    preparing = _largest(prepared, golden.prepared)
    if not preparing <= TOLERANCE:
        raise InvalidAlgorithm(
            f"Preprocessing on this machine gives other images than when {title} was exported "
            f"(difference {preparing:.2g}); install the release it was exported with, or export it again."
        )
    return prepared, preparing


def _check_volume(manifest: SegmentationManifest, golden: GoldenVolume, predictor: Predictor) -> Parity:
    if len(golden.output) <= max(segment.channel for segment in manifest.outputs.segments):
        raise InvalidAlgorithm(f"{GOLDEN_NAME} of {manifest.title} lacks the channel of a segment; export it again.")
    predicted = predict_volume(predictor, golden.volume, manifest.inference)
    most, least = VOXEL_TOLERANCES[manifest.inference.precision]
    largest = _largest(predicted, golden.output)
    parity = Parity(largest, min(_dice(predicted, golden.output, one) for one in manifest.outputs.segments))
    if not (largest <= most and parity.dice is not None and parity.dice >= least):
        raise _other_outputs(manifest.title, parity)
    return parity


def _other_outputs(title: str, parity: Parity) -> InvalidAlgorithm:
    return InvalidAlgorithm(
        f"The network of {title} gives other outputs on this machine than when it was exported ({parity}); "
        "do not use it here."
    )


def _largest(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.abs(one - other).max()) if one.shape == other.shape else float("inf")


def _dice(one: NDArray[np.float32], other: NDArray[np.float32], segment: Segment) -> float:
    """The overlap of what is above the segment's threshold in both; 1 where neither has anything."""
    if one.shape != other.shape:
        return 0.0
    first, second = (values[segment.channel] >= segment.threshold for values in (one, other))
    voxels = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / voxels if voxels else 1.0
