"""Instance normalization in steps computes what the operator is defined to, on volumes that float32 cannot add up."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from training.published.instance_normalization import axis_by_axis

SHAPE = (1, 2, 60, 80, 100)


def test_a_large_channel_is_normalized_as_in_double_precision() -> None:
    """The steps give what numpy computes in double, and the operator is gone; the channels keep their own numbers."""
    volume = (1000 + np.random.default_rng(1).standard_normal(SHAPE)).astype(np.float32)
    scale, bias = np.array([2.0, 3.0], np.float32), np.array([0.5, -0.5], np.float32)

    model = axis_by_axis(_network(scale, bias))

    assert "InstanceNormalization" not in {node.op_type for node in model.graph.node}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"x": volume})
    exact = volume.astype(np.float64)
    centred = exact - exact.mean((2, 3, 4), keepdims=True)
    deviation = np.sqrt((centred**2).mean((2, 3, 4), keepdims=True) + 1e-5)
    expected = centred / deviation * scale.reshape(1, 2, 1, 1, 1) + bias.reshape(1, 2, 1, 1, 1)
    assert np.abs(made - expected).max() < 2e-3


def _network(scale: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    """One operator, its numbers as an initializer and as a constant."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy"]
    nodes = [
        helper.make_node("Constant", [], ["bias"], value=numpy_helper.from_array(bias)),
        helper.make_node("InstanceNormalization", ["x", "scale", "bias"], ["y"], epsilon=1e-5),
    ]
    graph = helper.make_graph(nodes, "one", ends[:1], ends[1:], [numpy_helper.from_array(scale, "scale")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
