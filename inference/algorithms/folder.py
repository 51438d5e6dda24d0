"""An algorithm folder, checked before anything in it is run."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from inference.algorithms.identity import AlgorithmIdentity
from inference.algorithms.manifest import Manifest, read_manifest
from inference.errors import InvalidAlgorithm

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto

CARD_NAME = "card.md"
_RANK = 5  # batch, channel and three axes
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
    run = manifest.inference
    given = {tensor.name for tensor in graph.initializer}
    inputs = {end.name: end for end in graph.input if end.name not in given}
    outputs = {end.name: end for end in graph.output}
    if set(inputs) != {run.input}:
        raise InvalidAlgorithm(f"The network's inputs are not exactly {run.input!r}; correct inference.input.")
    if run.output not in outputs:
        raise InvalidAlgorithm(f"The network has no output {run.output!r}; correct inference.output.")
    entry, result = _extents(inputs[run.input]), _extents(outputs[run.output])
    spatial = run.window or manifest.preprocessing.target_size
    if entry[1] not in (0, 1):
        raise InvalidAlgorithm("The network takes more than one channel; this release gives it one.")
    for fixed, wanted in zip(entry[2:], spatial or (0, 0, 0), strict=True):
        if fixed and fixed != wanted:
            raise InvalidAlgorithm("The network's fixed input size is not the manifest's window or target_size.")
    if result[1] and result[1] <= max(segment.channel for segment in manifest.outputs.segments):
        raise InvalidAlgorithm("A segment names an output channel that the network does not have.")


def _extents(end: "ValueInfoProto") -> list[int]:
    """The fixed extents of one end; 0 where it is left open."""
    tensor = end.type.tensor_type
    if tensor.elem_type != 1 or len(tensor.shape.dim) != _RANK:  # TensorProto.FLOAT
        raise InvalidAlgorithm(
            f"{end.name!r} is not a float32 tensor of (batch, channel, three axes); export the network that way."
        )
    return [dimension.dim_value for dimension in tensor.shape.dim]
