"""The constants of a frozen TensorFlow graph, read from the protobuf wire format without TensorFlow."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from overread.errors import FrontDeskError

_FLOAT = 1  # DataType.DT_FLOAT


class UnreadableGraph(FrontDeskError):
    """The network file of the demo's package is damaged; delete it from the cache and run the demo again."""


def float_constants(graph: bytes) -> dict[str, NDArray[np.float32]]:
    """Every float constant of a GraphDef by node name, in its stored shape.

    Raises:
        UnreadableGraph: the bytes are no GraphDef.
    """
    constants: dict[str, NDArray[np.float32]] = {}
    try:
        for number, node in _fields(graph):
            if number == 1 and isinstance(node, bytes):  # GraphDef.node
                name, operator, tensor = _node(node)
                value = _float_tensor(tensor) if operator == "Const" and tensor else None
                if value is not None:
                    constants[name] = value
    except (IndexError, ValueError):
        raise UnreadableGraph from None
    return constants


def _node(message: bytes) -> tuple[str, str, bytes | None]:
    """NodeDef: name (1), op (2), and of its attributes (5) the tensor called ``value``."""
    name = operator = ""
    tensor: bytes | None = None
    for number, content in _fields(message):
        if not isinstance(content, bytes):
            continue
        if number == 1:
            name = content.decode()
        elif number == 2:
            operator = content.decode()
        elif number == 5:
            entry = dict(_fields(content))
            if entry.get(1) == b"value" and isinstance(entry.get(2), bytes):
                tensor = _first_bytes(entry[2], 8)  # AttrValue.tensor
    return name, operator, tensor


def _float_tensor(message: bytes) -> NDArray[np.float32] | None:
    """TensorProto: dtype (1), tensor_shape (2), tensor_content (4) or float_val (5)."""
    dtype, shape, content = 0, [], b""
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            dtype = value
        elif number == 2 and isinstance(value, bytes):
            shape = [_size(dimension) for field, dimension in _fields(value) if field == 2]
        elif number in (4, 5) and isinstance(value, bytes):
            content += value
    if dtype != _FLOAT:
        return None
    values = np.frombuffer(content, "<f4")
    # A single stored value stands for a tensor filled with it.
    return np.full(shape, values[0], np.float32) if values.size == 1 else values.reshape(shape)


def _size(dimension: bytes | int) -> int:
    size = dict(_fields(dimension)).get(1, 0) if isinstance(dimension, bytes) else 0
    if not isinstance(size, int):
        raise ValueError("a dimension without a size")
    return size


def _first_bytes(message: bytes | int, wanted: int) -> bytes | None:
    if not isinstance(message, bytes):
        return None
    return next((value for number, value in _fields(message) if number == wanted and isinstance(value, bytes)), None)


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field numbers with their content: an integer for varints, bytes for everything else."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire_type == 2:
            length, at = _varint(message, at)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError("a wire type that GraphDef does not use")
        if at + length > len(message):
            raise ValueError("a field beyond the end")
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint longer than 64 bits")
