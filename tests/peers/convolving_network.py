"""A network of three-dimensional convolutions with weights from a seed: enough work to tell one device from another."""

from itertools import pairwise

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.peers.tiny_algorithm import network

_SEED = 20261128
CHANNELS = 16  # of its inner layers


def convolving_network(precision: type[np.floating] = np.float32) -> bytes:
    """From ``x`` to ``y`` of the same extents: three layers of 3³ and a sigmoid, computed in this precision."""
    source = np.random.default_rng(_SEED)
    widths = [1, CHANNELS, CHANNELS, 1]
    tensors, nodes, last = [], [], "x"
    if precision is not np.float32:
        nodes.append(helper.make_node("Cast", ["x"], ["less"], to=TensorProto.FLOAT16))
        last = "less"
    for layer, (entering, leaving) in enumerate(pairwise(widths)):
        kernel = source.normal(0, (27 * entering) ** -0.5, (leaving, entering, 3, 3, 3)).astype(precision)
        tensors.append(numpy_helper.from_array(kernel, f"w{layer}"))
        nodes.append(helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1] * 6))
        last = f"c{layer}"
        if layer < len(widths) - 2:
            nodes.append(helper.make_node("Relu", [last], [f"r{layer}"]))
            last = f"r{layer}"
    nodes.append(helper.make_node("Cast", [last], ["wide"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Sigmoid", ["wide"], ["y"]))
    return network(nodes, tensors)
