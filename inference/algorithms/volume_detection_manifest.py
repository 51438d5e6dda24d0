"""The manifest of a detection in volumes: a volume in, window by window, boxes with a score and a class each out."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from inference.algorithms.detection_manifest import BoxInference, BoxOutputs, refuse_members
from inference.algorithms.manifest_parts import InputContract, ManifestCore, Number
from inference.algorithms.segmentation_manifest import Extent3D, Preprocessing, check_window


class VolumeBoxInference(BoxInference):
    """How the network is run: (1, 1, three axes) in; boxes (n, 6), scores (n,) and class numbers (n,) out.

    A box is its low edges along the three axes of the input, then its high edges along them, in voxels of the input,
    counted from the outer corner of its first voxel. Scores are in 0 to 1.
    """

    box_axes: ClassVar[int] = 3

    mode: Literal["whole_volume", "sliding_window"] = "whole_volume"
    window: Extent3D | None = Field(default=None, description="Voxels per axis; sliding_window only.")
    overlap: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description=(
            "Of neighbouring windows, as a fraction of the window. What is longer than the overlap may be seen in "
            "parts only."
        ),
    )
    background: Number | None = Field(
        default=None,
        description=(
            "Windows in which no value, after preprocessing, exceeds this are not given to the network; nothing is "
            "found there. Left out: every window is. sliding_window only."
        ),
    )

    @model_validator(mode="after")
    def _window_is_whole(self) -> Self:
        check_window(self.mode, self.window)
        if self.background is not None and self.window is None:
            raise ValueError("background goes with mode sliding_window")
        return self


class VolumeDetectionManifest(ManifestCore):
    """``algorithm.yaml`` of an algorithm that says where in a volume something is; it has ``preprocessing``."""

    task: Literal["detection"]
    input: InputContract
    preprocessing: Preprocessing
    inference: VolumeBoxInference
    outputs: BoxOutputs

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        refuse_members(self.artifact)
        if self.preprocessing.voi != "none":
            raise ValueError("voi is for single images; volumes are taken as their values are")
        return self
