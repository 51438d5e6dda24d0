"""Installing an algorithm: checked, copied where the workers read it, recorded with its digests."""

import shutil
from pathlib import Path

from inference.algorithms.folder import CARD_NAME, GOLDEN_NAME, VerifiedAlgorithm, verify
from inference.algorithms.manifest import MANIFEST_NAME
from inference.errors import InvalidAlgorithm
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.ports import AlgorithmCatalog

_DIGEST_LETTERS = 12
_CARD_LIMIT = 2**20


def install(
    folder: Path, data_dir: Path, catalog: AlgorithmCatalog, actor: str, *, hold: bool = False
) -> RegisteredAlgorithm:
    """Verify an algorithm folder, copy it under ``data_dir`` and make it the active version of its name.

    With ``hold`` it is given no work until it is promoted. Installing the same bytes again mends a damaged copy and
    changes nothing else.

    Raises:
        InvalidAlgorithm: the folder is not complete and consistent; nothing was copied or recorded.
    """
    verified = verify(folder)
    identity = verified.manifest.identity
    home = data_dir / "algorithms" / identity.name / f"{identity.version}-{verified.manifest_sha256[:_DIGEST_LETTERS]}"
    algorithm = RegisteredAlgorithm(
        name=identity.name,
        version=identity.version,
        stage=AlgorithmStage.REGISTERED if hold else AlgorithmStage.ACTIVE,
        folder=home,
        manifest_sha256=verified.manifest_sha256,
        artifact_sha256=verified.artifact_sha256,
    )
    if not _is_intact(home, verified):
        _copy(folder, home, verified)
    if algorithm not in catalog.all(AlgorithmStage.ACTIVE):
        catalog.add(algorithm, actor)
    return catalog.find(algorithm.name, algorithm.version)


def _is_intact(home: Path, wanted: VerifiedAlgorithm) -> bool:
    try:
        return verify(home) == wanted
    except InvalidAlgorithm:
        return False


def _copy(folder: Path, home: Path, verified: VerifiedAlgorithm) -> None:
    """Write what was verified and the golden pair, and nothing else of the folder, beside the final place; then rename.

    So a worker never sees half a folder, and a link or device among the files is not followed.

    Raises:
        InvalidAlgorithm: the folder changed meanwhile.
    """
    partial = home.with_name(f"{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / MANIFEST_NAME).write_bytes((folder / MANIFEST_NAME).read_bytes())
    for member, network in zip(verified.manifest.artifact.all(), verified.networks, strict=True):
        (partial / member.file).write_bytes(network)
    (partial / CARD_NAME).write_bytes((folder / CARD_NAME).read_bytes()[:_CARD_LIMIT])
    if (folder / GOLDEN_NAME).is_file():
        (partial / GOLDEN_NAME).write_bytes((folder / GOLDEN_NAME).read_bytes())
    if not _is_intact(partial, verified):
        raise InvalidAlgorithm(f"{folder} changed while it was added; add it again.")
    shutil.rmtree(home, ignore_errors=True)
    partial.rename(home)
