"""Networks that mean harm: each is what it says, in as few operators as it takes."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.peers.tiny_algorithm import network


def endless_loop() -> bytes:
    """Passes its input on after 2^62 rounds of a loop."""
    value = helper.make_tensor_value_info
    shape = ["b", 1, "p", "q", "r"]
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["still"]), helper.make_node("Neg", ["x_in"], ["x_out"])],
        "round",
        [
            value("number", TensorProto.INT64, []),
            value("going", TensorProto.BOOL, []),
            value("x_in", TensorProto.FLOAT, shape),
        ],
        [value("still", TensorProto.BOOL, []), value("x_out", TensorProto.FLOAT, shape)],
    )
    rounds = numpy_helper.from_array(np.array(2**62), "rounds")
    going = numpy_helper.from_array(np.array(True), "on")
    return network([helper.make_node("Loop", ["rounds", "on", "x"], ["y"], body=body)], [rounds, going])


def memory_eater() -> bytes:
    """Adds to its input what it sums of an array that it fills, forty gigabytes large."""
    extent = numpy_helper.from_array(np.array([10_000_000_000]), "extent")
    nodes = [
        helper.make_node("ConstantOfShape", ["extent"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    return network(nodes, [extent])
