"""The manifest of a segmentation: volumes in, one value per voxel and segment out."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from inference.algorithms.manifest_parts import (
    Code,
    Color,
    Execution,
    InputContract,
    Intensity,
    ManifestCore,
    Number,
    Part,
    Whole,
)
from inference.algorithms.manifest_text import Line, Text
from inference.algorithms.postprocessing_steps import LargestComponent, MinimumSize, Step
from inference.findings.segment import SegmentDescription

Extent3D = tuple[Whole, Whole, Whole]
_Spacing = Annotated[float, Field(ge=0.01, le=1000)]
MeasurementName = Literal[
    "volume",
    "area",
    "longest_diameter",
    "perpendicular_diameter",
    "surface",
    "components",
    "mean_intensity",
    "standard_deviation",
    "minimum_intensity",
    "maximum_intensity",
    "median_intensity",
    "percentile_5",
    "percentile_10",
    "percentile_90",
    "percentile_95",
]
# Those that need no intensity, so that they are measured on images of any modality.
GEOMETRIC = frozenset({"volume", "area", "longest_diameter", "perpendicular_diameter", "surface", "components"})


def _axes(orientation: str) -> list[str]:
    """The anatomical axes that the letters name, sorted; each direction stands for its axis."""
    return sorted(orientation.translate(str.maketrans("RPI", "LAS")))


class VolumeContract(InputContract):
    """What a segmentation may be given: slices that are a volume, or one radiograph."""

    min_slices: int = Field(default=2, ge=1, le=10_000)
    projection: bool = Field(
        default=False,
        description=(
            "The series is one projection radiograph (CR, DX …), which has no place in the patient; it is a volume of "
            "one slice, in which bright things are bright. min_slices is 1 then."
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _one_is_enough(cls, given: Any) -> Any:  # noqa: ANN401 - whatever a YAML file may hold
        if isinstance(given, dict) and given.get("projection") is True:
            return {"min_slices": 1} | given
        return given

    @model_validator(mode="after")
    def _is_volume_or_projection(self) -> Self:
        if self.projection != (self.min_slices == 1):
            raise ValueError("min_slices is 1 with projection, and at least 2 without it")
        return self


class Preprocessing(Part):
    """From the source grid to the grid the network was trained on: orientation, then size, then intensity."""

    orientation: str | None = Field(
        default=None,
        description="Where the three axes point, such as RAS or SPL; left out: slice, row, column as acquired.",
    )
    target_size: Extent3D | None = Field(default=None, description="Voxels per axis; the whole field of view is kept.")
    target_spacing_mm: tuple[_Spacing, _Spacing, _Spacing] | None = Field(
        default=None, description="Voxel spacing per axis."
    )
    field: Extent3D | None = Field(
        default=None,
        description=(
            "Voxels per axis of a field in the middle of the volume, which is cut or filled up to it; with "
            "target_spacing_mm. What lies outside the field is in no segment."
        ),
    )
    fill: Number | None = Field(
        default=None,
        description="What the network is given of the field outside the volume, after intensity, such as -0.5 for air.",
    )
    voi: Literal["none", "first"] = Field(
        default="none",
        description=(
            "For input.projection, first: before all else the image's first VOI LUT or window is applied, as a "
            "workstation shows it, to 0 for black to 255 for white; measurements are of the values without it."
        ),
    )
    anti_aliasing: bool = Field(default=True, description="Smooth before voxels become larger.")
    intensity: Intensity = Intensity()
    intensity_of_modality: dict[str, Intensity] = Field(
        default={}, description="Instead of intensity for images of the modality that is the key, such as MR."
    )

    def intensity_for(self, modality: str) -> Intensity:
        """How values of this modality are scaled."""
        return self.intensity_of_modality.get(modality, self.intensity)

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.orientation is not None and _axes(self.orientation) != ["A", "L", "S"]:
            raise ValueError("orientation names one of L/R, one of A/P and one of S/I")
        if self.target_size and self.target_spacing_mm:
            raise ValueError("target_size and target_spacing_mm exclude each other")
        if (self.field is not None) != (self.fill is not None) or (self.field and not self.target_spacing_mm):
            raise ValueError("field and fill go together, and with target_spacing_mm")
        for numbers in (self.target_size, self.target_spacing_mm, self.field):
            if numbers is not None and min(numbers) <= 0:
                raise ValueError("target sizes, spacings and fields are positive")
        return self


def check_window(mode: str, window: Extent3D | None) -> None:
    """Raise ValueError unless a sliding window, and nothing else, has a window with a voxel on each axis."""
    if (mode == "sliding_window") != (window is not None):
        raise ValueError("window goes with mode sliding_window, and only with it")
    if window is not None and min(window) < 1:
        raise ValueError("a window has at least one voxel per axis")


class Inference(Execution):
    """How the network is run; it takes and gives tensors of (batch, channel, axis 0, axis 1, axis 2)."""

    mode: Literal["whole_volume", "sliding_window"] = "whole_volume"
    window: Extent3D | None = Field(default=None, description="Voxels per axis; sliding_window only.")
    overlap: float = Field(default=0.5, ge=0, lt=1, description="Of neighbouring windows, as a fraction of the window.")
    batch: int = Field(default=1, ge=1, le=64, description="Windows predicted at once.")
    input: Text = "input"
    output: Text = "output"
    activation: Literal["none", "sigmoid", "softmax"] = Field(
        default="none",
        description=(
            "What makes probabilities of the output: none, because it holds them; sigmoid, voxel by voxel; softmax, "
            "over the channels."
        ),
    )
    activation_of: Literal["blended", "each"] = Field(
        default="blended",
        description=(
            "blended: windows, members and mirrored passes are averaged as the network gives them, and the activation "
            "comes last, as nnU-Net does it; each: every output is activated first, so that probabilities are averaged."
        ),
    )
    mirror_axes: tuple[Literal[0, 1, 2], ...] = Field(
        default=(),
        description=(
            "Axes of the network's grid along which windows are also predicted turned round; the mean counts. Each "
            "axis doubles the time."
        ),
    )
    background: Number | None = Field(
        default=None,
        description=(
            "Windows in which no value, after preprocessing, exceeds this are not given to the network; they count as "
            "probability 0. Left out: every window is predicted. sliding_window only."
        ),
    )
    output_margin: Extent3D = Field(
        default=(0, 0, 0),
        description=(
            "Voxels per axis that the output lacks at either side of the input, as networks without padding do. In "
            "whole_volume the margin is background; in sliding_window the volume is extended by its edge values, so "
            "that every voxel has a value."
        ),
    )

    @model_validator(mode="after")
    def _window_is_whole(self) -> Self:
        check_window(self.mode, self.window)
        return self

    @model_validator(mode="after")
    def _something_is_left_inside_the_margin(self) -> Self:
        if self.window and any(s <= 2 * m for s, m in zip(self.window, self.output_margin, strict=True)):
            raise ValueError("a window is larger than twice the output_margin")
        return self

    @model_validator(mode="after")
    def _what_is_left_out_has_a_probability(self) -> Self:
        if len(set(self.mirror_axes)) < len(self.mirror_axes):
            raise ValueError("mirror_axes names an axis twice")
        if self.background is not None and self.window is None:
            raise ValueError("background goes with mode sliding_window")
        if self.background is not None and self.activation != "none" and self.activation_of == "blended":
            raise ValueError("with background the activation is of each output: windows left out have no logits")
        return self


class Segment(Part):
    """One segment, taken from one output channel (PS3.3 section C.8.20.2)."""

    number: int = Field(ge=1, le=255)
    channel: Whole
    label: Text
    category: Code
    type: Code
    site: Code | None = None
    rgb: Color
    threshold: float = Field(default=0.5, gt=0, lt=1, description="A voxel belongs to the segment from this value on.")
    threshold_origin: Annotated[Line, Field(max_length=200)] | None = Field(
        default=None, description="Where the number came from, such as: chosen on validation."
    )
    keep_largest_component: bool = Field(
        default=False, description="The same as postprocessing with the one step largest_component."
    )
    postprocessing: tuple[Step, ...] = Field(
        default=(), max_length=8, description="Done with the voxels of the segment one after the other, as written."
    )

    @model_validator(mode="after")
    def _steps_are_said_once(self) -> Self:
        if self.keep_largest_component and self.postprocessing:
            raise ValueError("keep_largest_component goes without postprocessing; write it as step largest_component")
        return self

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is done with its voxels after the threshold, in this order."""
        return (LargestComponent(step="largest_component"),) if self.keep_largest_component else self.postprocessing

    def description(self) -> SegmentDescription:
        """What the evidence says of this segment."""
        return SegmentDescription(
            self.number,
            self.label,
            self.category.concept(),
            self.type.concept(),
            self.site.concept() if self.site else None,
            self.rgb,
            self._parameters(),
        )

    def made_by(self) -> tuple[str, ...]:
        """How its voxels are chosen, as reports say it below its name."""
        return f"threshold {self._threshold}", *([f"postprocessing: {self._words}"] if self.steps else [])

    def _parameters(self) -> tuple[str, ...]:
        """The same with its name, as it stands among the parameters of the algorithm."""
        return (
            f"threshold for {self.label}: {self._threshold}",
            *([f"postprocessing of {self.label}: {self._words}"] if self.steps else []),
        )

    @property
    def _threshold(self) -> str:
        origin = self.threshold_origin.strip().rstrip(".") if self.threshold_origin else ""
        return f"{self.threshold:g} ({origin})" if origin else f"{self.threshold:g}"

    @property
    def _words(self) -> str:
        return ", then ".join(step.words() for step in self.steps)


class Outputs(Part):
    """What is concluded from the network's output."""

    segments: tuple[Segment, ...] = Field(min_length=1)
    measurements: tuple[MeasurementName, ...] = Field(
        default=("volume",), description="Of each segment, in this order; docs/reference/algorithm-folder.md says how."
    )

    @model_validator(mode="after")
    def _numbers_run_from_one(self) -> Self:
        if [segment.number for segment in self.segments] != list(range(1, len(self.segments) + 1)):
            raise ValueError("segments are numbered 1, 2, 3 … in order (PS3.3 section C.8.20.2)")
        if len({(segment.type.value, segment.site and segment.site.value) for segment in self.segments}) < len(
            self.segments
        ):
            raise ValueError("two segments have the same type and site, so their findings could not be told apart")
        if len({segment.label for segment in self.segments}) < len(self.segments):
            raise ValueError("two segments have the same label")
        if len(set(self.measurements)) < len(self.measurements):
            raise ValueError("a measurement is named twice")
        return self


class SegmentationManifest(ManifestCore):
    """``algorithm.yaml`` of an algorithm that outlines structures in a volume."""

    task: Literal["segmentation"] = "segmentation"
    input: VolumeContract
    preprocessing: Preprocessing = Preprocessing()
    inference: Inference = Inference()
    outputs: Outputs
    evidence: tuple[Literal["segmentation"], Literal["report"]] = Field(
        default=("segmentation", "report"), description="What is made of the findings; this release makes both."
    )

    @model_validator(mode="after")
    def _intensity_has_a_unit(self) -> Self:
        if self.preprocessing.voi != "none" and not self.input.projection:
            raise ValueError("voi is for radiographs, with input.projection: slices may have windows of their own")
        measured = set(self.outputs.measurements)
        intensities = sorted(measured - GEOMETRIC)
        if intensities and not set(self.input.modalities) <= {"CT", "MR", "PT"}:
            raise ValueError(f"{intensities[0]} is measured on CT, MR and PT only")
        if measured & {"volume", "surface"} and self.input.projection:
            raise ValueError("a radiograph has no volumes; measure the area")
        if "area" in measured and not self.input.projection:
            raise ValueError("area is measured on radiographs only, with input.projection")
        steps = [step for segment in self.outputs.segments for step in segment.steps]
        if self.input.projection and any(isinstance(step, MinimumSize) and step.ml for step in steps):
            raise ValueError("a radiograph has no volumes; give minimum_size in voxels")
        return self
