"""A plain state dict as an algorithm: the manifest is given, and names the network in MONAI."""

from pathlib import Path

import torch
import yaml

from inference.algorithms.folder import VerifiedAlgorithm
from storage.domain.plain_file import open_plain
from training.conversion.architecture import network_of
from training.conversion.description import card
from training.conversion.writing import write_algorithm
from training.errors import NotExpressible
from training.published.conversion import INPUT, OUTPUT, onnx_bytes

_OPEN = 32  # extent per axis on which a network without window or size is exported


def import_checkpoint(checkpoint: Path, manifest: Path, folder: Path) -> VerifiedAlgorithm:
    """Write weights and manifest as an algorithm folder.

    ``manifest`` is an ``algorithm.yaml`` without ``artifact``, and with ``architecture``: ``name`` of a class of
    ``monai.networks.nets`` and its ``arguments``.

    Raises:
        NotExpressible: the manifest or the architecture is none.
        UntrustedCheckpoint: the file is no plain state dict.
    """
    try:
        with open_plain(manifest) as file:
            document = yaml.safe_load(file)
        architecture = document.pop("architecture")
        name, arguments = str(architecture["name"]), dict(architecture.get("arguments") or {})
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError):
        raise NotExpressible(
            f"{manifest} is no manifest with a section architecture (name and arguments); write one as the page "
            "docs/for-ml-engineers.md shows."
        ) from None
    if document.get("task", "segmentation") != "segmentation":
        raise NotExpressible("Checkpoints of segmentations are imported; train classifications with `overread train`.")
    run = document.setdefault("inference", {})
    if not isinstance(run, dict):
        raise NotExpressible(f"{manifest}: inference is no section.")
    run |= {"input": INPUT, "output": OUTPUT}
    network = network_of(name, arguments, checkpoint)
    extent = run.get("window") or (document.get("preprocessing") or {}).get("target_size") or [_OPEN] * 3
    closed = run.get("window") is not None
    model = onnx_bytes(network, torch.zeros(1, 1, *extent), open_axes=(0,) if closed else (0, 2, 3, 4))
    identity = document.get("identity") or {}
    text = card(
        str(identity.get("name", "imported")),
        f"a checkpoint of MONAI's {name}",
        str(identity.get("licence", "not stated")),
        [],
    )
    return write_algorithm(folder, document, text, model, network, opened=int(extent[0]))
