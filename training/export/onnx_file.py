"""The network as one self-contained ONNX file of standard operators, compared with the trained one."""

import logging
import warnings
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx.inliner import inline_local_functions

from training.errors import ExportDiffers
from training.learning.network import EvidenceNetwork, Served

INPUT, PROBABILITY, EVIDENCE = "images", "probabilities", "evidence"
OPSET = 18
TOLERANCE = 1e-4  # largest difference of a probability; of evidence, relative to the largest there is

_STANDARD = {"", "ai.onnx"}


def onnx_bytes(network: EvidenceNetwork, size: tuple[int, int]) -> bytes:
    """The network with outputs ``probabilities`` and ``evidence`` for any batch, without anything of this machine.

    Raises:
        ExportDiffers: the exporter left operators that are not of the ONNX standard.
    """
    example = torch.zeros(2, 1, *size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            Served(network).eval(),
            (example,),
            input_names=[INPUT],
            output_names=[PROBABILITY, EVIDENCE],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101 - it is, with dynamo
    model = inline_local_functions(program.model_proto)
    _forget_the_machine(model)
    foreign = {node.domain for node in model.graph.node} - _STANDARD
    if foreign or len(model.functions):
        raise ExportDiffers("The exporter left operators outside the ONNX standard; use the pinned versions.")
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def checked_parity(network: EvidenceNetwork, model: bytes, planes: NDArray[np.float32]) -> dict[str, float]:
    """The largest differences between the trained network and ONNX Runtime, also for a batch of one.

    Raises:
        ExportDiffers: they are larger than rounding explains.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    images = planes[:, np.newaxis]
    with torch.inference_mode():
        probability, evidence = (one.numpy() for one in Served(network).eval()(torch.from_numpy(images)))
    served = session.run([PROBABILITY, EVIDENCE], {INPUT: images})
    alone = session.run([PROBABILITY, EVIDENCE], {INPUT: images[:1]})
    scale = max(1.0, float(np.abs(evidence).max()))
    differences = {
        "probability": max(_largest(served[0], probability), _largest(alone[0], probability[:1])),
        "evidence": max(_largest(served[1], evidence), _largest(alone[1], evidence[:1])) / scale,
    }
    if not max(differences.values()) <= TOLERANCE:
        raise ExportDiffers(
            f"ONNX Runtime's outputs differ from the trained network's by {max(differences.values()):.2g}, more than "
            f"{TOLERANCE:g}; nothing was written."
        )
    return differences


def _largest(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(one - other).max()) if one.shape == other.shape else float("inf")


def _forget_the_machine(model: onnx.ModelProto) -> None:
    """The exporter notes source lines with their paths at each node; they are nobody's business."""
    things: list[Any] = [model, model.graph, *model.graph.node, *model.graph.initializer]
    things += [*model.graph.input, *model.graph.output, *model.graph.value_info]
    for thing in things:
        del thing.metadata_props[:]
        thing.doc_string = ""
    model.graph.name = "classification"
    for number, node in enumerate(model.graph.node):
        node.name = f"{node.op_type.lower()}-{number}"
