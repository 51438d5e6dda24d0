"""An algorithm folder around a classifier that can be computed by hand: a class is as probable as the image is bright.

The network's input is 0 to 1. Class 0, "Bright", has the mean of the image as probability and the image itself,
averaged in blocks of 4 x 4, as its map; class 1 is its complement.
"""

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from onnx import TensorProto, helper, numpy_helper

MANIFEST: dict[str, Any] = {
    "task": "classification",
    "identity": {
        "name": "tiny-classifier",
        "version": "1.0",
        "manufacturer": "Tests",
        "licence": "MIT",
        "intended_use": "Says how bright an image is, for tests.",
        "use": "research",
    },
    "artifact": {"file": "model.onnx", "sha256": "0" * 64},
    "input": {"modalities": ["MR", "DX"]},
    "image": {"size": [32, 32], "intensity": {"method": "window", "center": 1000, "width": 2000}},
    "inference": {"input": "image", "output": "probabilities", "saliency_output": "maps", "batch": 4},
    "outputs": {
        "classes": [
            {
                "index": 0,
                "label": "Tumour",
                "finding": {"value": "108369006", "scheme": "SCT", "meaning": "Neoplasm"},
                "site": {"value": "12738006", "scheme": "SCT", "meaning": "Brain"},
                "threshold": 0.62,
                "threshold_origin": "chosen on validation",
                "rgb": [255, 80, 40],
            }
        ]
    },
}


def manifest_with(**changes: Any) -> dict[str, Any]:
    """The manifest with sections updated, such as ``input={"min_slices": 3}``."""
    document = copy.deepcopy(MANIFEST)
    for section, values in changes.items():
        document[section] = {**document.get(section, {}), **values}
    return document


def brightness_network(last: str = "Identity", classes: int = 2) -> bytes:
    """The network of the module's docstring; ``last`` is an operator put on the probabilities."""
    one = numpy_helper.from_array(np.array(1, np.float32), "one")
    axes = numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    nodes = [
        helper.make_node("AveragePool", ["image"], ["bright"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Sub", ["one", "bright"], ["dark"]),
        helper.make_node("Concat", ["bright", "dark"][:classes], ["maps"], axis=1),
        helper.make_node("ReduceMean", ["maps", "axes"], ["means"], keepdims=0),
        helper.make_node(last, ["means"], ["probabilities"]),
    ]
    ends = {
        "image": ["batch", 1, 32, 32],
        "probabilities": ["batch", classes],
        "maps": ["batch", classes, 8, 8],
    }
    infos = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ends.items()}
    graph = helper.make_graph(
        nodes, "brightness", [infos["image"]], [infos["probabilities"], infos["maps"]], [one, axes]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def write_tiny_classifier(folder: Path, model: bytes | None = None, **changes: Any) -> Path:
    """Write the folder; the manifest carries the digest of the network."""
    folder.mkdir(parents=True, exist_ok=True)
    content = brightness_network() if model is None else model
    document = manifest_with(**changes)
    document["artifact"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "model.onnx").write_bytes(content)
    (folder / "algorithm.yaml").write_text(yaml.safe_dump(document))
    (folder / "card.md").write_text("# tiny classifier\n")
    return folder
