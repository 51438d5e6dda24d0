"""An algorithm as storage knows it: a name, a version, digests, a folder and a stage."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class AlgorithmStage(StrEnum):
    """Whether an algorithm is given work."""

    REGISTERED = "registered"  # checked and copied, given no work yet
    ACTIVE = "active"  # given work; at most one version of a name
    RETIRED = "retired"  # given no work any more


@dataclass(frozen=True, slots=True)
class RegisteredAlgorithm:
    """One version of an algorithm, with the digests that were checked when it was added."""

    name: str
    version: str
    stage: AlgorithmStage
    folder: Path
    manifest_sha256: str
    artifact_sha256: str
