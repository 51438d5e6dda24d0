"""A network at an inference server of the site, reached by the KServe v2 protocol over HTTP.

Which bytes the server runs cannot be seen from here. What is required instead, before anything is concluded and in
this order: the server declares the SHA-256 of the network in its configuration, and it answers a probe as the worker's
own copy of the bytes does. Every later answer must come from the same version, and the declaration is asked for again
before every request. A server that lies about its digest and answers the probe alike is believed.
"""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.folder import VerifiedAlgorithm
from inference.algorithms.kserve_connection import Connection
from inference.algorithms.kserve_tensors import BINARY, Answer, decode, encode
from inference.algorithms.runner import Runner
from inference.algorithms.session import Placement, Session
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.errors import ArtifactUnavailable, DeviceUnavailable
from inference.settings import WorkerSettings

Array = NDArray[Any]

# By the manifest's precision, relative to the largest value: servers may use TensorFloat-32 where we do not.
PROBE_TOLERANCES = {"float32": 0.01, "float16": 0.05, "bfloat16": 0.1, "int8": 0.2}
DIGEST_KEY = "artifact_sha256"
_OPEN_EXTENT = 32  # of a probe along an axis that neither network nor manifest fixes
_MOST_LETTERS = 64


def remote_models(algorithm: VerifiedAlgorithm, settings: WorkerSettings) -> list[Runner]:
    """Every network of an algorithm at the server, each made sure of; raises as ``RemoteModel.identify`` does."""
    manifest = algorithm.manifest
    if isinstance(manifest, DetectionManifest | VolumeDetectionManifest):
        raise DeviceUnavailable(
            f"{manifest.title} finds boxes, which no server is asked for; set [worker] device = auto."
        )
    run = manifest.inference
    outputs = [run.output]
    if isinstance(manifest, ClassificationManifest):
        spatial: tuple[int, ...] = manifest.image.size
        outputs += [manifest.inference.saliency_output] if manifest.inference.saliency_output else []
    else:
        prepared = manifest.preprocessing
        spatial = manifest.inference.window or prepared.target_size or prepared.field or ()
    name = settings.remote_model.format(name=manifest.identity.name, version=manifest.identity.version)
    models: list[Runner] = []
    for number, (member, network) in enumerate(zip(manifest.artifact.all(), algorithm.networks, strict=True), 1):
        called = name if number == 1 else f"{name}-{number}"
        model = RemoteModel(settings, called, network, member.sha256, run.precision)
        model.identify(run.input, outputs, spatial, manifest.title)
        models.append(model)
    return models


class RemoteModel:
    """One network of an algorithm as a server has it; ``provider`` names the server, the model and its version."""

    def __init__(self, settings: WorkerSettings, model: str, network: bytes, sha256: str, precision: str) -> None:
        self._connection = Connection(settings)
        self._model, self._sha256, self._precision = model, sha256, precision
        version = settings.remote_model_version
        self._path = f"/v2/models/{quote(model, safe='')}" + (f"/versions/{quote(version, safe='')}" if version else "")
        self._network = network
        self.outdated = False
        self.provider = ""
        self._version: str | None = None
        self._datatype, self._binary = "FP32", False

    def identify(self, entry: str, outputs: Sequence[str], spatial: tuple[int, ...], title: str) -> None:
        """Make sure that the server runs the network it is asked for; ``spatial`` is what the manifest fixes.

        Raises:
            DeviceUnavailable: the server cannot be reached, or has no such model.
            ArtifactUnavailable: it serves something else, or does not say what.
            PredictionFailed: it does not answer as the protocol says.
        """
        server = self._connection.ask("/v2")
        metadata = self._connection.ask(self._path)
        if server is None or metadata is None:
            raise DeviceUnavailable(
                f"The inference server at {self._connection.place} has no model {self._model}; load it there, or "
                "correct remote_model."
            )
        extensions = server.get("extensions")
        self._binary = isinstance(extensions, list) and BINARY in extensions
        self._datatype = _datatype(metadata, entry)
        self._require_digest()
        own = Session(self._network, Placement("cpu", 0), title)
        probe = _probe(own.extents, spatial)
        answer = self._asked(entry, probe, outputs)
        self._compare(own.run(entry, probe, outputs), [answer.outputs[name] for name in outputs])
        self._version = answer.version
        software = f"{_plain(server.get('name'))} {_plain(server.get('version'))}".strip() or "unstated"
        version = _plain(answer.version) or "unstated"
        where = f"KServe v2 at {self._connection.place}"
        self.provider = f"{where}, model {self._model} version {version}, server {software}"
        self._network = b""

    def run(self, entry: str, batch: Array, outputs: Sequence[str]) -> list[Array]:
        """The outputs of these names for a batch.

        Raises:
            DeviceUnavailable: the server cannot be reached, or is too slow.
            ArtifactUnavailable: it has begun to serve something else.
            PredictionFailed: it rejects the batch, or does not answer as the protocol says.
        """
        self._require_digest()
        answer = self._asked(entry, batch, outputs)
        if answer.version != self._version:
            self.outdated = True
            raise ArtifactUnavailable(
                f"The inference server at {self._connection.place} has another version of {self._model} than when it "
                "was identified; it is identified again for the next attempt."
            )
        return [answer.outputs[name] for name in outputs]

    def _asked(self, entry: str, batch: Array, outputs: Sequence[str]) -> Answer:
        request = encode(entry, self._datatype, batch, outputs, binary=self._binary)
        reply = self._connection.post(f"{self._path}/infer", request)
        answer = decode(reply.body, reply.header_length, outputs)
        if answer.model != self._model:
            raise ArtifactUnavailable(
                f"The inference server at {self._connection.place} answered for another model than {self._model}; look "
                "at what stands before it."
            )
        return answer

    def _require_digest(self) -> None:
        declared = _declared(self._connection.ask(f"{self._path}/config")) or _declared(
            self._connection.ask(self._path)
        )
        if declared == self._sha256:
            return
        self.outdated = True
        found = "does not say which bytes it serves" if declared is None else "serves other bytes"
        raise ArtifactUnavailable(
            f"The inference server at {self._connection.place} {found} as {self._model}; load the network with SHA-256 "
            f"{self._sha256} there, and put that number into the parameter {DIGEST_KEY} of its configuration."
        )

    def _compare(self, ours: list[Array], theirs: list[Array]) -> None:
        for own, other in zip(ours, theirs, strict=True):
            limit = PROBE_TOLERANCES[self._precision] * max(1.0, float(np.abs(own).max(initial=0)))
            if own.shape != other.shape or not float(np.abs(own - other).max(initial=0)) <= limit:
                raise ArtifactUnavailable(
                    f"{self._model} at the inference server {self._connection.place} answers a probe otherwise than "
                    "the network that was added; load the right one there."
                )


def _declared(configuration: dict[str, Any] | None) -> str | None:
    """The digest in Triton's model configuration, or in the metadata of servers that have none."""
    for section in ("parameters", "properties"):
        named = (configuration or {}).get(section)
        value = named.get(DIGEST_KEY) if isinstance(named, dict) else None
        if isinstance(value, dict):
            value = value.get("string_value")
        if isinstance(value, str):
            return value.lower()
    return None


def _datatype(metadata: dict[str, Any], entry: str) -> str:
    inputs = metadata.get("inputs")
    for one in inputs if isinstance(inputs, list) else ():
        if isinstance(one, dict) and one.get("name") == entry and one.get("datatype") in ("FP32", "FP16"):
            return str(one["datatype"])
    return "FP32"


def _probe(extents: Sequence[int], spatial: tuple[int, ...]) -> Array:
    """One input that is the same everywhere: waves between 0 and 1, of the network's extents or the manifest's."""
    fixed = (1, 1, *(spatial or (0,) * (len(extents) - 2)))
    shape = [mine or given or _OPEN_EXTENT for mine, given in zip(extents, fixed, strict=True)]
    steps = np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)
    return (0.5 + 0.25 * np.cos(0.7 * steps) + 0.25 * np.sin(0.013 * steps)).astype(np.float32)


def _plain(told: object) -> str:
    """A word of the server that may stand in a result: printable ASCII, not long."""
    return re.sub(r"[^ -~]", "?", str(told or ""))[:_MOST_LETTERS]
