"""A classifier's network without maps that looks at one known place of the image, for occlusion to find."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def looking_network(rows: tuple[int, int], columns: tuple[int, int]) -> bytes:
    """The mean of one rectangle of the input of 32 x 32 is the probability of class 0, what lacks to 1 that of class 1.

    ``rows`` and ``columns`` are its first ones, and those behind the last.
    """
    numbers = {
        "begin": np.array([rows[0], columns[0]], np.int64),
        "end": np.array([rows[1], columns[1]], np.int64),
        "axes": np.array([2, 3], np.int64),
        "one": np.array(1, np.float32),
    }
    nodes = [
        helper.make_node("Slice", ["image", "begin", "end", "axes"], ["square"]),
        helper.make_node("ReduceMean", ["square", "axes"], ["bright"], keepdims=0),
        helper.make_node("Sub", ["one", "bright"], ["dark"]),
        helper.make_node("Concat", ["bright", "dark"], ["probabilities"], axis=1),
    ]
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 32, 32]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 2]),
    ]
    tensors = [numpy_helper.from_array(values, name) for name, values in numbers.items()]
    graph = helper.make_graph(nodes, "looks at one place", ends[:1], ends[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
