"""Whether a network's output is as large for one image as for the next, where its operators leave that open."""

from typing import TYPE_CHECKING

import numpy as np

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.engine import Engine
from inference.algorithms.folder import VerifiedAlgorithm
from inference.algorithms.graph_walk import nodes_of
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.errors import InvalidAlgorithm, PredictionFailed, VaryingOutput

if TYPE_CHECKING:
    from onnx import ModelProto

_BY_VALUES = frozenset({"NonZero", "Compress", "Unique", "NonMaxSuppression"})  # the size of what they give
_USUAL = (64, 64, 64)  # where the manifest leaves the size of a volume open


def refuse_varying_output(algorithm: VerifiedAlgorithm, engine: Engine) -> None:
    """Run a network of such operators on inputs of one size and different values; boxes are as many as there are.

    Raises:
        InvalidAlgorithm: what it gives is not of one size.
    """
    extents = _extents(algorithm)
    if extents is None or not any(map(_sizes_by_values, algorithm.networks)):
        return
    noise = np.random.default_rng(1).normal(size=extents).astype(np.float32)
    try:
        sizes = {tuple(engine.sizes(batch)) for batch in (noise, np.zeros_like(noise), np.ones_like(noise))}
    except PredictionFailed:
        return  # it does not take such an input, which says nothing of others
    except VaryingOutput:
        sizes = set()
    if len(sizes) != 1:
        raise InvalidAlgorithm(
            f"The output of {algorithm.manifest.title} has another size for other values of an input of the same size; "
            "export a network whose output is as large as its input."
        )


def _extents(algorithm: VerifiedAlgorithm) -> tuple[int, ...] | None:
    """Those of an input of one image or window; ``None`` where the output is boxes."""
    manifest = algorithm.manifest
    if isinstance(manifest, ClassificationManifest):
        channels = manifest.image.channels
        return (1, len(channels.mean) if channels else 1, *manifest.image.size)
    if isinstance(manifest, SegmentationManifest):
        prepared = manifest.preprocessing
        return (1, 1, *(manifest.inference.window or prepared.target_size or prepared.field or _USUAL))
    return None


def _sizes_by_values(network: bytes) -> bool:
    import onnx

    model: ModelProto = onnx.load_model_from_string(network)
    return any(node.op_type in _BY_VALUES for node in nodes_of(model))
