"""Installing an algorithm: checked, copied where the workers read it, recorded with its digests."""

import shutil
from pathlib import Path

from inference.algorithms.folder import verify
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.ports import AlgorithmCatalog

_DIGEST_LETTERS = 12


def install(folder: Path, data_dir: Path, catalog: AlgorithmCatalog, actor: str) -> RegisteredAlgorithm:
    """Verify an algorithm folder, copy it under ``data_dir`` and make it the active version of its name.

    Installing the same bytes again changes nothing.

    Raises:
        InvalidAlgorithm: the folder is not complete and consistent; nothing was copied or recorded.
    """
    verified = verify(folder)
    identity = verified.manifest.identity
    for known in catalog.all(AlgorithmStage.ACTIVE):
        same = (known.name, known.version, known.manifest_sha256, known.artifact_sha256)
        if same == (identity.name, identity.version, verified.manifest_sha256, verified.artifact_sha256):
            return known
    home = data_dir / "algorithms" / identity.name / f"{identity.version}-{verified.manifest_sha256[:_DIGEST_LETTERS]}"
    _copy(folder, home)
    algorithm = RegisteredAlgorithm(
        name=identity.name,
        version=identity.version,
        stage=AlgorithmStage.ACTIVE,
        folder=home,
        manifest_sha256=verified.manifest_sha256,
        artifact_sha256=verified.artifact_sha256,
    )
    catalog.add(algorithm, actor)
    return algorithm


def _copy(folder: Path, home: Path) -> None:
    """Copy beside the final place and rename, so that a worker never sees half a folder."""
    partial = home.with_name(f"{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, partial)
    shutil.rmtree(home, ignore_errors=True)
    partial.rename(home)
