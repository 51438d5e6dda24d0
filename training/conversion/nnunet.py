"""An nnU-Net v2 export as an algorithm: ``plans.json``, ``dataset.json`` and the network as ``model.onnx``.

nnU-Net's arrays come from SimpleITK, slice, row and column as the image is stored; for axial DICOM slices that is SPL.
Its spacings, patch sizes and mirror axes stand in the order after ``transpose_forward``.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from inference.algorithms.folder import VerifiedAlgorithm
from storage.domain.plain_file import open_plain
from training.conversion.description import Told, card, segments
from training.conversion.writing import write_algorithm
from training.errors import NotExpressible

_CONFIGURATION = "3d_fullres"
Section = dict[str, Any]


def import_export(
    export: Path,
    folder: Path,
    told: Told,
    configuration: str = _CONFIGURATION,
    orientation: str = "SPL",
    mirror_axes: Sequence[int] | None = None,
) -> VerifiedAlgorithm:
    """Write the export in a folder as an algorithm folder.

    ``orientation`` is how the training images were stored, before ``transpose_forward``; ``mirror_axes`` are the axes
    along which predictions are mirrored, ``None`` for all three, as nnU-Net does by itself.

    Raises:
        NotExpressible: something in it cannot be said in a manifest; the message names it.
    """
    plans, dataset = _json(export / "plans.json"), _json(export / "dataset.json")
    chosen = _configuration(plans, configuration)
    order = [int(axis) for axis in plans.get("transpose_forward", [0, 1, 2])]
    if sorted(order) != [0, 1, 2]:
        raise NotExpressible("transpose_forward of the plans is no order of three axes.")
    channels = dataset.get("channel_names") or dataset.get("modality") or {}
    if len(channels) != 1:
        raise NotExpressible(f"The network takes {len(channels)} channels; this release gives it one.")
    model = _network(export / "model.onnx")
    entry, output = _ends(model)
    told = told.or_else(
        name=dataset.get("name") or plans.get("dataset_name"),
        manufacturer=dataset.get("reference"),
        licence=dataset.get("licence") or dataset.get("license"),
        intended_use=dataset.get("description"),
        modality=next(iter(channels.values())),
    )
    labels, activation = _labels(dataset)
    document = {
        "identity": told.identity(),
        "input": told.input(),
        "preprocessing": {
            "orientation": "".join(orientation[axis] for axis in order),
            "target_spacing_mm": [float(one) for one in chosen["spacing"]],
            "intensity": _intensity(plans, chosen),
        },
        "inference": {
            "mode": "sliding_window",
            "window": [int(one) for one in chosen["patch_size"]],
            "overlap": 0.5,
            "input": entry,
            "output": output,
            "activation": activation,
            "mirror_axes": sorted({0, 1, 2} if mirror_axes is None else set(mirror_axes)),
        },
        "outputs": {"segments": segments(labels), "measurements": ["volume"]},
    }
    notes = [
        "Volumes are resampled linearly; nnU-Net does it with splines of the third order.",
        "Nothing is cut away around the patient; nnU-Net cuts the margin that is zero.",
    ]
    if activation == "softmax" and len(labels) > 1:
        notes.append(
            "A voxel belongs to a structure from a probability of one half on; nnU-Net takes the greatest one."
        )
    text = card(told.name, f"an nnU-Net v2 export, {configuration}", told.licence or "not stated", notes)
    return write_algorithm(folder, document, text, model, _Original(model, entry, output, document["inference"]))


class _Original:
    """The exported network run by itself, mirrored as nnU-Net's predictor does it."""

    def __init__(self, model: bytes, entry: str, output: str, run: Section) -> None:
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._entry, self._output = entry, output
        self._mirrored = [axes for count in range(8) if (axes := _chosen(count)) <= set(run["mirror_axes"])]

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        total = torch.zeros(1)
        for axes in self._mirrored:
            flipped = [axis + 2 for axis in sorted(axes)]
            given = np.ascontiguousarray(torch.flip(batch, flipped).numpy())
            (made,) = self._session.run([self._output], {self._entry: given})
            total = total + torch.flip(torch.from_numpy(made), flipped)
        return total / len(self._mirrored)


def _chosen(count: int) -> set[int]:
    return {axis for axis in range(3) if count >> axis & 1}


def _configuration(plans: Section, name: str) -> Section:
    configurations = plans.get("configurations", {})
    chosen: Section = {}
    while name:  # one may inherit from another
        if name not in configurations:
            raise NotExpressible(
                f"The plans have no configuration {name}; they have {', '.join(configurations) or 'none'}."
            )
        chosen = {**configurations[name], **chosen}
        name = configurations[name].get("inherits_from", "")
    if chosen.get("previous_stage"):
        raise NotExpressible("A cascade takes the output of another network; this release runs one stage.")
    for key in ("patch_size", "spacing"):
        if len(chosen.get(key, ())) != 3:
            raise NotExpressible(f"{key} of the configuration is not three numbers; this release runs volumes only.")
    return chosen


def _intensity(plans: Section, chosen: Section) -> Section:
    scheme = (chosen.get("normalization_schemes") or [""])[0]
    if scheme == "CTNormalization":
        kept = ("foreground_intensity_properties_per_channel", "foreground_intensity_properties_by_modality")
        facts: Section = next((plans[key] for key in kept if key in plans), {"0": {}})["0"]
        try:
            low, high, mean, deviation = (
                float(facts[key]) for key in ("percentile_00_5", "percentile_99_5", "mean", "std")
            )
        except (KeyError, TypeError, ValueError):
            raise NotExpressible(
                "The plans lack the intensities of the foreground, which CTNormalization needs."
            ) from None
        ends = [(low - mean) / max(deviation, 1e-8), (high - mean) / max(deviation, 1e-8)]
        return {"method": "window", "center": (low + high) / 2, "width": high - low, "range": ends}
    if scheme == "ZScoreNormalization":
        if (chosen.get("use_mask_for_norm") or [False])[0]:
            raise NotExpressible(
                "use_mask_for_norm scales by the voxels that are not zero, which a manifest cannot express."
            )
        return {"method": "zscore"}
    if scheme == "RescaleTo01Normalization":
        return {"method": "minmax"}
    if scheme == "NoNormalization":
        return {"method": "none"}
    raise NotExpressible(f"A manifest cannot express the normalisation {scheme!r}.")


def _labels(dataset: Section) -> tuple[list[tuple[int, str]], str]:
    """(channel, label) of each structure, and what makes probabilities of the output."""
    given = dataset.get("labels", {})
    if any(
        isinstance(value, list) and len(value) > 1 for value in given.values()
    ):  # regions: one sigmoid each, in order
        regions = [label for label, value in given.items() if value not in (0, [0]) and label != "ignore"]
        return list(enumerate(regions)), "sigmoid"
    numbers = {label: int(value[0] if isinstance(value, list) else value) for label, value in given.items()}
    found = [(number, label) for label, number in numbers.items() if number != 0 and label != "ignore"]
    if not found:
        raise NotExpressible("dataset.json names no label; complete labels.")
    return sorted(found), "softmax"


def _ends(model: bytes) -> tuple[str, str]:
    try:
        graph = onnx.load_model_from_string(model).graph
    except DecodeError:
        raise NotExpressible("model.onnx of the export is no ONNX file; export it again.") from None
    weights = {tensor.name for tensor in graph.initializer}
    entries = [one.name for one in graph.input if one.name not in weights]
    if len(entries) != 1 or not graph.output:
        raise NotExpressible(f"The network has {len(entries)} inputs; a manifest knows one.")
    return entries[0], graph.output[0].name  # further outputs are of deep supervision


def _network(path: Path) -> bytes:
    try:
        with open_plain(path) as file:
            return file.read()
    except OSError as error:
        raise NotExpressible(f"{path} cannot be read ({error.strerror}); export the network as model.onnx.") from None


def _json(path: Path) -> Section:
    try:
        with open_plain(path) as file:
            document = json.load(file)
    except OSError as error:
        raise NotExpressible(f"{path} cannot be read ({error.strerror}); an nnU-Net export has it.") from None
    except ValueError:
        raise NotExpressible(f"{path} is no JSON.") from None
    if not isinstance(document, dict):
        raise NotExpressible(f"{path} is no JSON object.")
    return document
