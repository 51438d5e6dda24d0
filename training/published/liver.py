"""The liver in CT: a three-dimensional U-Net of Keras, weights as HDF5 in ``pyliverlesionseg``.

The layers are those of the package's ``unet_generalized.py`` with the arguments of its prediction of the liver.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.errors import UntrustedCheckpoint
from training.published.conversion import Converted, compared, golden_volume, onnx_bytes
from training.published.drawn import drawn_torso

_SIZE = 81  # voxels per axis of the drawing: three times three times three, and the network takes away 26
_TOLERANCE = 1e-3
_SLOPE = 0.01  # of the rectifier below zero
_LAYERS = 15


def convert(files: Sequence[Path]) -> Converted:
    """The network with input (batch, 1, three axes) and an output of 26 voxels less per axis; the axes are open.

    What is compared and kept as golden pair is a drawing of a ninth of the field that serving gives it: the same
    layers on less, so that everybody who adds the network can repeat it in seconds.

    Raises:
        UntrustedCheckpoint: the file does not hold the weights of the network.
        ExportDiffers: the ONNX file computes something else.
    """
    import h5py

    try:
        with h5py.File(files[0], "r") as file:
            kernels = [torch.from_numpy(file[f"{name}/kernel:0"][()]) for name in _names()]
            biases = [torch.from_numpy(file[f"{name}/bias:0"][()]) for name in _names()]
    except (OSError, KeyError, ValueError, TypeError):
        raise UntrustedCheckpoint from None
    network = _Network(kernels, biases)
    example = torch.from_numpy(drawn_torso(_SIZE))[None, None]
    model = onnx_bytes(network, example, open_axes=(0, 2, 3, 4))
    run = compared(network, model, example, _TOLERANCE)
    return Converted(model, run.difference, golden_volume(example, run.output))


def _names() -> list[str]:
    return [f"conv3d_{number}/conv3d_{number}" for number in range(1, _LAYERS + 1)]


class _Normalized(nn.Module):
    """Each channel less its mean, by its deviation, then the rectifier."""

    def forward(self, volume: Tensor) -> Tensor:
        centred = volume - volume.mean((2, 3, 4), keepdim=True)
        deviation = (centred**2).mean((2, 3, 4), keepdim=True).sqrt()
        return functional.leaky_relu(centred / (deviation + 1e-7), _SLOPE)


class _Network(nn.Module):
    def __init__(self, kernels: Sequence[Tensor], biases: Sequence[Tensor]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(_convolution(*pair) for pair in zip(kernels, biases, strict=True))
        self.normalized = _Normalized()

    def forward(self, volume: Tensor) -> Tensor:
        first = self._next(self.convolutions[0](volume), 1)
        second = self._next(self._next(functional.max_pool3d(first, 3), 2), 3)
        third = self._next(self._next(functional.max_pool3d(second, 3), 4), 5)
        current = self._next(self._next(functional.max_pool3d(third, 3), 6), 7)
        for skip, number in ((third, 8), (second, 10), (first, 12)):
            grown = _grown(current)
            current = self._next(self._next(torch.cat([_centre(skip, grown), grown], 1), number), number + 1)
        return torch.sigmoid(self._next(current, 14))

    def _next(self, volume: Tensor, number: int) -> Tensor:
        """Normalized and rectified, then convolved."""
        convolved: Tensor = self.convolutions[number](self.normalized(volume))
        return convolved


def _grown(volume: Tensor) -> Tensor:
    """Three times as large, without the outermost voxels, which have a neighbour on one side only."""
    return functional.avg_pool3d(functional.interpolate(volume, scale_factor=3, mode="nearest"), 3, 1)


def _centre(volume: Tensor, like: Tensor) -> Tensor:
    """The middle of a volume, of another one's extent."""
    starts = [(size - wanted) // 2 for size, wanted in zip(volume.shape[2:], like.shape[2:], strict=True)]
    ends = [start + wanted for start, wanted in zip(starts, like.shape[2:], strict=True)]
    return volume[:, :, starts[0] : ends[0], starts[1] : ends[1], starts[2] : ends[2]]


def _convolution(kernel: Tensor, bias: Tensor) -> nn.Conv3d:
    """Keras stores (three axes, in, out), torch wants (out, in, three axes)."""
    weight = kernel.permute(4, 3, 0, 1, 2).contiguous()
    depth, height, width = weight.shape[2:]
    layer = nn.Conv3d(
        *(weight.shape[1], weight.shape[0], (depth, height, width)), padding=(depth // 2, height // 2, width // 2)
    )
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer
