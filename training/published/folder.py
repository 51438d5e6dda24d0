"""The algorithm folder of a published network: converted, described, verified, then put in its place."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files as resources
from pathlib import Path
from string import Template

from inference.algorithms.engine import Engine
from inference.algorithms.folder import CARD_NAME, VerifiedAlgorithm, verify
from inference.algorithms.golden import AnyGolden, check_golden, read_golden
from inference.algorithms.golden_volume import GoldenVolume
from inference.algorithms.manifest import MANIFEST_NAME, Manifest, load_manifest
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.settings import WorkerSettings
from training.errors import ConversionFailed
from training.free_place import require_free_place
from training.published.confined import MODEL_NAME, RECORD_NAME, convert_confined

DESCRIPTIONS = resources("training.published") / "descriptions"


def write_published(
    name: str, checkpoint: Sequence[Path], source: Mapping[str, str], folder: Path, work: Path
) -> VerifiedAlgorithm:
    """Write the algorithm in ``work``, a folder on the same disk that the caller removes, verify it, then rename it.

    ``source`` is what the card says of the package: ``package``, ``version``, ``file``, ``sha256`` and ``licence``.

    Raises:
        UntrustedCheckpoint, ExportDiffers, ConversionFailed: as the conversion.
        InvalidRun: something else stands in the folder.
    """
    require_free_place(folder)
    partial = work / "algorithm"
    partial.mkdir()
    convert_confined(name, checkpoint, partial)
    verified = _described(name, source, partial)
    partial.rename(folder)  # takes the place of an empty folder only
    return verified


def _described(name: str, source: Mapping[str, str], folder: Path) -> VerifiedAlgorithm:
    record = folder / RECORD_NAME
    difference = json.loads(record.read_text())["difference"]
    record.unlink()
    digest = hashlib.sha256((folder / MODEL_NAME).read_bytes()).hexdigest()
    words = {**source, "model_sha256": digest, "difference": f"{difference:.1g}"}
    _write(f"{name}.yaml", words, folder / MANIFEST_NAME)
    _write(f"{name}.md", {**words, "intended_use": load_manifest(folder).identity.intended_use}, folder / CARD_NAME)
    verified = verify(folder)
    golden = read_golden(folder)
    if golden is None or not _shows_something(golden, verified.manifest):
        raise ConversionFailed(f"The golden pair of {name} holds nothing to compare; install the pinned versions.")
    check_golden(verified, golden, Engine(verified, WorkerSettings(device="cpu")))
    return verified


def _write(description: str, words: Mapping[str, str], path: Path) -> None:
    text = (DESCRIPTIONS / description).read_text(encoding="utf-8")
    path.write_text(Template(text).substitute(words), encoding="utf-8")


def _shows_something(golden: AnyGolden, manifest: Manifest) -> bool:
    """Whether each segment has voxels in the pair; where there are none, any two outputs agree on them."""
    if not (isinstance(golden, GoldenVolume) and isinstance(manifest, SegmentationManifest)):
        return True
    return all((golden.output[one.channel] >= one.threshold).any() for one in manifest.outputs.segments)
