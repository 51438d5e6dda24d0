"""The algorithm folder of a published network: converted, described, verified, then put in its place."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from importlib.resources import files as resources
from pathlib import Path
from string import Template

from inference.algorithms.engine import Engine
from inference.algorithms.folder import CARD_NAME, VerifiedAlgorithm, verify
from inference.algorithms.golden import check_golden, read_golden
from inference.algorithms.manifest import MANIFEST_NAME
from inference.settings import WorkerSettings
from training.errors import InvalidRun
from training.published.confined import MODEL_NAME, RECORD_NAME, convert_confined

DESCRIPTIONS = resources("training.published") / "descriptions"


def write_published(
    name: str, checkpoint: Sequence[Path], source: Mapping[str, str], folder: Path
) -> VerifiedAlgorithm:
    """Write the folder beside its final place, verify it there, then rename.

    ``source`` is what the card says of the package: ``package``, ``version``, ``file``, ``sha256`` and ``licence``.

    Raises:
        UntrustedCheckpoint, ExportDiffers, ConversionFailed: as the conversion.
        InvalidRun: something else stands in the folder.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MANIFEST_NAME).is_file():
        raise InvalidRun(f"{folder} is not empty and holds no algorithm; give another folder.")
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        convert_confined(name, checkpoint, partial)
        verified = _described(name, source, partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return verified


def _described(name: str, source: Mapping[str, str], folder: Path) -> VerifiedAlgorithm:
    record = folder / RECORD_NAME
    difference = json.loads(record.read_text())["difference"]
    record.unlink()
    digest = hashlib.sha256((folder / MODEL_NAME).read_bytes()).hexdigest()
    words = {**source, "model_sha256": digest, "difference": f"{difference:.1g}"}
    for description, target in ((f"{name}.yaml", MANIFEST_NAME), (f"{name}.md", CARD_NAME)):
        text = Template((DESCRIPTIONS / description).read_text(encoding="utf-8")).substitute(words)
        (folder / target).write_text(text, encoding="utf-8")
    verified = verify(folder)
    golden = read_golden(folder)
    if golden is not None:
        check_golden(verified, golden, Engine(verified, WorkerSettings(device="cpu")))
    return verified
