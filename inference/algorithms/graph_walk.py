"""Everything in an ONNX file, also inside nested graphs and functions."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto


def graphs_of(model: "ModelProto") -> Iterator["GraphProto"]:
    """The graph and every graph that is an attribute of a node."""
    yield model.graph
    for node in nodes_of(model):
        for attribute in node.attribute:
            yield from attribute.graphs
            if attribute.HasField("g"):
                yield attribute.g


def nodes_of(model: "ModelProto") -> Iterator["NodeProto"]:
    """Every node."""
    left = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    while left:
        node = left.pop()
        yield node
        for attribute in node.attribute:
            left.extend(inner for graph in attribute.graphs for inner in graph.node)
            if attribute.HasField("g"):
                left.extend(attribute.g.node)


def tensors_of(model: "ModelProto") -> Iterator["TensorProto"]:
    """Every tensor: initializers, and attributes of nodes."""
    for graph in graphs_of(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes_of(model):
        for attribute in node.attribute:
            yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
