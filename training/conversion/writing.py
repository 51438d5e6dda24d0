"""The folder of an imported algorithm: network, manifest, card, golden pair, verified before it is put in place."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from pydantic import ValidationError

from inference.algorithms.engine import Engine
from inference.algorithms.folder import CARD_NAME, VerifiedAlgorithm, verify
from inference.algorithms.golden import check_golden, read_golden, write_golden
from inference.algorithms.golden_volume import GoldenVolume
from inference.algorithms.manifest import MANIFEST_NAME, parse_manifest
from inference.algorithms.schema_problem import first_problem
from inference.algorithms.segmentation_manifest import Inference, SegmentationManifest
from inference.settings import WorkerSettings
from training.errors import NotExpressible
from training.free_place import require_free_place

MODEL_NAME = "model.onnx"
_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "none": lambda values: values,
    "sigmoid": torch.sigmoid,
    "softmax": lambda values: torch.softmax(values, dim=1),
}
Predict = Callable[[torch.Tensor], torch.Tensor]


def write_algorithm(
    folder: Path, document: Mapping[str, Any], card: str, model: bytes, predict: Predict, opened: int = 8
) -> VerifiedAlgorithm:
    """Write the folder beside its place, verify it there and compare it with the original, then rename.

    ``document`` is the manifest without its artifact, ``predict`` the original network on (batch, channel, axes);
    ``opened`` is the extent per axis of the golden volume where neither window nor size is given.

    Raises:
        NotExpressible: the manifest is none of ours.
        InvalidAlgorithm: our engine gives other outputs than the original.
        InvalidRun: something else stands in the folder.
    """
    require_free_place(folder)
    manifest = _manifest(document, model)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        (partial / MODEL_NAME).write_bytes(model)
        text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)
        (partial / MANIFEST_NAME).write_text(text, encoding="utf-8")
        (partial / CARD_NAME).write_text(card, encoding="utf-8")
        verified = verify(partial)
        if isinstance(verified.manifest, SegmentationManifest):
            write_golden(partial, _golden(verified.manifest, predict, opened))
            golden = read_golden(partial)
            assert golden is not None  # noqa: S101 - it was just written
            check_golden(verified, golden, Engine(verified, WorkerSettings(device="cpu")))
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    partial.rename(folder)  # takes the place of an empty folder only
    return verified


def _manifest(document: Mapping[str, Any], model: bytes) -> dict[str, Any]:
    artifact = {"file": MODEL_NAME, "sha256": hashlib.sha256(model).hexdigest()}
    whole = {"identity": document.get("identity"), "artifact": artifact} | {
        key: value for key, value in document.items() if key not in ("identity", "artifact")
    }
    try:
        parse_manifest(whole)
    except ValidationError as error:
        problem = first_problem(error, skipped=1)  # the task
        raise NotExpressible(f"The manifest cannot express this algorithm: {problem}.") from None
    return whole


def _golden(manifest: SegmentationManifest, predict: Predict, opened: int) -> GoldenVolume:
    """A smooth volume a little larger than a window, and what the original framework makes of it."""
    run, preprocessing = manifest.inference, manifest.preprocessing
    shape = preprocessing.field or preprocessing.target_size or (opened,) * 3
    if run.window is not None:
        shape = (run.window[0] + max(1, run.window[0] // 4), *run.window[1:])
    volume = _smooth(shape)
    with torch.inference_mode():
        given = torch.from_numpy(volume)[None, None]
        output = _original(given, predict, run)
    return GoldenVolume(volume, output.numpy()[0])


def _original(volume: torch.Tensor, predict: Predict, run: Inference) -> torch.Tensor:
    if run.window is not None:
        output = sliding_window_inference(volume, run.window, run.batch, predict, overlap=run.overlap, mode="gaussian")
    else:
        output = predict(volume)
    assert isinstance(output, torch.Tensor)  # noqa: S101 - these networks give one tensor
    return _ACTIVATIONS[run.activation](output)


def _smooth(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Waves and grain with the spread of scaled intensities, the same each time."""
    grids = np.meshgrid(*(np.linspace(0, 3 * np.pi, size, dtype=np.float32) for size in shape), indexing="ij")
    grain = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    waves: NDArray[np.float32] = np.sin(grids[0]) * np.cos(grids[1]) + np.sin(grids[2])
    return (0.7 * waves + 0.3 * grain).astype(np.float32)
