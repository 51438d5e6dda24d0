"""The algorithm folder: network, golden pair, manifest and card, verified as `overread algorithms add` will."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from inference.algorithms.classification_manifest import (
    ClassificationManifest,
    ClassOutputs,
    FindingClass,
    ImageInference,
)
from inference.algorithms.engine import Engine
from inference.algorithms.folder import CARD_NAME, VerifiedAlgorithm, verify
from inference.algorithms.golden import check_golden, write_golden
from inference.algorithms.manifest import MANIFEST_NAME
from inference.algorithms.manifest_parts import Artifact
from inference.settings import WorkerSettings
from training.evaluation.record import Evaluation
from training.export.card import card_text
from training.export.golden_images import golden_pair
from training.export.onnx_file import EVIDENCE, INPUT, PROBABILITY, checked_parity, onnx_bytes
from training.free_place import require_free_place
from training.learning.run_folder import Run

_MODEL_NAME = "model.onnx"
_PARITY_IMAGES = 256  # of the test split


def write_algorithm(
    run: Run, evaluation: Evaluation, test_planes: NDArray[np.float32], folder: Path
) -> VerifiedAlgorithm:
    """Write the folder beside its final place, verify it there, then rename.

    Raises:
        ExportDiffers: the exported network is not the trained one.
        InvalidRun: something else stands in the folder.
    """
    require_free_place(folder)
    size = run.settings.image.size
    model = onnx_bytes(run.network, size)
    parity = checked_parity(run.network, model, test_planes[:_PARITY_IMAGES])
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    digest = hashlib.sha256(model).hexdigest()
    (partial / _MODEL_NAME).write_bytes(model)
    manifest = _manifest(run, evaluation, digest)
    (partial / MANIFEST_NAME).write_text(_yaml(manifest), encoding="utf-8")
    compared = min(_PARITY_IMAGES, len(test_planes))
    (partial / CARD_NAME).write_text(card_text(run, evaluation, parity, compared, digest), encoding="utf-8")
    golden = golden_pair(run.network, run.settings.image)
    write_golden(partial, golden)
    verified = verify(partial)
    check_golden(verified, golden, Engine(verified, WorkerSettings(device="cpu")))
    partial.rename(folder)  # takes the place of an empty folder only
    return verified


def _manifest(run: Run, evaluation: Evaluation, digest: str) -> ClassificationManifest:
    about = run.settings.algorithm
    positive = FindingClass(
        index=0,
        label=about.finding.label,
        finding=about.finding.finding,
        site=about.finding.site,
        threshold=evaluation.threshold,
        threshold_origin=evaluation.threshold_rule,
        rgb=about.finding.rgb,
    )
    return ClassificationManifest(
        task="classification",
        identity=about.identity,
        artifact=Artifact(file=_MODEL_NAME, sha256=digest),
        input=about.input,
        image=run.settings.image,
        inference=ImageInference(input=INPUT, output=PROBABILITY, saliency_output=EVIDENCE),
        outputs=ClassOutputs(classes=(positive,)),
    )


def _yaml(manifest: ClassificationManifest) -> str:
    document = manifest.model_dump(mode="json", exclude_none=True)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
