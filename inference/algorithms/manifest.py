"""The manifest of an algorithm, ``algorithm.yaml``: one typed schema per task, for serving and for training."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Tag, TypeAdapter, ValidationError

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.schema_problem import first_problem
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.errors import InvalidAlgorithm
from storage.domain.plain_file import open_plain

MANIFEST_NAME = "algorithm.yaml"
_SIZE_LIMIT = 256 * 1024

_IN_VOLUMES = "detection in volumes"  # the task is detection; preprocessing in place of image says of what
_TASKS = "task is segmentation, classification or detection"

Manifest = SegmentationManifest | ClassificationManifest | DetectionManifest | VolumeDetectionManifest


def _task(document: Any) -> str:  # noqa: ANN401 - whatever a YAML file may hold
    task = document.get("task", "segmentation") if isinstance(document, dict) else "segmentation"
    if task == "detection" and isinstance(document, dict) and "preprocessing" in document:
        return _IN_VOLUMES
    return task if isinstance(task, str) and task != _IN_VOLUMES else ""


_SCHEMA: TypeAdapter[Manifest] = TypeAdapter(
    Annotated[
        Annotated[SegmentationManifest, Tag("segmentation")]
        | Annotated[ClassificationManifest, Tag("classification")]
        | Annotated[DetectionManifest, Tag("detection")]
        | Annotated[VolumeDetectionManifest, Tag(_IN_VOLUMES)],
        Discriminator(
            _task,
            custom_error_type="unknown_task",
            custom_error_message=_TASKS,
        ),
    ]
)


def parse_manifest(document: object) -> Manifest:
    """The manifest in a parsed document; its ``task`` says of which kind, segmentation where it says none.

    Raises:
        ValidationError: it does not follow the schema of its task.
    """
    return _SCHEMA.validate_python(document)


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """A manifest together with the SHA-256 of the bytes it was read from."""

    manifest: Manifest
    sha256: str


def read_manifest(folder: Path) -> ReadManifest:
    """Read ``algorithm.yaml`` of an algorithm folder once, for its content and its digest.

    Raises:
        InvalidAlgorithm: it is missing, is no YAML, or does not follow the schema.
    """
    # Here: the commands that an installation without models has know the names above.
    from inference.algorithms.yaml_document import KeyTwice, NoYaml, yaml_document

    path = folder / MANIFEST_NAME
    if path.exists() and not path.is_file():
        raise InvalidAlgorithm(f"{path} is not a regular file; put the manifest there.")
    try:
        with open_plain(path) as file:
            content = file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise InvalidAlgorithm(f"{path} cannot be read ({error.strerror}); an algorithm folder needs it.") from None
    if len(content) > _SIZE_LIMIT:
        raise InvalidAlgorithm(f"{path} is larger than {_SIZE_LIMIT} bytes; a manifest holds no data.")
    try:
        document = yaml_document(content)
    except KeyTwice as error:
        raise InvalidAlgorithm(f"{path} has a key twice, again in line {error.line}; keep one of the two.") from None
    except NoYaml:
        raise InvalidAlgorithm(f"{path} is not valid YAML; mend its syntax.") from None
    try:
        manifest = parse_manifest(document)
    except ValidationError as error:
        problem = first_problem(error, skipped=1)  # the task
        raise InvalidAlgorithm(f"{path}: {problem}; see docs/reference/algorithm.schema.json.") from None
    return ReadManifest(manifest, hashlib.sha256(content).hexdigest())


def load_manifest(folder: Path) -> Manifest:
    """The manifest of an algorithm folder; raises as ``read_manifest`` does."""
    return read_manifest(folder).manifest


def json_schema() -> str:
    """The schema of ``algorithm.yaml`` as JSON Schema text; ``docs/reference/algorithm.schema.json`` is this."""
    return json.dumps(_SCHEMA.json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
