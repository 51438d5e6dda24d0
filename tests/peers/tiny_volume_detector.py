"""An algorithm folder around a detector in volumes that can be computed by hand: it boxes what is bright in a cube.

The network takes volumes of 0 to 1 of any size. It gives a box of 2 x 4 x 4 voxels wherever their mean is above 0.3,
with the mean as score and class 0: around a bright block of that size there are several, and the one that fits has
score 1.
"""

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from onnx import TensorProto, helper, numpy_helper

from tests.peers.tiny_detector import MANIFEST as OF_IMAGES

BLOCK = (2, 4, 4)  # voxels of a box along the three axes
MANIFEST: dict[str, Any] = {key: value for key, value in OF_IMAGES.items() if key != "image"} | {
    "input": {"modalities": ["MR", "CT"]},
    "preprocessing": {"intensity": {"method": "window", "center": 1000, "width": 2000}},
    "inference": {"mode": "sliding_window", "window": [4, 16, 16], "overlap": 0.5, "input": "image"},
}


def volume_manifest_with(**changes: Any) -> dict[str, Any]:
    """The manifest with sections updated, such as ``inference={"overlap": 0}``."""
    document = copy.deepcopy(MANIFEST)
    for section, values in changes.items():
        document[section] = {**document.get(section, {}), **values}
    return document


def block_network(least: float = 0.3, edges: int = 6) -> bytes:
    """The network of the module's docstring; other ``edges`` than 6 are a fault."""
    constants = {
        "least": np.array(least, np.float32),
        "axes": np.array([0, 1], np.int64),
        "size": np.array(BLOCK, np.float32),
    }
    nodes = [
        helper.make_node("AveragePool", ["image"], ["means"], kernel_shape=BLOCK, strides=[1, 1, 1]),
        helper.make_node("Squeeze", ["means", "axes"], ["grid"]),
        helper.make_node("Greater", ["grid", "least"], ["bright"]),
        helper.make_node("NonZero", ["bright"], ["indices"]),
        helper.make_node("Transpose", ["indices"], ["places"], perm=[1, 0]),
        helper.make_node("GatherND", ["grid", "places"], ["scores"]),
        helper.make_node("Cast", ["places"], ["low"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["low", "size"], ["high"]),
        helper.make_node("Concat", ["low", "high"], ["boxes"], axis=1),
        helper.make_node("Shape", ["scores"], ["count"]),
        helper.make_node(
            "ConstantOfShape", ["count"], ["labels"], value=numpy_helper.from_array(np.array([0], np.int64))
        ),
    ]
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "d", "h", "w"]),
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["n", edges]),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n"]),
        helper.make_tensor_value_info("labels", TensorProto.INT64, ["n"]),
    ]
    tensors = [numpy_helper.from_array(values, name) for name, values in constants.items()]
    graph = helper.make_graph(nodes, "blocks", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def write_tiny_volume_detector(folder: Path, model: bytes | None = None, **changes: Any) -> Path:
    """Write the folder; the manifest carries the digest of the network."""
    folder.mkdir(parents=True, exist_ok=True)
    content = block_network() if model is None else model
    document = volume_manifest_with(**changes)
    document["artifact"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "model.onnx").write_bytes(content)
    (folder / "algorithm.yaml").write_text(yaml.safe_dump(document))
    (folder / "card.md").write_text("# tiny volume detector\n")
    return folder
