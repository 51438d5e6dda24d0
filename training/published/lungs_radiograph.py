"""The lungs on chest radiographs: a U-Net on the layers of VGG11, pickled as a whole in ``chexwhatsapp``.

The same layout and recipe as in the repository IlliaOvcharenko/lung-segmentation (MIT).
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.published.conversion import Converted, compared, golden_volume, onnx_bytes
from training.published.drawn import drawn_chest
from training.published.unpickling import read_whole_module

_STAND_INS = (("lung_segmentation", "PretrainedUNet"), ("lung_segmentation", "Block"))
_SIZE = 512
_TOLERANCE = 1e-4


def convert(files: Sequence[Path]) -> Converted:
    """The network with input (batch, 1, 1, 512, 512) and the softmax of its two channels, and a golden pair.

    Raises:
        UntrustedCheckpoint: the checkpoint is not the pickled network.
        ExportDiffers: the ONNX file computes something else.
    """
    network = _Served()
    network.net.load_state_dict(read_whole_module(files[0], _STAND_INS))
    example = torch.from_numpy(drawn_chest(_SIZE))[None, None]
    model = onnx_bytes(network, example)
    run = compared(network, model, example, _TOLERANCE)
    return Converted(model, run.difference, golden_volume(example, run.output))


class _Served(nn.Module):
    """A radiograph as a volume of one slice, probabilities instead of logits."""

    def __init__(self) -> None:
        super().__init__()
        self.net = _Network()

    def forward(self, volume: Tensor) -> Tensor:
        return torch.softmax(self.net(volume[:, :, 0]), dim=1)[:, :, None]


class _Block(nn.Module):
    def __init__(self, before: int, between: int, after: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, between, 3, padding=1)
        self.conv2 = nn.Conv2d(between, after, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(between)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, image: Tensor) -> Tensor:
        return functional.relu(self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(image))))))


class _Network(nn.Module):
    """The names of the layers are those of the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.init_conv = nn.Conv2d(1, 3, 1)
        for name, before, after in _ENCODER:
            setattr(self, name, nn.Conv2d(before, after, 3, padding=1))
        self.center = _Block(512, 512, 256)
        for name, before, between, after in _DECODER:
            setattr(self, name, _Block(before, between, after))
        self.out = nn.Conv2d(32, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        levels: list[Tensor] = []
        current = functional.relu(self.init_conv(image))
        for level in _LEVELS:
            current = functional.max_pool2d(current, 2) if levels else current
            for name in level:
                current = functional.relu(getattr(self, name)(current))
            levels.append(current)
        current = self.center(functional.max_pool2d(current, 2))
        for (name, *_), skip in zip(_DECODER, reversed(levels), strict=True):
            grown = functional.interpolate(current, skip.shape[-2:], mode="bilinear")
            current = getattr(self, name)(torch.cat([grown, skip], 1))
        logits: Tensor = self.out(current)
        return logits


_ENCODER = (
    ("conv1", 3, 64),
    ("conv2", 64, 128),
    ("conv3", 128, 256),
    ("conv3s", 256, 256),
    ("conv4", 256, 512),
    ("conv4s", 512, 512),
    ("conv5", 512, 512),
    ("conv5s", 512, 512),
)
_LEVELS = (("conv1",), ("conv2",), ("conv3", "conv3s"), ("conv4", "conv4s"), ("conv5", "conv5s"))
_DECODER = (
    ("dec5", 768, 512, 256),
    ("dec4", 768, 512, 128),
    ("dec3", 384, 256, 64),
    ("dec2", 192, 128, 32),
    ("dec1", 96, 64, 32),
)
