"""From a network in torch to one self-contained ONNX file that computes the same."""

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from inference.algorithms.golden_images import Golden
from inference.algorithms.golden_volume import GoldenVolume
from training.errors import ExportDiffers

OPSET = 17
INPUT, OUTPUT = "image", "probability"
_KEPT = 2**16  # steps of a probability in a golden volume: finer than any tolerance, and few bytes when compressed


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """A network as ONNX: its bytes, the largest difference from the original's output, and a golden pair if any."""

    model: bytes
    difference: float
    golden: Golden | GoldenVolume


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What the original makes of one input, and how far at most the ONNX file is from it."""

    output: NDArray[np.float32]
    difference: float


def onnx_bytes(
    network: torch.nn.Module, example: torch.Tensor, open_axes: Sequence[int] = (0,), opset: int = OPSET
) -> bytes:
    """The network with one input and one output, whose axes ``open_axes`` are of any extent."""
    axes = {axis: f"axis{axis}" for axis in open_axes}
    return onnx_file(network, (example,), [INPUT], OUTPUT, {INPUT: axes, OUTPUT: axes} if axes else {}, opset)


def onnx_file(
    network: torch.nn.Module,
    inputs: tuple[torch.Tensor, ...],
    input_names: list[str],
    output: str,
    open_axes: Mapping[str, Mapping[int, str]],
    opset: int = OPSET,
) -> bytes:
    """The network with these inputs; ``open_axes`` are those of any extent, by the name of the input or output."""
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            network.eval(),
            inputs,
            file,  # type: ignore[arg-type] # the exporter of this kind takes a file
            input_names=input_names,
            output_names=[output],
            dynamic_axes={name: dict(axes) for name, axes in open_axes.items()} or None,
            opset_version=opset,
            dynamo=False,
        )
    model = onnx.load_model_from_string(file.getvalue())
    for thing in (model, model.graph, *model.graph.node):
        thing.doc_string = ""  # the exporter notes source lines with their paths
    model.producer_name = "overread"
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def outputs(model: bytes, example: torch.Tensor) -> NDArray[np.float32]:
    """What ONNX Runtime makes of an input."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    made: NDArray[np.float32] = session.run([OUTPUT], {INPUT: example.numpy()})[0]
    return made


def compared(network: torch.nn.Module, model: bytes, example: torch.Tensor, tolerance: float) -> Compared:
    """Run both on one input.

    Raises:
        ExportDiffers: it is larger than rounding explains.
    """
    with torch.inference_mode():
        original: NDArray[np.float32] = network.eval()(example).numpy()
    made = outputs(model, example)
    difference = float(np.abs(made - original).max()) if made.shape == original.shape else float("inf")
    if not difference <= tolerance:
        raise ExportDiffers(
            f"ONNX Runtime's outputs differ from the original's by {difference:.2g}, more than {tolerance:g}; "
            "nothing was written."
        )
    return Compared(original, difference)


def golden_volume(example: torch.Tensor, output: NDArray[np.float32]) -> GoldenVolume:
    """The pair of one volume and the original's output, as (1, channel, three axes), for its golden file.

    Where the output lacks a margin, the margin is 0, as in serving.
    """
    volume = example.numpy()[0, 0]
    margins = [(size - given) // 2 for size, given in zip(volume.shape, output.shape[2:], strict=True)]
    padded = np.pad(output[0], [(0, 0), *((margin, margin) for margin in margins)])
    return GoldenVolume(volume, (np.rint(padded * _KEPT) / _KEPT).astype(np.float32))
