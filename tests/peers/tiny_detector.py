"""An algorithm folder around a detector that can be computed by hand: it boxes what is bright in 4 x 4 pixels.

The network's input is 0 to 1. It gives a box of 4 x 4 pixels wherever their mean is above 0.3, with the mean as score
and class 0: around a bright square of that size there are several, and the one that fits it has score 1.
"""

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from onnx import TensorProto, helper, numpy_helper

NODULE: dict[str, Any] = {
    "index": 0,
    "label": "Nodule",
    "finding": {"value": "27925004", "scheme": "SCT", "meaning": "Nodule"},
    "site": {"value": "39607008", "scheme": "SCT", "meaning": "Lung"},
    "threshold": 0.5,
    "threshold_origin": "chosen on validation",
    "rgb": [255, 215, 0],
}
MASS: dict[str, Any] = NODULE | {
    "index": 7,
    "label": "Mass",
    "finding": {"value": "4147007", "scheme": "SCT", "meaning": "Mass"},
    "threshold": 0.6,
    "rgb": [60, 160, 255],
}
MANIFEST: dict[str, Any] = {
    "task": "detection",
    "identity": {
        "name": "tiny-detector",
        "version": "1.0",
        "manufacturer": "Tests",
        "licence": "MIT",
        "intended_use": "Boxes what is bright, for tests.",
        "use": "research",
    },
    "artifact": {"file": "model.onnx", "sha256": "0" * 64},
    "input": {"modalities": ["MR", "CT", "DX"]},
    "image": {"size": [32, 32], "intensity": {"method": "window", "center": 1000, "width": 2000}},
    "inference": {"input": "image"},
    "outputs": {"classes": [NODULE, MASS], "nms_iou": 0.1},
}


def manifest_with(**changes: Any) -> dict[str, Any]:
    """The manifest with sections updated, such as ``outputs={"nms_iou": 0.3}``."""
    document = copy.deepcopy(MANIFEST)
    for section, values in changes.items():
        document[section] = {**document.get(section, {}), **values}
    return document


def blob_network(least: float = 0.3) -> bytes:
    """The network of the module's docstring."""
    constants = {
        "least": np.array(least, np.float32),
        "axes": np.array([0, 1], np.int64),
        "two": np.array([0, 0, 4, 4], np.float32),
        "order": np.array([1, 0, 1, 0], np.int64),
    }
    nodes = [
        helper.make_node("AveragePool", ["image"], ["means"], kernel_shape=[4, 4], strides=[1, 1]),
        helper.make_node("Squeeze", ["means", "axes"], ["plane"]),
        helper.make_node("Greater", ["plane", "least"], ["bright"]),
        helper.make_node("NonZero", ["bright"], ["indices"]),
        helper.make_node("Transpose", ["indices"], ["places"], perm=[1, 0]),
        helper.make_node("GatherND", ["plane", "places"], ["scores"]),
        helper.make_node("Gather", ["places", "order"], ["corners"], axis=1),
        helper.make_node("Cast", ["corners"], ["edges"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["edges", "two"], ["boxes"]),
        helper.make_node("Shape", ["scores"], ["count"]),
        helper.make_node(
            "ConstantOfShape", ["count"], ["labels"], value=numpy_helper.from_array(np.array([0], np.int64))
        ),
    ]
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 32, 32]),
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["n"]),
    ]
    tensors = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "blobs", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def write_tiny_detector(folder: Path, model: bytes | None = None, **changes: Any) -> Path:
    """Write the folder; the manifest carries the digest of the network."""
    folder.mkdir(parents=True, exist_ok=True)
    content = blob_network() if model is None else model
    document = manifest_with(**changes)
    document["artifact"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "model.onnx").write_bytes(content)
    (folder / "algorithm.yaml").write_text(yaml.safe_dump(document))
    (folder / "card.md").write_text("# tiny detector\n")
    return folder
