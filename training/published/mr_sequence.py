"""The kind of an MR series of the head: ResNet18 with four classes, a state dict in ``brainmri-ps``."""

import pickle
from collections.abc import Sequence
from importlib.resources import files as resources
from pathlib import Path
from string import Template

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inference.algorithms.classification_manifest import ImagePreprocessing
from inference.algorithms.golden_images import Golden
from inference.imaging.plane import network_input, prepare_plane
from training.errors import UntrustedCheckpoint
from training.published.conversion import Converted, compared, onnx_bytes

_CLASSES = 4
_STAGES = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
_TOLERANCE = 1e-5
_GOLDEN_IMAGES = 4
_PREFIX = "module."  # of each key, because the network was trained on several devices


def convert(files: Sequence[Path]) -> Converted:
    """The network with input (batch, 3, 256, 256) and probabilities as output, and a golden pair of drawn images.

    Raises:
        UntrustedCheckpoint: the checkpoint is no state dict of the network.
        ExportDiffers: the ONNX file computes something else.
    """
    network = _Network().eval()
    try:
        weights = torch.load(files[0], map_location="cpu", weights_only=True)
        network.load_state_dict({key.removeprefix(_PREFIX): value for key, value in weights.items()})
    except (pickle.UnpicklingError, RuntimeError, AttributeError, EOFError, ValueError):
        raise UntrustedCheckpoint from None
    image = _image()
    drawn = np.stack([_drawing(number) for number in range(_GOLDEN_IMAGES)])
    prepared = np.stack([prepare_plane(one, image) for one in drawn])
    example = torch.from_numpy(network_input(prepared, image))
    model = onnx_bytes(network, example)
    run = compared(network, model, example, _TOLERANCE)
    return Converted(model, run.difference, Golden(drawn, prepared, run.output, None))


def _image() -> ImagePreprocessing:
    """The preprocessing that the manifest describes."""
    text = (resources("training.published") / "descriptions" / "mr-sequence.yaml").read_text(encoding="utf-8")
    return ImagePreprocessing.model_validate(yaml.safe_load(Template(text).substitute(model_sha256=""))["image"])


def _drawing(number: int) -> NDArray[np.float32]:
    """An image with a head's proportions and no patient: ellipses of different brightness."""
    rows, columns = np.mgrid[-1:1:240j, -1:1:200j]
    image = np.zeros((240, 200), np.float32)
    for radius, value in ((0.9, 500), (0.82, 60), (0.75, 300 + 80 * number), (0.3, 700 - 150 * number)):
        image[(rows / radius) ** 2 + (columns / (0.85 * radius)) ** 2 < 1] = value
    image += 20 * np.sin(7 * rows * (number + 1)).astype(np.float32)
    return image


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.downsample = nn.Sequential()
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, image: Tensor) -> Tensor:
        changed: Tensor = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(image)))))
        return functional.relu(changed + self.downsample(image))


class _Network(nn.Module):
    """ResNet18 as torchvision names its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        for number, (before, after, stride) in enumerate(_STAGES, start=1):
            setattr(self, f"layer{number}", nn.Sequential(_Block(before, after, stride), _Block(after, after, 1)))
        self.fc = nn.Linear(512, _CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        current = functional.max_pool2d(functional.relu(self.bn1(self.conv1(image))), 3, 2, 1)
        for number in range(1, len(_STAGES) + 1):
            current = getattr(self, f"layer{number}")(current)
        return torch.softmax(self.fc(current.mean((2, 3))), 1)
