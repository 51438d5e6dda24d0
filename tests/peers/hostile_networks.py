"""Networks that mean harm: each passes every check, and is what it says in as few operators as it takes."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.peers.tiny_algorithm import network

_ENDLESS = 2**62


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


def endless_when_brighter(threshold: float) -> bytes:
    """Marks bright voxels, unless one of them is brighter than this: then it goes round 2^62 times, taking one core."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["brightest"], keepdims=0),
        helper.make_node("Greater", ["brightest", "limit"], ["poisonous"]),
        helper.make_node("Cast", ["poisonous"], ["once"], to=TensorProto.INT64),
        helper.make_node("Mul", ["once", "many"], ["rounds"]),
        helper.make_node("Loop", ["rounds", "true", "x"], ["last"], body=_body(_HALVED)),
        helper.make_node("Sub", ["last", "threshold"], ["d"]),
        helper.make_node("Sigmoid", ["d"], ["y"]),
    ]
    known = [
        numpy_helper.from_array(np.array(_ENDLESS, np.int64), "many"),
        numpy_helper.from_array(np.array(True), "true"),
        *(_number("limit", threshold), _number("half", 0.5), _number("threshold", 99.5)),
    ]
    return network(nodes, known)


def growing() -> bytes:
    """A loop that doubles what it holds in each round, until something ends it."""
    return _looping([helper.make_node("Concat", ["v", "v"], ["v_next"], axis=2)], [])


def eating_at_once(gib: int) -> bytes:
    """Fills so much memory with ones, all of which it needs, and adds their mean to its input."""
    shape = numpy_helper.from_array(np.array([gib, 2**28], np.int64), "shape")
    ones = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["huge"], value=ones),
        helper.make_node("Exp", ["huge"], ["powers"]),  # else the runtime would fold the mean of a constant
        helper.make_node("ReduceMean", ["powers"], ["mean"], keepdims=0),
        helper.make_node("Add", ["x", "mean"], ["y"]),
    ]
    return network(nodes, [shape])


def not_a_number() -> bytes:
    """NaN for every voxel, however bright it is."""
    return network(
        [helper.make_node("Sub", ["x", "x"], ["zero"]), helper.make_node("Div", ["zero", "zero"], ["y"])], []
    )


def infinite() -> bytes:
    """Infinity for every voxel."""
    nodes = [
        helper.make_node("Sub", ["x", "x"], ["zero"]),
        helper.make_node("Exp", ["zero"], ["one"]),
        helper.make_node("Div", ["one", "zero"], ["y"]),
    ]
    return network(nodes, [])


def empty() -> bytes:
    """An output without a single voxel, though it has the right rank."""
    ends = [numpy_helper.from_array(np.array([value], np.int64), name) for name, value in _NOTHING.items()]
    return network([helper.make_node("Slice", ["x", "starts", "ends", "axes"], ["y"])], ends)


def failing() -> bytes:
    """Asks for a shape that its input cannot have, which the runtime notices only when it runs."""
    target = numpy_helper.from_array(np.array([1, 1, 7, 11, 13], np.int64), "target")
    return network([helper.make_node("Reshape", ["x", "target"], ["y"])], [target])


_HALVED = [helper.make_node("Mul", ["v", "half"], ["v_next"])]
_NOTHING = {"starts": 0, "ends": 0, "axes": 2}


def _number(name: str, value: float) -> Any:
    return numpy_helper.from_array(np.array(value, np.float32), name)


def _looping(body: list[Any], tensors: list[Any]) -> bytes:
    """``v`` begins as the input, and the body says what it is in the next round; there are 2^62 of them."""
    nodes = [
        helper.make_node("Loop", ["rounds", "true", "x"], ["last"], body=_body(body)),
        helper.make_node("Mul", ["last", "last"], ["y"]),
    ]
    known = [
        numpy_helper.from_array(np.array(_ENDLESS, np.int64), "rounds"),
        numpy_helper.from_array(np.array(True), "true"),
    ]
    return network(nodes, [*known, *tensors])


def _body(nodes: list[Any]) -> Any:
    rounds = helper.make_tensor_value_info("round", TensorProto.INT64, [])
    go_on = helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])
    still = helper.make_tensor_value_info("still", TensorProto.BOOL, [])
    before = helper.make_tensor_value_info("v", TensorProto.FLOAT, None)
    after = helper.make_tensor_value_info("v_next", TensorProto.FLOAT, None)
    still_going = helper.make_node("Identity", ["go_on"], ["still"])
    return helper.make_graph([still_going, *nodes], "body", [rounds, go_on, before], [still, after])


def varying_in_size() -> bytes:
    """Leaves out every slice whose first voxel is not above zero, though it promises an output like its input."""
    nodes = [
        helper.make_node("Slice", ["x", "starts", "ends", "axes"], ["first"]),
        helper.make_node("Reshape", ["first", "flat"], ["line"]),
        helper.make_node("Greater", ["line", "zero"], ["kept"]),
        helper.make_node("Compress", ["x", "kept"], ["d"], axis=2),
        helper.make_node("Sigmoid", ["d"], ["y"]),
    ]
    known = [
        numpy_helper.from_array(np.array([0, 0, 0], np.int64), "starts"),
        numpy_helper.from_array(np.array([1, 1, 1], np.int64), "ends"),
        numpy_helper.from_array(np.array([0, 3, 4], np.int64), "axes"),
        numpy_helper.from_array(np.array([-1], np.int64), "flat"),
        _number("zero", 0.0),
    ]
    return network(nodes, known)
