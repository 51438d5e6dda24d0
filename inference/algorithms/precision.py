"""In which precision a network computes, told from its file, and in which its manifest lets it."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from inference.algorithms.graph_walk import nodes_of, tensors_of
from inference.errors import InvalidAlgorithm

if TYPE_CHECKING:
    from onnx import ModelProto

_FLOAT16, _BFLOAT16 = 10, 16  # TensorProto.DataType
_FLOATS = {_FLOAT16: "float16", _BFLOAT16: "bfloat16", **dict.fromkeys((17, 18, 19, 20, 23), "float8")}
_FOUR_BITS = {21: "4-bit integers", 22: "4-bit integers"}
_QUANTISED = frozenset(
    (
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
        *("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"),
    )
)

# By the manifest's precision: the element types of the network's ends, with their names for sentences.
END_TYPES: dict[str, dict[int, str]] = {
    "float32": {1: "float32"},
    "float16": {1: "float32", _FLOAT16: "float16"},
    "bfloat16": {1: "float32"},
    "int8": {1: "float32"},
}


def refuse_lower_precision(model: "ModelProto", name: str, permitted: str) -> None:
    """Refuse a network that computes in another precision than float32 and the permitted one.

    Raises:
        InvalidAlgorithm: it does; the message names the precision.
    """
    for found in _found(model):
        if found != permitted:
            raise InvalidAlgorithm(
                f"{name} computes in {found}, which inference.precision {permitted} does not permit; "
                "correct it, or export the network in float32."
            )


def _found(model: "ModelProto") -> Iterator[str]:
    for tensor in tensors_of(model):
        if tensor.data_type in _FLOATS | _FOUR_BITS:
            yield (_FLOATS | _FOUR_BITS)[tensor.data_type]
    for node in nodes_of(model):
        if node.op_type in _QUANTISED:
            yield "int8"
        if node.op_type == "Cast":
            yield from (_FLOATS[one.i] for one in node.attribute if one.name == "to" and one.i in _FLOATS)
    for end in (*model.graph.input, *model.graph.output):
        if end.type.tensor_type.elem_type in _FLOATS:
            yield _FLOATS[end.type.tensor_type.elem_type]
