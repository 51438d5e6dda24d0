"""The networks: the demo's brain extraction with its published weights, and two of MONAI's with weights from a seed.

Each is written once as an algorithm folder (ONNX, manifest) and as the same weights for torch.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from monai.networks.nets import BasicUNet, UNet
from torch import Tensor, nn

from overread.demo.brain_extraction import write_brain_extraction
from overread.demo.tensorflow_graph import float_constants
from overread.fetch import fetch, package_cache
from overread.packages import DEEPBRAIN

_SEED = 20261127
_OPSET = 17


@dataclass(frozen=True)
class Case:
    """A network and how it is laid over a volume: window and volume in voxels per axis."""

    window: int
    side: int
    build: Callable[[], nn.Module]


class DeepBrain(nn.Module):
    """deepbrain's U-Net in torch, from the weights of its wheel; TensorFlow's SAME pads a strided one at its end."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(_convolution(weights, number) for number in range(10))
        self.growing = nn.ModuleList(_growing(weights, number) for number in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities of the brain, as large as the input."""
        skips = []
        for first in (0, 2, 4):
            for layer in self.convolutions[first : first + 2]:
                x = torch.relu(layer(x))
            skips.append(x)
            x = torch.max_pool3d(x, 2)
        for number, skip in enumerate(reversed(skips)):
            grown = self.growing[number](x)[..., :-1, :-1, :-1]
            x = torch.relu(self.convolutions[6 + number](torch.cat([grown, skip], 1)))
        return torch.sigmoid(self.convolutions[9](x))


def _name(kind: str, number: int) -> str:
    return kind if number == 0 else f"{kind}_{number}"


def _tensor(values: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.ascontiguousarray(values)))


def _convolution(weights: dict[str, np.ndarray], number: int) -> nn.Module:
    kernel = weights[f"{_name('conv3d', number)}/kernel"].transpose(4, 3, 0, 1, 2)
    layer = nn.Conv3d(kernel.shape[1], kernel.shape[0], kernel.shape[2], padding=kernel.shape[2] // 2)
    layer.weight, layer.bias = _tensor(kernel), _tensor(weights[f"{_name('conv3d', number)}/bias"])
    return layer


def _growing(weights: dict[str, np.ndarray], number: int) -> nn.Module:
    kernel = weights[f"{_name('conv3d_transpose', number)}/kernel"].transpose(4, 3, 0, 1, 2)
    layer = nn.ConvTranspose3d(kernel.shape[0], kernel.shape[1], 3, 2, bias=False)
    layer.weight = _tensor(kernel)
    return layer


def _deepbrain() -> nn.Module:
    import zipfile

    with zipfile.ZipFile(fetch(DEEPBRAIN, package_cache())) as archive:
        return DeepBrain(float_constants(archive.read("deepbrain/models/graph.pb")))


def _unet() -> nn.Module:
    return UNet(3, 1, 2, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2)


def _basic_unet() -> nn.Module:
    return BasicUNet(3, 1, 2, features=(32, 32, 64, 128, 256, 32))


CASES = {
    "deepbrain": Case(128, 192, _deepbrain),
    "MONAI UNet": Case(96, 256, _unet),
    "MONAI BasicUNet": Case(96, 144, _basic_unet),
}


def torch_network(name: str) -> nn.Module:
    """The same weights each time."""
    torch.manual_seed(_SEED)
    return CASES[name].build().eval()


def volume(side: int) -> np.ndarray:
    """Blobs and noise between 0 and 1, the same each time."""
    source = np.random.default_rng(_SEED)
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    z, y, x = axis[:, None, None], axis[None, :, None], axis[None, None, :]
    body = np.exp(-2 * (z**2 + y**2 + x**2)) * (1 + 0.3 * np.sin(9 * x) * np.cos(7 * y) * np.sin(5 * z))
    return np.clip(body / 1.3 + source.normal(0, 0.03, (side,) * 3), 0, 1).astype(np.float32)


def write_folder(name: str, folder: Path, batch: int) -> None:
    """The algorithm folder that the service would run, in windows of half overlap, so many of them at a time."""
    case = CASES[name]
    if name == "deepbrain":
        write_brain_extraction(fetch(DEEPBRAIN, package_cache()), folder)
    else:
        _export(torch_network(name), case.window, folder)
    manifest = yaml.safe_load((folder / "algorithm.yaml").read_text(encoding="utf-8"))
    manifest["preprocessing"] = {}
    manifest["inference"] |= {"mode": "sliding_window", "window": [case.window] * 3, "overlap": 0.5, "batch": batch}
    (folder / "algorithm.yaml").write_text(yaml.safe_dump(manifest), encoding="utf-8")


def batch_of(folder: Path) -> int:
    """How many windows the algorithm in this folder takes at a time."""
    batch: int = yaml.safe_load((folder / "algorithm.yaml").read_text(encoding="utf-8"))["inference"]["batch"]
    return batch


def _export(network: nn.Module, window: int, folder: Path) -> None:
    folder.mkdir(parents=True)
    shown = torch.zeros(1, 1, window, window, window)
    axes = {name: {0: "batch"} for name in ("image", "logits")}
    torch.onnx.export(
        network,
        (shown,),
        str(folder / "model.onnx"),
        opset_version=_OPSET,
        dynamo=False,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes=axes,
    )
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    manifest = {
        "identity": {
            "name": "benchmark",
            "version": "1",
            "manufacturer": "benchmark",
            "licence": "Apache-2.0",
            "intended_use": "Measuring.",
            "use": "research",
        },
        "artifact": {"file": "model.onnx", "sha256": digest},
        "input": {"modalities": ["CT"]},
        "inference": {"input": "image", "output": "logits"},
        "outputs": {
            "segments": [
                {
                    "number": 1,
                    "channel": 1,
                    "label": "Something",
                    "category": {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"},
                    "type": {"value": "12738006", "scheme": "SCT", "meaning": "Brain"},
                    "rgb": [255, 0, 0],
                }
            ]
        },
    }
    (folder / "algorithm.yaml").write_text(json.dumps(manifest), encoding="utf-8")
    (folder / "card.md").write_text("# benchmark\n", encoding="utf-8")
