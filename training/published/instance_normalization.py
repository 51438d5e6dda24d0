"""Instance normalization as steps with means taken axis by axis.

ONNX Runtime's own operator adds up all voxels of a channel in float32. Of a volume of 256 voxels per axis these are
sixteen millions, and the rounding moves probabilities at the edge of a structure by several hundredths; torch adds up
in double. A mean of means of 256 values each is as good as that, and takes no longer.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

_AXES = (4, 3, 2)
Array = NDArray[np.float32]


def axis_by_axis(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network on (batch, channel, three axes) without the operator InstanceNormalization."""
    known = _known(model.graph)
    nodes: list[onnx.NodeProto] = []
    for number, node in enumerate(model.graph.node):
        if node.op_type == "InstanceNormalization":
            made, tensors = _steps(node, known, f"normalization{number}/")
            nodes += made
            model.graph.initializer.extend(tensors)
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _drop_unused(model.graph)
    return model


def _steps(
    node: onnx.NodeProto, known: Mapping[str, Array], prefix: str
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """(x - mean) * (scale / sqrt(variance + epsilon)) + bias."""
    given, scale, bias = node.input
    (epsilon,) = (one.f for one in node.attribute if one.name == "epsilon")
    values = {"scale": known[scale].reshape(1, -1, 1, 1, 1), "bias": known[bias].reshape(1, -1, 1, 1, 1)}
    values["epsilon"] = np.array(epsilon, np.float32)
    tensors = [numpy_helper.from_array(value, prefix + name) for name, value in values.items()]
    mean, finding_mean = _mean(given, prefix + "mean")
    variance, finding_variance = _mean(prefix + "square", prefix + "variance")
    nodes = [
        *finding_mean,
        helper.make_node("Sub", [given, mean], [prefix + "centred"]),
        helper.make_node("Mul", [prefix + "centred", prefix + "centred"], [prefix + "square"]),
        *finding_variance,
        helper.make_node("Add", [variance, prefix + "epsilon"], [prefix + "bounded"]),
        helper.make_node("Sqrt", [prefix + "bounded"], [prefix + "deviation"]),
        helper.make_node("Div", [prefix + "scale", prefix + "deviation"], [prefix + "factor"]),
        helper.make_node("Mul", [prefix + "centred", prefix + "factor"], [prefix + "scaled"]),
        helper.make_node("Add", [prefix + "scaled", prefix + "bias"], [node.output[0]]),
    ]
    return nodes, tensors


def _mean(given: str, prefix: str) -> tuple[str, list[onnx.NodeProto]]:
    nodes = []
    for axis in _AXES:
        nodes.append(helper.make_node("ReduceMean", [given], [f"{prefix}{axis}"], axes=[axis], keepdims=1))
        given = f"{prefix}{axis}"
    return given, nodes


def _known(graph: onnx.GraphProto) -> dict[str, Array]:
    """The values that stand in the file, as initializers or as constants."""
    constants = {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    tensors = {one.name: one for one in graph.initializer} | constants
    return {name: numpy_helper.to_array(tensor) for name, tensor in tensors.items()}


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
    kept = [one for one in graph.initializer if one.name in used]
    nodes = [node for node in graph.node if node.op_type != "Constant" or node.output[0] in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.node[:]
    graph.node.extend(nodes)
