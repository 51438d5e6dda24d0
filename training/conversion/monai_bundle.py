"""A MONAI bundle as an algorithm: its configuration is read as data, and no expression in it is evaluated.

A bundle's configuration is a program: ``$`` evaluates Python, ``_target_`` calls any class. Here a network is taken by
its name from MONAI, transforms and inferer by a table, references to plain values are followed, and everything else is
refused.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from inference.algorithms.folder import VerifiedAlgorithm
from storage.domain.plain_file import open_plain
from training.conversion.architecture import network_of
from training.conversion.description import Told, card, segments
from training.conversion.writing import write_algorithm
from training.errors import NotExpressible
from training.published.conversion import INPUT, OUTPUT, onnx_bytes

_METADATA, _CONFIGS = "configs/metadata.json", ("configs/inference.json", "configs/evaluate.json", "configs/train.json")
_WEIGHTS = "models/model.pt"
_FOLLOWED = 20  # references in a row
Section = dict[str, Any]


def import_bundle(bundle: Path, folder: Path, told: Told) -> VerifiedAlgorithm:
    """Write the bundle in a folder as an algorithm folder.

    Raises:
        NotExpressible: something in it cannot be said in a manifest; the message names it.
        UntrustedCheckpoint: its weights are no plain state dict.
    """
    metadata = _json(bundle / _METADATA)
    config = _Config(next((_json(bundle / name) for name in _CONFIGS if (bundle / name).is_file()), {}))
    network = config.get("network_def", "network", "net")
    if not isinstance(network, Mapping):
        raise NotExpressible(f"{bundle} has no network_def in its configuration; nothing can be made of it.")
    if network.get("in_channels", 1) != 1 or network.get("spatial_dims", 3) != 3:
        raise NotExpressible(
            "The network takes several channels or no volume; this release gives it one channel in 3D."
        )
    preprocessing = _preprocessing(config)
    inference, patch = _inference(config)
    activation = _activation(config)
    arguments = {key: value for key, value in network.items() if not key.startswith("_")}
    model = network_of(_target(network), arguments, bundle / _WEIGHTS)
    format_ = metadata.get("network_data_format", {})
    told = told.or_else(
        name=metadata.get("name") or bundle.resolve().name,
        version=metadata.get("version"),
        manufacturer=metadata.get("authors"),
        licence=metadata.get("license") or metadata.get("copyright"),
        intended_use=metadata.get("intended_use") or metadata.get("description"),
        modality=format_.get("inputs", {}).get("image", {}).get("modality"),
    )
    outputs = format_.get("outputs", {}).get("pred", {}).get("channel_def", {})
    labels = [(int(channel), label) for channel, label in outputs.items() if str(label).lower() != "background"]
    if not labels:
        raise NotExpressible("The bundle's metadata name no channel of the output; complete channel_def.")
    document = {
        "identity": told.identity(),
        "input": told.input(),
        "preprocessing": preprocessing,
        "inference": inference | {"input": INPUT, "output": OUTPUT, "activation": activation},
        "outputs": {"segments": segments(labels), "measurements": ["volume"]},
    }
    notes = [*_blending_note(config), *_codes_note(labels)]
    if activation == "softmax" and len(labels) > 1:
        notes.append("Of several structures a voxel belongs to those with a probability of one half and more.")
    text = card(told.name, f"the MONAI bundle {told.name} {told.version}", told.licence or "not stated", notes)
    exported = onnx_bytes(model, torch.zeros(1, 1, *patch), open_axes=(0,) if "window" in inference else (0, 2, 3, 4))
    return write_algorithm(folder, document, text, exported, model, opened=patch[0])


def _codes_note(labels: list[tuple[int, str]]) -> list[str]:
    made = [one["label"] for one in segments(labels) if one["type"]["scheme"] != "SCT"]
    return [f"Codes of our own stand for {', '.join(made)}; put codes of SNOMED CT in the manifest."] if made else []


class _Config:
    """The configuration as data."""

    def __init__(self, document: Section) -> None:
        self._document = document

    def get(self, *names: str) -> Any:  # noqa: ANN401 - whatever JSON holds
        """The first of these entries that is there, with references followed."""
        name = next((name for name in names if name in self._document), None)
        return None if name is None else self.plain(self._document[name])

    def plain(self, value: Any, followed: int = 0) -> Any:  # noqa: ANN401
        """The value without references. Raises NotExpressible where Python would have to be run."""
        if isinstance(value, str) and value.startswith("$"):
            raise NotExpressible(
                f"The bundle's configuration evaluates Python ({value[:60]!r}); write the value instead."
            )
        if isinstance(value, str) and value.startswith("@"):
            if followed >= _FOLLOWED or value[1:] not in self._document:
                raise NotExpressible(
                    f"The bundle's configuration refers to {value[:60]!r}, which is no plain value of it."
                )
            return self.plain(self._document[value[1:]], followed + 1)
        if isinstance(value, Mapping):
            return {key: self.plain(one, followed) for key, one in value.items()}
        return [self.plain(one, followed) for one in value] if isinstance(value, list) else value

    def transforms(self, *names: str) -> list[Section]:
        """The transforms of the first of these entries; a Compose or a list of them."""
        name = next((name for name in names if name in self._document), None)
        entry = self._document.get(name or "", [])
        for _ in range(_FOLLOWED):  # a reference to another section, but not into its values: they may be Python
            if not (isinstance(entry, str) and entry.startswith("@")):
                break
            section: Any = self._document
            for key in entry[1:].replace("::", "#").split("#"):
                section = section.get(key, []) if isinstance(section, Mapping) else []
            entry = section
        listed = entry.get("transforms", []) if isinstance(entry, Mapping) else entry
        if isinstance(listed, str):
            return self.transforms(listed.removeprefix("@"))
        return [dict(one) for one in listed if isinstance(one, Mapping) and not one.get("_disabled_")]


def _target(section: Mapping[str, Any]) -> str:
    return str(section.get("_target_", "")).split(".")[-1]


def _preprocessing(config: _Config) -> Section:
    made: Section = {}
    for transform in config.transforms("preprocessing"):
        name = _target(transform).removesuffix("d")
        if name in _PASSED_OVER:
            continue
        if name not in _TRANSFORMS:
            raise NotExpressible(f"A manifest cannot express the transform {_target(transform)!r} of the bundle.")
        if "intensity" in made:
            raise NotExpressible(
                f"{_target(transform)} comes after a scaling of intensities, which a manifest does last."
            )
        made |= _TRANSFORMS[name]({key: config.plain(value) for key, value in transform.items() if key != "_target_"})
    return made


def _orientation(given: Section) -> Section:
    return {"orientation": str(given.get("axcodes", "RAS"))}


def _spacing(given: Section) -> Section:
    return {"target_spacing_mm": _three(given.get("pixdim"), "Spacingd.pixdim")}


def _resize(given: Section) -> Section:
    return {"target_size": _three(given.get("spatial_size"), "Resized.spatial_size")}


def _three(value: Any, what: str) -> list[Any]:  # noqa: ANN401
    values = list(value) if isinstance(value, list) else [value] * 3
    if len(values) != 3 or not all(isinstance(one, int | float) for one in values):
        raise NotExpressible(f"{what} of the bundle is not three numbers.")
    return values


def _scale_range(given: Section) -> Section:
    low, high = float(given["a_min"]), float(given["a_max"])
    if not given.get("clip"):
        raise NotExpressible("ScaleIntensityRanged without clip cannot be expressed; a window clips.")
    window: Section = {"method": "window", "center": (low + high) / 2, "width": high - low}
    return {"intensity": window | _range(given.get("b_min"), given.get("b_max"))}


def _scale_percentiles(given: Section) -> Section:
    if not given.get("clip") or given.get("relative"):
        raise NotExpressible("ScaleIntensityRangePercentilesd is expressed with clip and without relative only.")
    scaled: Section = {"method": "percentile", "percentiles": [given["lower"], given["upper"]]}
    return {"intensity": scaled | _range(given.get("b_min"), given.get("b_max"))}


def _scale(given: Section) -> Section:
    if given.get("factor") is not None:
        raise NotExpressible("ScaleIntensityd with a factor cannot be expressed.")
    return {"intensity": {"method": "minmax"} | _range(given.get("minv", 0.0), given.get("maxv", 1.0))}


def _range(low: Any, high: Any) -> Section:  # noqa: ANN401
    return {} if (low, high) in ((0, 1), (None, None)) else {"range": [float(low), float(high)]}


def _normalize(given: Section) -> Section:
    if given.get("nonzero") or given.get("subtrahend") is not None or given.get("divisor") is not None:
        raise NotExpressible("NormalizeIntensityd of nonzero voxels, or by given numbers, cannot be expressed.")
    return {"intensity": {"method": "zscore"}}


_PASSED_OVER = {"LoadImage", "EnsureChannelFirst", "EnsureType", "AddChannel", "CastToType", "ToTensor"}
_TRANSFORMS: dict[str, Callable[[Section], Section]] = {
    "Orientation": _orientation,
    "Spacing": _spacing,
    "Resize": _resize,
    "ScaleIntensityRange": _scale_range,
    "ScaleIntensityRangePercentiles": _scale_percentiles,
    "ScaleIntensity": _scale,
    "NormalizeIntensity": _normalize,
}


def _inference(config: _Config) -> tuple[Section, tuple[int, ...]]:
    """The manifest's section, and the extent on which the network is exported."""
    inferer = config.get("inferer") or {}
    name = _target(inferer)
    if name == "SimpleInferer":
        return {"mode": "whole_volume"}, (32, 32, 32)
    if name != "SlidingWindowInferer":
        raise NotExpressible(
            f"A manifest cannot express the inferer {name!r}; it knows whole volumes and sliding windows."
        )
    window = tuple(int(one) for one in _three(inferer.get("roi_size"), "SlidingWindowInferer.roi_size"))
    section = {
        "mode": "sliding_window",
        "window": list(window),
        "overlap": float(inferer.get("overlap", 0.25)),
        "batch": min(64, int(inferer.get("sw_batch_size", 1))),
    }
    return section, window


def _blending_note(config: _Config) -> list[str]:
    """MONAI's windows have equal weights unless the bundle says otherwise; ours always have Gaussian ones."""
    inferer = config.get("inferer") or {}
    if _target(inferer) != "SlidingWindowInferer" or inferer.get("mode") == "gaussian":
        return []
    return ["The bundle gives overlapping windows equal weights; here they are blended with Gaussian ones."]


def _activation(config: _Config) -> str:
    for transform in config.transforms("postprocessing"):
        if _target(transform).removesuffix("d") == "Activations":
            if transform.get("softmax"):
                return "softmax"
            if transform.get("sigmoid"):
                return "sigmoid"
    raise NotExpressible(
        "The bundle's postprocessing has no Activationsd with softmax or sigmoid; probabilities are needed."
    )


def _json(path: Path) -> Section:
    try:
        with open_plain(path) as file:
            document = json.load(file)
    except OSError as error:
        raise NotExpressible(f"{path} cannot be read ({error.strerror}); a MONAI bundle has it.") from None
    except ValueError:
        raise NotExpressible(f"{path} is no JSON.") from None
    if not isinstance(document, dict):
        raise NotExpressible(f"{path} is no JSON object.")
    return document
