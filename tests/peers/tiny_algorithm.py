"""An algorithm folder around a network of one operator, so that what it finds can be said in advance."""

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from onnx import TensorProto, helper, numpy_helper

MANIFEST: dict[str, Any] = {
    "identity": {
        "name": "tiny",
        "version": "1.0",
        "manufacturer": "Tests",
        "licence": "MIT",
        "intended_use": "Marks bright voxels, for tests.",
        "use": "research",
    },
    "artifact": {"file": "model.onnx", "sha256": "0" * 64},
    "input": {"modalities": ["MR"], "min_slices": 2},
    "inference": {"input": "x", "output": "y"},
    "outputs": {
        "segments": [
            {
                "number": 1,
                "channel": 0,
                "label": "Brain",
                "category": {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"},
                "type": {"value": "12738006", "scheme": "SCT", "meaning": "Brain"},
                "rgb": [200, 100, 50],
            }
        ],
        "measurements": ["volume", "mean_intensity"],
    },
}


def manifest_with(**changes: Any) -> dict[str, Any]:
    """The manifest with sections updated, such as ``input={"min_slices": 3}``."""
    document = copy.deepcopy(MANIFEST)
    for section, values in changes.items():
        document.setdefault(section, {}).update(values)
    return document


def bright_network(threshold: float = 99.5, operator: str = "Sigmoid") -> bytes:
    """A network y = operator(x - threshold): above one half exactly where x is above the threshold."""
    shift = numpy_helper.from_array(np.array(threshold, np.float32), "threshold")
    nodes = [helper.make_node("Sub", ["x", "threshold"], ["d"]), helper.make_node(operator, ["d"], ["y"])]
    return network(nodes, [shift])


def network(nodes: list[Any], tensors: list[Any], rank: int = 5) -> bytes:
    """An ONNX file from ``x`` to ``y`` with open extents."""
    shape = ["b", 1, "p", "q", "r"][:rank]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def write_tiny_algorithm(folder: Path, model: bytes | None = None, **changes: Any) -> Path:
    """Write the folder; the manifest carries the digest of the network unless ``changes`` say otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    content = bright_network() if model is None else model
    document = manifest_with(**changes)
    if "artifact" not in changes:
        document["artifact"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "model.onnx").write_bytes(content)
    (folder / "algorithm.yaml").write_text(yaml.safe_dump(document))
    (folder / "card.md").write_text("# tiny\n")
    return folder
