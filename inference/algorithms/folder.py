"""An algorithm folder, checked before anything in it is run."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.identity import AlgorithmIdentity
from inference.algorithms.manifest import Manifest, read_manifest
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.errors import InvalidAlgorithm

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

CARD_NAME = "card.md"
_VOLUMES = ("batch", "channel", "three", "spatial", "axes")
_IMAGES = ("batch", "1", "rows", "columns")
_SCORES = ("batch", "classes")
_MAPS = ("batch", "classes", "rows", "columns")
_SIZE_LIMIT = 2**31 - 1  # of one protobuf message
_KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})


@dataclass(frozen=True, slots=True)
class VerifiedAlgorithm:
    """An algorithm whose bytes were checked; the session is built from ``model_bytes``, never from the file again."""

    manifest: Manifest
    manifest_sha256: str
    artifact_sha256: str
    model_bytes: bytes

    @property
    def identity(self) -> AlgorithmIdentity:
        """Who makes the findings."""
        return self.manifest.algorithm_identity(self.manifest_sha256)


def verify(folder: Path) -> VerifiedAlgorithm:
    """Check that a folder holds a complete and consistent algorithm, reading each file once.

    The artifact's digest is the manifest's, ``onnx.checker`` passes, the file is self-contained and its input
    and output are those the manifest names.

    Raises:
        InvalidAlgorithm: it is not; the message says what to mend.
    """
    read = read_manifest(folder)
    if not (folder / CARD_NAME).is_file():
        raise InvalidAlgorithm(f"{folder} has no {CARD_NAME}; add a model card.")
    model_bytes = _artifact_bytes(folder / read.manifest.artifact.file)
    digest = hashlib.sha256(model_bytes).hexdigest()
    if digest != read.manifest.artifact.sha256:
        raise InvalidAlgorithm(
            f"{read.manifest.artifact.file} in {folder} is not the file that its manifest describes "
            f"(SHA-256 {digest}); restore it or correct artifact.sha256."
        )
    _check_network(model_bytes, read.manifest)
    return VerifiedAlgorithm(read.manifest, read.sha256, digest, model_bytes)


def _artifact_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise InvalidAlgorithm(f"{path} is not a regular file; put the model's file there.")
        if path.stat().st_size > _SIZE_LIMIT:
            raise InvalidAlgorithm(f"{path} is larger than an ONNX file can be; export a smaller network.")
        return path.read_bytes()
    except OSError as error:
        raise InvalidAlgorithm(f"{path} cannot be read ({error.strerror}); restore it.") from None


def _check_network(model_bytes: bytes, manifest: Manifest) -> None:
    # Imported here: `overread listen` shares the command line and must stay light.
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    name = manifest.artifact.file
    try:
        model = onnx.load_model_from_string(model_bytes)
    except DecodeError:
        raise InvalidAlgorithm(f"{name} is not an ONNX file; export it again.") from None
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)):
        raise InvalidAlgorithm(f"{name} keeps weights in other files; export it as one self-contained file.")
    foreign = {entry.domain for entry in model.opset_import} - _KNOWN_DOMAINS
    if foreign:
        raise InvalidAlgorithm(f"{name} uses operators outside the ONNX standard; export it without them.")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        raise InvalidAlgorithm(f"{name} does not pass onnx.checker; export it again.") from None
    _check_ends(model.graph, manifest)


def _tensors(model: "ModelProto") -> Iterator["TensorProto"]:
    """Every tensor anywhere in the file, also inside nested graphs and functions."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes.extend(graph.node)
            continue
        for attribute in nodes.pop().attribute:
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs.extend(attribute.graphs)
            if attribute.HasField("g"):
                graphs.append(attribute.g)


def _check_ends(graph: "GraphProto", manifest: Manifest) -> None:
    """Compare the network's ends with the manifest: names, element type, rank and fixed extents."""
    if isinstance(manifest, ClassificationManifest):
        _check_classifier(graph, manifest)
    else:
        _check_segmenter(graph, manifest)


def _check_segmenter(graph: "GraphProto", manifest: SegmentationManifest) -> None:
    run = manifest.inference
    (entry, result) = _ends(graph, run.input, {run.output: "output"})
    spatial = run.window or manifest.preprocessing.target_size or manifest.preprocessing.field or (0, 0, 0)
    _check_input(_extents(entry, _VOLUMES), spatial, "window, target_size or field")
    given = _extents(result, _VOLUMES)
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
    extents = _extents(entry, _IMAGES)
    _check_input(extents, manifest.image.size, "image.size")
    if extents[0] and not extents[0] == run.batch == 1:
        raise InvalidAlgorithm("The network's batch is fixed; export it with an open batch, or set inference.batch 1.")
    last = max(one.index for one in manifest.outputs.classes)
    for classes in (_extents(scores, _SCORES)[1], *(_extents(one, _MAPS)[1] for one in maps)):
        if classes and classes <= last:
            raise InvalidAlgorithm("A class names a position that the network's output does not have.")


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


def _check_input(extents: list[int], wanted: tuple[int, ...], key: str) -> None:
    if extents[1] not in (0, 1):
        raise InvalidAlgorithm("The network takes more than one channel; this release gives it one.")
    if any(fixed not in (0, size) for fixed, size in zip(extents[2:], wanted, strict=True)):
        raise InvalidAlgorithm(f"The network's fixed input size is not the manifest's {key}.")


def _extents(end: "ValueInfoProto", axes: tuple[str, ...]) -> list[int]:
    """The fixed extents of one end that has these axes; 0 where it is left open."""
    tensor = end.type.tensor_type
    if tensor.elem_type != 1 or len(tensor.shape.dim) != len(axes):  # TensorProto.FLOAT
        raise InvalidAlgorithm(
            f"{end.name!r} is not a float32 tensor of ({', '.join(axes)}); export the network that way."
        )
    return [dimension.dim_value for dimension in tensor.shape.dim]
