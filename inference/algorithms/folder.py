"""An algorithm folder, checked before anything in it is run."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.graph_walk import tensors_of
from inference.algorithms.identity import AlgorithmIdentity
from inference.algorithms.manifest import Manifest, read_manifest
from inference.algorithms.manifest_parts import Member
from inference.algorithms.precision import END_TYPES, refuse_lower_precision
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.errors import InvalidAlgorithm
from storage.domain.plain_file import open_plain

if TYPE_CHECKING:
    from onnx import GraphProto, ValueInfoProto

CARD_NAME = "card.md"
GOLDEN_NAME = "golden.npz"
_VOLUMES = ("batch", "channel", "three", "spatial", "axes")
_IMAGES = ("batch", "1", "rows", "columns")
_SCORES = ("batch", "classes")
_BOXES = ("boxes",)
_WHOLE_NUMBERS = frozenset({1, 6, 7})  # TensorProto.FLOAT, INT32 and INT64
_MAPS = ("batch", "classes", "rows", "columns")
_SIZE_LIMIT = 2**31 - 1  # of one protobuf message
_KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})


@dataclass(frozen=True, slots=True)
class VerifiedAlgorithm:
    """An algorithm whose bytes were checked; sessions are built from ``networks``, never from the files again.

    ``artifact_sha256`` covers every network; ``model_bytes`` is the first one, ``further_models`` are the others.
    """

    manifest: Manifest
    manifest_sha256: str
    artifact_sha256: str
    model_bytes: bytes
    further_models: tuple[bytes, ...] = ()

    @property
    def networks(self) -> tuple[bytes, ...]:
        """Every network, in the manifest's order."""
        return (self.model_bytes, *self.further_models)

    @property
    def identity(self) -> AlgorithmIdentity:
        """Who makes the findings."""
        return self.manifest.algorithm_identity(self.manifest_sha256)


def read_folder(folder: Path) -> VerifiedAlgorithm:
    """Read manifest and networks, each file once, and compare the digests, without looking into the networks.

    So it is safe for bytes of strangers, and enough for bytes that were verified before: equal digests, equal bytes.

    Raises:
        InvalidAlgorithm: something is missing, or a digest is not the manifest's; the message says what to mend.
    """
    read = read_manifest(folder)
    if not (folder / CARD_NAME).is_file():
        raise InvalidAlgorithm(f"{folder} has no {CARD_NAME}; add a model card.")
    artifact = read.manifest.artifact
    models = [_described_bytes(folder, member) for member in artifact.all()]
    precision = read.manifest.inference.precision
    if precision != "float32" and not (folder / GOLDEN_NAME).is_file():
        raise InvalidAlgorithm(
            f"{folder} has no {GOLDEN_NAME}; add outputs to compare with, the network may compute in {precision}."
        )
    return VerifiedAlgorithm(read.manifest, read.sha256, artifact.digest, models[0], tuple(models[1:]))


def verify(folder: Path) -> VerifiedAlgorithm:
    """Check that a folder holds a complete and consistent algorithm, reading each file once.

    The artifact's digest is the manifest's, ``onnx.checker`` passes, the file is self-contained and its input
    and output are those the manifest names.

    Raises:
        InvalidAlgorithm: it is not; the message says what to mend.
    """
    algorithm = read_folder(folder)
    for member, network in zip(algorithm.manifest.artifact.all(), algorithm.networks, strict=True):
        _check_network(network, member.file, algorithm.manifest)
    return algorithm


def _described_bytes(folder: Path, member: Member) -> bytes:
    """One network's file, which is the one that the manifest describes."""
    model_bytes = _artifact_bytes(folder / member.file)
    digest = hashlib.sha256(model_bytes).hexdigest()
    if digest != member.sha256:
        raise InvalidAlgorithm(
            f"{member.file} in {folder} is not the file that its manifest describes "
            f"(SHA-256 {digest}); restore it or correct its sha256 in artifact."
        )
    return model_bytes


def _artifact_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise InvalidAlgorithm(f"{path} is not a regular file; put the model's file there.")
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > _SIZE_LIMIT:
                raise InvalidAlgorithm(f"{path} is larger than an ONNX file can be; export a smaller network.")
            return file.read(size)  # room is made for as much as is asked for
    except OSError as error:
        raise InvalidAlgorithm(f"{path} cannot be read ({error.strerror}); restore it.") from None


def _check_network(model_bytes: bytes, name: str, manifest: Manifest) -> None:
    # Imported here: `overread listen` shares the command line and must stay light.
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model_from_string(model_bytes)
    except DecodeError:
        raise InvalidAlgorithm(f"{name} is not an ONNX file; export it again.") from None
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors_of(model)):
        raise InvalidAlgorithm(f"{name} keeps weights in other files; export it as one self-contained file.")
    foreign = {entry.domain for entry in model.opset_import} - _KNOWN_DOMAINS
    if foreign:
        raise InvalidAlgorithm(f"{name} uses operators outside the ONNX standard; export it without them.")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        raise InvalidAlgorithm(f"{name} does not pass onnx.checker; export it again.") from None
    refuse_lower_precision(model, name, manifest.inference.precision)
    _check_ends(model.graph, manifest)


def _check_ends(graph: "GraphProto", manifest: Manifest) -> None:
    """Compare the network's ends with the manifest: names, element type, rank and fixed extents."""
    if isinstance(manifest, ClassificationManifest):
        _check_classifier(graph, manifest)
    elif isinstance(manifest, DetectionManifest | VolumeDetectionManifest):
        _check_detector(graph, manifest)
    else:
        _check_segmenter(graph, manifest)


def _check_segmenter(graph: "GraphProto", manifest: SegmentationManifest) -> None:
    run = manifest.inference
    (entry, result) = _ends(graph, run.input, {run.output: "output"})
    spatial = run.window or manifest.preprocessing.target_size or manifest.preprocessing.field or (0, 0, 0)
    extents = _extents(entry, _VOLUMES, run.precision)
    _check_input(extents, spatial, "window, target_size or field")
    _check_batch(extents[0], run.batch if run.window else 1)
    given = _extents(result, _VOLUMES, run.precision)
    inside = tuple(max(0, size - 2 * gap) for size, gap in zip(spatial, run.output_margin, strict=True))
    if any(fixed and size and fixed != size for fixed, size in zip(given[2:], inside, strict=True)):
        raise InvalidAlgorithm(
            "The network's output is not its input without inference.output_margin at either side; correct the margin."
        )
    channels = given[1]
    if channels and channels <= max(segment.channel for segment in manifest.outputs.segments):
        raise InvalidAlgorithm("A segment names an output channel that the network does not have.")


def _check_classifier(graph: "GraphProto", manifest: ClassificationManifest) -> None:
    run = manifest.inference
    named = {run.output: "output"} | ({run.saliency_output: "saliency_output"} if run.saliency_output else {})
    entry, scores, *maps = _ends(graph, run.input, named)
    extents = _extents(entry, _IMAGES, run.precision)
    channels = manifest.image.channels
    _check_input(extents, manifest.image.size, "image.size", len(channels.mean) if channels else 1)
    _check_batch(extents[0], run.batch)
    last = max(one.index for one in manifest.outputs.classes)
    ends = [(scores, _SCORES), *((one, _MAPS) for one in maps)]
    for classes in (_extents(one, axes, run.precision)[1] for one, axes in ends):
        if classes and classes <= last:
            raise InvalidAlgorithm("A class names a position that the network's output does not have.")
    for one in maps:
        if any(
            size > whole
            for size, whole in zip(_extents(one, _MAPS, run.precision)[2:], manifest.image.size, strict=True)
        ):
            raise InvalidAlgorithm(
                "The network's saliency maps are larger than its input; export them before they are enlarged."
            )


def _check_detector(graph: "GraphProto", manifest: DetectionManifest | VolumeDetectionManifest) -> None:
    run = manifest.inference
    named = {run.boxes: "boxes", run.scores: "scores", run.labels: "labels"}
    entry, boxes, scores, labels = _ends(graph, run.input, named)
    if isinstance(manifest, DetectionManifest):
        extents = _extents(entry, _IMAGES, run.precision)
        channels = manifest.image.channels
        _check_input(extents, manifest.image.size, "image.size", len(channels.mean) if channels else 1)
    else:
        extents = _extents(entry, _VOLUMES, run.precision)
        spatial = manifest.inference.window or manifest.preprocessing.target_size or manifest.preprocessing.field
        _check_input(extents, spatial or (0, 0, 0), "window, target_size or field")
    if extents[0] not in (0, 1):
        raise InvalidAlgorithm("The network's batch is fixed; a detection is run on one image or window at a time.")
    edges = 2 * run.box_axes
    if _extents(boxes, ("boxes", str(edges)), run.precision)[1] not in (0, edges):
        raise InvalidAlgorithm(f"The network's boxes are not (boxes, {edges}); export them as corners in pixels.")
    _extents(scores, _BOXES, run.precision)
    kind = labels.type.tensor_type
    if kind.elem_type not in _WHOLE_NUMBERS or len(kind.shape.dim) != 1:
        raise InvalidAlgorithm("The network's labels are no tensor of (boxes,) with class numbers; export it that way.")


def _ends(graph: "GraphProto", entry: str, outputs: dict[str, str]) -> list["ValueInfoProto"]:
    """The network's input and the outputs that the manifest names, by the manifest's key for each."""
    given = {tensor.name for tensor in graph.initializer}
    inputs = {end.name: end for end in graph.input if end.name not in given}
    results = {end.name: end for end in graph.output}
    if set(inputs) != {entry}:
        raise InvalidAlgorithm(f"The network's inputs are not exactly {entry!r}; correct inference.input.")
    for name, key in outputs.items():
        if name not in results:
            raise InvalidAlgorithm(f"The network has no output {name!r}; correct inference.{key}.")
    return [inputs[entry], *(results[name] for name in outputs)]


def _check_input(extents: list[int], wanted: tuple[int, ...], key: str, channels: int = 1) -> None:
    if extents[1] not in (0, channels):
        raise InvalidAlgorithm(
            f"The network takes {extents[1]} channels, and the manifest gives {channels}; images have image.channels."
        )
    if any(fixed not in (0, size) for fixed, size in zip(extents[2:], wanted, strict=True)):
        raise InvalidAlgorithm(f"The network's fixed input size is not the manifest's {key}.")


def _check_batch(fixed: int, wanted: int) -> None:
    """A fixed batch is 1, for the last batch of a series is smaller than the others."""
    if fixed and not fixed == wanted == 1:
        raise InvalidAlgorithm("The network's batch is fixed; export it with an open batch, or set inference.batch 1.")


def _extents(end: "ValueInfoProto", axes: tuple[str, ...], precision: str) -> list[int]:
    """The fixed extents of one end that has these axes; 0 where it is left open."""
    tensor = end.type.tensor_type
    types = END_TYPES[precision]
    if tensor.elem_type not in types or len(tensor.shape.dim) != len(axes):
        raise InvalidAlgorithm(
            f"{end.name!r} is not a {' or '.join(types.values())} tensor of ({', '.join(axes)}); "
            "export the network that way."
        )
    return [dimension.dim_value for dimension in tensor.shape.dim]
