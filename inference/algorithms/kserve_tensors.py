"""Requests and answers of the KServe v2 inference protocol, with Triton's extension for binary tensors.

https://github.com/kserve/open-inference-protocol: REST, section "Inference". In the binary form the JSON is followed by
the tensors' bytes, little-endian, the last axis running fastest, and a header tells the JSON's length.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import PredictionFailed

HEADER_LENGTH = "Inference-Header-Content-Length"
BINARY = "binary_tensor_data"  # the name of the extension

Array = NDArray[Any]
_DTYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "FP16": np.dtype("<f2")}
_MOST_AXES = 8


@dataclass(frozen=True, slots=True)
class Request:
    """What is posted: the parts of the body, and the length of the JSON where bytes follow it."""

    parts: tuple[bytes | memoryview, ...]
    header_length: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: which model says it is answering, and its outputs by name."""

    model: str
    version: str
    outputs: dict[str, Array]


def encode(entry: str, datatype: str, batch: Array, outputs: Sequence[str], *, binary: bool) -> Request:
    """Ask for these outputs of a batch; ``datatype`` is what the server's metadata says of the input."""
    values = np.ascontiguousarray(batch, _DTYPES.get(datatype, _DTYPES["FP32"]))
    tensor: dict[str, Any] = {"name": entry, "shape": list(values.shape), "datatype": datatype}
    wanted = [{"name": name, "parameters": {"binary_data": binary}} for name in outputs]
    if not binary:
        tensor["data"] = values.ravel().tolist()
        asked = [{"name": name} for name in outputs]
        return Request((json.dumps({"inputs": [tensor], "outputs": asked}).encode("ascii"),), None)
    tensor["parameters"] = {"binary_data_size": values.nbytes}
    head = json.dumps({"inputs": [tensor], "outputs": wanted}).encode("ascii")
    return Request((head, memoryview(values.data).cast("B")), len(head))


def decode(body: bytearray, header_length: str | None, wanted: Sequence[str]) -> Answer:
    """The answer in a body.

    Raises:
        PredictionFailed: it is not one of the protocol, or lacks an output that was asked for.
    """
    try:
        return _decoded(body, header_length, wanted)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        raise PredictionFailed(
            "The inference server's answer is not one of the KServe v2 protocol; look at the server's version and log."
        ) from None


def _decoded(body: bytearray, header_length: str | None, wanted: Sequence[str]) -> Answer:
    end = len(body)
    if header_length is not None:
        end = int(header_length)
        if not 0 < end <= len(body):
            raise ValueError("the JSON is longer than the body")
    head = json.loads(body[:end])
    tensors, place = {}, end
    for told in head["outputs"]:
        if not isinstance(told, dict) or not isinstance(told.get("parameters") or {}, dict):
            raise ValueError("no tensor")
        size = (told.get("parameters") or {}).get("binary_data_size")
        if size is None:
            tensors[told["name"]] = _from_json(told)
        else:
            tensors[told["name"]] = _from_bytes(told, memoryview(body)[place : place + size])
            place += size
    if place != len(body):
        raise ValueError("the body is not as long as its tensors")
    outputs = {name: tensors[name] for name in wanted}
    return Answer(str(head.get("model_name", "")), str(head.get("model_version", "")), outputs)


def _shape(told: dict[str, Any]) -> tuple[int, ...]:
    shape = told["shape"]
    if not isinstance(shape, list) or len(shape) > _MOST_AXES:
        raise ValueError("no shape")
    if any(type(extent) is not int or extent < 0 for extent in shape):
        raise ValueError("no extent")
    return tuple(shape)


def _from_bytes(told: dict[str, Any], content: memoryview) -> Array:
    shape, dtype = _shape(told), _DTYPES[told["datatype"]]
    size = told["parameters"]["binary_data_size"]
    if type(size) is not int or not size == len(content) == prod(shape) * dtype.itemsize:
        raise ValueError("the bytes are not as many as the shape says")
    return np.frombuffer(content, dtype).reshape(shape).astype(np.float32)


def _from_json(told: dict[str, Any]) -> Array:
    if told["datatype"] not in _DTYPES:
        raise ValueError("no such type")
    values = np.asarray(told["data"])
    if values.dtype.kind not in "if":  # numpy would make numbers of words, and of true and null
        raise ValueError("no numbers")
    return values.astype(np.float32).reshape(_shape(told))
