"""One small study on disk, and requests to run networks on it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from inference.algorithms.folder import verify
from inference.evidence.build import DEFAULT_FORMS
from inference.evidence.result_uids import USUAL_NAMING
from inference.model_child.messages import Analysis
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.study import StableStudy
from tests.peers.synthetic_series import kept, slice_headers, with_pixels
from tests.peers.tiny_algorithm import write_tiny_algorithm

VALUES = np.zeros((6, 5, 4))
VALUES[2:4, 1:3, 1:3] = 1000


@dataclass
class ChildStudy:
    """Six slices with eight bright voxels in ``folder``."""

    folder: Path

    def __post_init__(self) -> None:
        instances = tuple(kept(with_pixels(slice_headers(), VALUES), self.folder))
        self.study = StableStudy(
            instances[0].header.study_instance_uid, 1, "P1", "", datetime(2026, 1, 1, tzinfo=UTC), instances
        )
        self.series_instance_uid = instances[0].header.series_instance_uid

    def request(self, network: bytes | None = None, name: str = "tiny") -> Analysis:
        """Run this network, by default the one that marks bright voxels, from the folder of this name."""
        folder = write_tiny_algorithm(self.folder / name, network)
        verified = verify(folder)
        registered = RegisteredAlgorithm(
            name, "1.0", AlgorithmStage.ACTIVE, folder, verified.manifest_sha256, verified.artifact_sha256
        )
        return Analysis(
            self.study, registered, datetime(2026, 1, 2, tzinfo=UTC), b"s" * 32, DEFAULT_FORMS, USUAL_NAMING
        )
