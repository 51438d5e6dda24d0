"""The brain in MR: deepbet's two networks and the box between them, as one ONNX file.

The first network looks at the whole volume in 128 voxels per axis; the second at the box around what it found and a
fifth more, in 256. Both are TorchScript, which is code that can only call torch; it runs in the confined process alone.
What happens between them is that of the package's ``bet.py``, in operators of ONNX, so that the product sees one
network: nearest voxels, intensities between two quantiles, and a probability for each voxel of the volume.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from training.errors import UntrustedCheckpoint
from training.published.conversion import INPUT, OPSET, OUTPUT, Converted, compared, golden_volume, onnx_file
from training.published.drawn import drawn_head
from training.published.instance_normalization import axis_by_axis

_COARSE, _FINE = 128, 256  # voxels per axis
_MARGIN = 0.2  # of the size of the box
_PLANE = 0.02  # of a plane is brain where the box begins
_QUANTILE = 0.005
_MEAN, _DEVIATION = 0.449, 0.226
_TOLERANCE = 5e-3  # of a probability; single voxels at the edge amplify rounding
_AXES = (2, 3, 4)
_EXAMPLE = (96, 112, 104)
_EXPORTED = 64  # voxels per axis with which a network is exported; it takes any
_IR_VERSION = 8


def convert(files: Sequence[Path]) -> Converted:
    """The network with input and output (1, 1, three axes towards right, anterior and superior).

    Raises:
        UntrustedCheckpoint: a file is no TorchScript archive.
        ExportDiffers: the ONNX file computes something else.
    """
    try:
        coarse, fine = (_script(file) for file in files)
    except RuntimeError:
        raise UntrustedCheckpoint from None
    example = torch.from_numpy(drawn_head(_EXAMPLE))[None, None]
    model = _joined(coarse, fine, example)
    run = compared(_Network(coarse, fine), model, example, _TOLERANCE)
    return Converted(model, run.difference, golden_volume(example, run.output))


def _script(file: Path) -> Any:  # noqa: ANN401 - a ScriptModule, which torch does not type
    return torch.jit.load(str(file), map_location="cpu").eval()  # type: ignore[no-untyped-call]


def _joined(coarse: Any, fine: Any, example: Tensor) -> bytes:  # noqa: ANN401 - ScriptModules, which torch does not type
    """The two networks, and what comes before, between and behind them, in one graph."""
    found = torch.zeros(1, 2, *[_COARSE] * 3)
    found[:, 1, 40:90, 40:90, 40:90] = 1
    parts = {
        "before": (_Before(), (example,), ("volume",), "small"),
        "coarse": (coarse, (torch.rand(1, 1, *[_EXPORTED] * 3),), ("small",), "found"),
        "between": (_Between(), (example, found), ("volume", "found"), "large"),
        "fine": (fine, (torch.rand(1, 1, *[_EXPORTED] * 3),), ("large",), "brain"),
        "behind": (_Behind(), (example, found, torch.zeros(1, 2, *[_FINE] * 3)), ("volume", "found", "brain"), OUTPUT),
    }
    nodes = [onnx.helper.make_node("Identity", [INPUT], ["volume"])]
    tensors: list[onnx.TensorProto] = []
    for name, (module, inputs, given, made) in parts.items():
        exported = axis_by_axis(onnx.load_model_from_string(_exported(module, inputs)))
        graph = onnx.compose.add_prefix(exported, f"{name}/").graph
        wired = zip(given, graph.input, strict=True)
        nodes += [onnx.helper.make_node("Identity", [source], [end.name]) for source, end in wired]
        nodes += [*graph.node, onnx.helper.make_node("Identity", [graph.output[0].name], [made])]
        tensors += graph.initializer
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1, "axis2", "axis3", "axis4"])
        for name in (INPUT, OUTPUT)
    ]
    whole = onnx.helper.make_graph(nodes, "brain", ends[:1], ends[1:], tensors)
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(whole, opset_imports=opset, ir_version=_IR_VERSION, producer_name="overread")
    serialised: bytes = model.SerializeToString(deterministic=True)
    return serialised


def _exported(module: Any, inputs: tuple[Tensor, ...]) -> bytes:  # noqa: ANN401 - as above
    """One part; the extents of volumes are open."""
    names = [f"input{number}" for number in range(len(inputs))]
    axes = {axis: f"axis{axis}" for axis in _AXES}
    return onnx_file(module, inputs, names, "output", {"input0": axes, "output": axes})


class _Before(nn.Module):
    """The volume as the first network takes it."""

    def forward(self, volume: Tensor) -> Tensor:
        small = _small(volume)
        return _scaled(small, *_quantiles(small))


class _Between(nn.Module):
    """The box of what the first network found, as the second one takes it."""

    def forward(self, volume: Tensor, found: Tensor) -> Tensor:
        low, high = _quantiles(_small(volume))
        return _scaled(_taken(volume, _box(volume, found), _sizes(volume), _FINE), low, high)


class _Behind(nn.Module):
    """What the second network found in the box, in the volume."""

    def forward(self, volume: Tensor, found: Tensor, brain: Tensor) -> Tensor:
        probability = brain[:, 1:2]
        for axis, (first, last), size in zip(_AXES, _box(volume, found), _sizes(volume), strict=True):
            probability = _put_back(probability, axis, first, last, size)
        return probability


class _Network(nn.Module):
    """All of it in torch, to compare with."""

    def __init__(self, coarse: Any, fine: Any) -> None:  # noqa: ANN401 - as above
        super().__init__()
        self.coarse, self.fine = coarse, fine

    def forward(self, volume: Tensor) -> Tensor:
        found = self.coarse(_Before()(volume))
        behind: Tensor = _Behind()(volume, found, self.fine(_Between()(volume, found)))
        return behind


def _sizes(volume: Tensor) -> list[Tensor]:
    return [torch._shape_as_tensor(volume)[axis].float() for axis in _AXES]


def _small(volume: Tensor) -> Tensor:
    sizes = _sizes(volume)
    return _taken(volume, [(torch.zeros(()), size) for size in sizes], sizes, _COARSE)


def _box(volume: Tensor, found: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Where the box begins and ends on each axis, in voxels of the volume."""
    inside = found[:, 1:2] > 0.5
    return [_span(inside, axis, size) for axis, size in zip(_AXES, _sizes(volume), strict=True)]


def _taken(volume: Tensor, spans: list[tuple[Tensor, Tensor]], sizes: list[Tensor], count: int) -> Tensor:
    """So many voxels per axis of a box of the volume, each the nearest (``nearest-exact``)."""
    for axis, (first, last), size in zip(_AXES, spans, sizes, strict=True):
        places = first + (torch.arange(count) + 0.5) * ((last - first) / count)
        index = torch.minimum(torch.floor(places), size - 1).long()
        volume = torch.index_select(volume, axis, index)
    return volume


def _put_back(values: Tensor, axis: int, first: Tensor, last: Tensor, size: Tensor) -> Tensor:
    """The values of a box on one axis of the volume; 0 outside the box."""
    places = torch.arange(size.long()).float()  # type: ignore[call-overload] # a tensor, so that it stays open
    index = torch.floor((places + 0.5 - first) * (_FINE / (last - first))).clamp(0, _FINE - 1).long()
    inside = ((places >= first) & (places < last)).float()
    shape = [1] * 5
    shape[axis] = -1
    placed: Tensor = torch.index_select(values, axis, index) * inside.reshape(shape)
    return placed


def _quantiles(values: Tensor) -> tuple[Tensor, Tensor]:
    """Between the two values next to each place, as ``torch.quantile`` does."""
    flat = values.reshape(-1)
    place = _QUANTILE * (_COARSE**3 - 1)
    before, part = int(place), place - int(place)
    lowest = torch.topk(flat, before + 2, largest=False).values
    highest = torch.topk(flat, before + 2).values
    return tuple(one[before] + part * (one[before + 1] - one[before]) for one in (lowest, highest))  # type: ignore[return-value]


def _scaled(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    bounded = ((values - low) / (high - low)).clamp(0, 1)
    centred = bounded - _mean(bounded)
    variance = _mean(centred**2) * (values.numel() / (values.numel() - 1))
    scaled: Tensor = _DEVIATION * centred / variance.sqrt() + _MEAN
    return scaled


def _mean(values: Tensor) -> Tensor:
    """Axis by axis: a sum of millions in one go is rounded differently by each runtime, and the network notices."""
    for axis in reversed(_AXES):
        values = values.mean(axis, keepdim=True)
    return values


def _span(found: Tensor, axis: int, size: Tensor) -> tuple[Tensor, Tensor]:
    """Where the box begins and ends on one axis of the volume, in its voxels; all of it where nothing was found."""
    others = [one for one in range(5) if one != axis]
    used = found.float().mean(others) > _PLANE
    places = torch.arange(_COARSE).float()
    first = torch.where(used, places, torch.full_like(places, float(_COARSE))).min()
    last = torch.where(used, places + 1, torch.zeros_like(places)).max()
    scale = size / _COARSE
    centre = torch.round(scale * (first + last) / 2)
    half = torch.round((1 + _MARGIN) * scale * (last - first)) / 2
    nothing = last <= first
    begin = torch.where(nothing, torch.zeros(()), torch.floor(centre - half).clamp(min=0))
    end = torch.where(nothing, size, torch.minimum(torch.floor(centre + half), size))
    return begin, end
