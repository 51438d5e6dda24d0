"""What other frameworks leave behind becomes an algorithm folder that computes the same, or is refused by name."""

import io
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from monai.networks.nets import UNet

from inference.algorithms.folder import verify
from inference.algorithms.golden import read_golden
from inference.algorithms.golden_volume import GoldenVolume
from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.algorithms.trial import try_out
from inference.errors import InvalidAlgorithm
from inference.imaging.intensity import scale_intensity
from training.conversion.description import Told
from training.conversion.monai_bundle import import_bundle
from training.conversion.nnunet import import_export
from training.conversion.torch_checkpoint import import_checkpoint
from training.errors import InvalidRun, NotExpressible, UntrustedCheckpoint
from training.published.conversion import onnx_bytes

ARGUMENTS = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
    "num_res_units": 1,
    "norm": "instance",
}
WINDOW = [16, 16, 8]


def _network(**changes: Any) -> UNet:
    torch.manual_seed(0)
    return UNet(**{**ARGUMENTS, **changes})


def _bundle(folder: Path, **config: Any) -> Path:
    """A bundle as MONAI's own tools lay it out."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    metadata = {
        "name": "Spleen CT segmentation",
        "version": "0.5.9",
        "authors": "MONAI team",
        "copyright": "Copyright (c) MONAI Consortium",
        "intended_use": "This is an example, not to be used for diagnostic purposes",
        "network_data_format": {
            "inputs": {"image": {"modality": "CT", "num_channels": 1}},
            "outputs": {"pred": {"num_channels": 2, "channel_def": {"0": "background", "1": "spleen"}}},
        },
    }
    document = {
        "bundle_root": ".",
        "roi": WINDOW,
        "network_def": {"_target_": "UNet", **ARGUMENTS},
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
                {
                    "_target_": "ScaleIntensityRanged",
                    "keys": "image",
                    "a_min": -57,
                    "a_max": 164,
                    "b_min": -1,
                    "b_max": 1,
                    "clip": True,
                },
                {"_target_": "EnsureTyped", "keys": "image"},
            ],
        },
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": "@roi", "sw_batch_size": 4, "overlap": 0.5},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            ],
        },
        **config,
    }
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(document))
    torch.save(_network().state_dict(), folder / "models" / "model.pt")
    return folder


def _manifest(folder: Path) -> SegmentationManifest:
    manifest = verify(folder).manifest
    assert isinstance(manifest, SegmentationManifest)
    return manifest


def test_a_monai_bundle_becomes_an_algorithm(tmp_path: Path) -> None:
    """Orientation, spacing, window, range, inferer, activation and label are those of the bundle, the pair MONAI's."""
    out = tmp_path / "out"

    import_bundle(_bundle(tmp_path / "bundle"), out, Told())

    manifest = _manifest(out)
    assert (manifest.identity.name, manifest.identity.version) == ("spleen-ct-segmentation", "0.5.9")
    assert manifest.input.modalities == ("CT",)
    assert (manifest.preprocessing.orientation, manifest.preprocessing.target_spacing_mm) == ("RAS", (1.5, 1.5, 2.0))
    scaled = scale_intensity(np.array([-1000, -57, 164, 2000], np.float32), manifest.preprocessing.intensity)
    assert scaled.tolist() == pytest.approx([-1, -1, 1, 1])
    run = manifest.inference
    assert (run.window, run.overlap, run.batch, run.activation) == ((16, 16, 8), 0.5, 4, "softmax")
    (segment,) = manifest.outputs.segments
    assert (segment.channel, segment.label, segment.type.value) == (1, "Spleen", "78961009")
    assert isinstance(read_golden(out), GoldenVolume)
    assert "Dice 1.0000" in str(try_out(out).golden)
    assert "here they are blended with Gaussian ones" in (out / "card.md").read_text()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"network_def": {"_target_": "UNet", **ARGUMENTS, "channels": "$[4] + [8]"}}, "evaluates Python"),
        ({"network_def": {"_target_": "os.system", "command": "true"}}, "no network 'system'"),
        ({"network_def": {"_target_": "UNet", **ARGUMENTS, "in_channels": 4}}, "several channels"),
        ({"network_def": {"_target_": "UNet", **ARGUMENTS, "out_channels": 5}}, "weights are not those"),
        ({"inferer": {"_target_": "SliceInferer"}}, "the inferer 'SliceInferer'"),
        ({"preprocessing": [{"_target_": "CropForegroundd"}]}, "the transform 'CropForegroundd'"),
        ({"preprocessing": [{"_target_": "NormalizeIntensityd", "nonzero": True}]}, "nonzero"),
        ({"preprocessing": [{"_target_": "ScaleIntensityd"}, {"_target_": "Spacingd", "pixdim": 1}]}, "comes after"),
        ({"postprocessing": []}, "no Activationsd"),
        ({"roi": "@roi"}, "refers to"),
    ],
)
def test_what_a_manifest_cannot_express_is_refused_by_name(
    tmp_path: Path, config: dict[str, Any], sentence: str
) -> None:
    """No expression is evaluated, no class is called but a network of MONAI, and nothing is written."""
    with pytest.raises(NotExpressible, match=sentence):
        import_bundle(_bundle(tmp_path / "bundle", **config), tmp_path / "out", Told())

    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle"]


class _Harmful:
    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._target),)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    """Weights that would call a function are refused before they do."""
    bundle = _bundle(tmp_path / "bundle")
    (bundle / "models" / "model.pt").write_bytes(pickle.dumps(_Harmful(tmp_path / "harmed")))

    with pytest.raises(UntrustedCheckpoint, match="nothing else is opened"):
        import_bundle(bundle, tmp_path / "out", Told())

    assert not (tmp_path / "harmed").exists()


FINGERPRINT = {
    "mean": 100.0,
    "std": 50.0,
    "percentile_00_5": -50.0,
    "percentile_99_5": 200.0,
    "min": -99.0,
    "max": 900.0,
}


def _export(folder: Path, dataset: dict[str, Any] | None = None, **configuration: Any) -> Path:
    """An nnU-Net v2 export: plans and data set as `nnUNetv2_plan_and_preprocess` writes them, the network as ONNX."""
    folder.mkdir()
    plans = {
        "dataset_name": "Dataset003_Liver",
        "plans_name": "nnUNetPlans",
        "transpose_forward": [2, 0, 1],
        "transpose_backward": [1, 2, 0],
        "foreground_intensity_properties_per_channel": {"0": FINGERPRINT},
        "configurations": {
            "2d": {"patch_size": [64, 64], "spacing": [1.0, 1.0]},
            "3d_fullres": {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": WINDOW,
                "spacing": [0.8, 2.0, 0.9],
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                **configuration,
            },
            "3d_child": {"inherits_from": "3d_fullres", "spacing": [3.0, 3.0, 3.0]},
            "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        },
    }
    data = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1, "cancer": 2},
        "numTraining": 131,
        "file_ending": ".nii.gz",
        "licence": "CC-BY-SA 4.0",
        **(dataset or {}),
    }
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(data))
    network = onnx_bytes(_network(out_channels=3), torch.zeros(1, 1, *WINDOW))
    (folder / "model.onnx").write_bytes(network)
    return folder


def test_an_nnunet_export_becomes_an_algorithm(tmp_path: Path) -> None:
    """CT is clipped to the fingerprint's percentiles and scaled by its mean; axes follow transpose_forward."""
    out = tmp_path / "out"

    import_export(_export(tmp_path / "export"), out, Told(name="liver"))

    manifest = _manifest(out)
    preprocessing, run = manifest.preprocessing, manifest.inference
    assert (preprocessing.orientation, preprocessing.target_spacing_mm) == ("LSP", (0.8, 2.0, 0.9))
    values = np.array([-400, -50, 100, 200, 3000], np.float32)
    expected = (np.clip(values, -50, 200) - 100) / 50
    assert scale_intensity(values, preprocessing.intensity).tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert (run.window, run.mirror_axes, run.activation) == ((16, 16, 8), (0, 1, 2), "softmax")
    assert [(one.channel, one.label) for one in manifest.outputs.segments] == [(1, "Liver"), (2, "Cancer")]
    assert manifest.identity.licence == "CC-BY-SA 4.0"
    golden = read_golden(out)
    assert isinstance(golden, GoldenVolume)
    assert golden.output.shape[0] == 3


def test_regions_are_outputs_of_their_own(tmp_path: Path) -> None:
    """Labels that are made of several values have a sigmoid each, in the order in which they are written."""
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    out = tmp_path / "out"

    import_export(
        _export(
            tmp_path / "export",
            {"labels": labels, "channel_names": {"0": "FLAIR"}},
            normalization_schemes=["ZScoreNormalization"],
        ),
        out,
        Told(),
        mirror_axes=(),
    )

    manifest = _manifest(out)
    assert manifest.input.modalities == ("MR",)
    assert manifest.preprocessing.intensity.method == "zscore"
    assert (manifest.inference.activation, manifest.inference.mirror_axes) == ("sigmoid", ())
    assert [(one.channel, one.label) for one in manifest.outputs.segments] == [(0, "Whole"), (1, "Core")]


@pytest.mark.parametrize(
    ("dataset", "configuration", "name", "sentence"),
    [
        ({"channel_names": {"0": "T1", "1": "T2"}}, {}, "3d_fullres", "takes 2 channels"),
        ({"channel_names": {"0": "noNorm"}}, {}, "3d_fullres", "say --modality"),
        ({}, {"normalization_schemes": ["RGBTo01Normalization"]}, "3d_fullres", "RGBTo01Normalization"),
        (
            {},
            {"normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [True]},
            "3d_fullres",
            "use_mask_for_norm",
        ),
        ({}, {}, "2d", "is not three numbers"),
        ({}, {}, "3d_cascade_fullres", "A cascade"),
        ({}, {}, "3d_other", "have no configuration 3d_other"),
        ({"labels": {"background": 0}}, {}, "3d_fullres", "names no label"),
    ],
)
def test_an_export_that_a_manifest_cannot_express_is_refused(
    tmp_path: Path, dataset: dict[str, Any], configuration: dict[str, Any], name: str, sentence: str
) -> None:
    """The sentence names the key, and nothing is written."""
    export = _export(tmp_path / "export", dataset, **configuration)

    with pytest.raises(NotExpressible, match=sentence):
        import_export(export, tmp_path / "out", Told(), name)

    assert not (tmp_path / "out").exists()


def _torch_manifest(path: Path, **changes: Any) -> Path:
    document = {
        "architecture": {"name": "UNet", "arguments": ARGUMENTS},
        "identity": {
            "name": "mine",
            "version": "1",
            "manufacturer": "Tests",
            "licence": "MIT",
            "intended_use": "Tests.",
            "use": "research",
        },
        "input": {"modalities": ["MR"]},
        "preprocessing": {"intensity": {"method": "zscore"}},
        "inference": {"mode": "sliding_window", "window": WINDOW, "activation": "softmax"},
        "outputs": {
            "segments": [
                {
                    "number": 1,
                    "channel": 1,
                    "label": "Brain",
                    "category": {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"},
                    "type": {"value": "12738006", "scheme": "SCT", "meaning": "Brain"},
                    "rgb": [1, 2, 3],
                }
            ]
        },
        **changes,
    }
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_checkpoint_becomes_an_algorithm(tmp_path: Path, wrapped: bool) -> None:
    """A state dict, alone or under a key as trainers save it, with the manifest that names its network."""
    weights = _network().state_dict()
    torch.save({"epoch": 3, "state_dict": weights} if wrapped else weights, tmp_path / "weights.pt")

    import_checkpoint(tmp_path / "weights.pt", _torch_manifest(tmp_path / "mine.yaml"), tmp_path / "out")

    manifest = _manifest(tmp_path / "out")
    assert manifest.identity.name == "mine"
    assert "architecture" not in (tmp_path / "out" / "algorithm.yaml").read_text()
    assert onnx.load_model(io.BytesIO((tmp_path / "out" / "model.onnx").read_bytes())).graph.input[0].name == "image"


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    """Nothing of somebody's is replaced."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    torch.save(_network().state_dict(), tmp_path / "weights.pt")

    with pytest.raises(InvalidRun, match="not empty"):
        import_checkpoint(tmp_path / "weights.pt", _torch_manifest(tmp_path / "mine.yaml"), tmp_path / "out")

    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    """A missing architecture, and a section that does not follow the schema."""
    torch.save(_network().state_dict(), tmp_path / "weights.pt")
    for changes, sentence in (
        ({"architecture": None}, "section architecture"),
        ({"input": {"modalities": []}}, "cannot express"),
    ):
        manifest = _torch_manifest(tmp_path / "mine.yaml", **changes)
        with pytest.raises(NotExpressible, match=sentence):
            import_checkpoint(tmp_path / "weights.pt", manifest, tmp_path / "out")


def test_a_golden_pair_that_our_engine_does_not_meet_is_refused(tmp_path: Path) -> None:
    """The original's outputs decide: with another activation the same network is another algorithm."""
    import_bundle(_bundle(tmp_path / "bundle"), tmp_path / "out", Told())
    manifest = yaml.safe_load((tmp_path / "out" / "algorithm.yaml").read_text())
    manifest["inference"]["activation"] = "sigmoid"
    (tmp_path / "out" / "algorithm.yaml").write_text(yaml.safe_dump(manifest))

    with pytest.raises(InvalidAlgorithm, match="other outputs"):
        try_out(tmp_path / "out")
