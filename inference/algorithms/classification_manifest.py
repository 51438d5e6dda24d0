"""The manifest of a classification: single images in, one probability per class out."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inference.algorithms.manifest_parts import (
    Code,
    Color,
    Deviation,
    Execution,
    InputContract,
    Intensity,
    ManifestCore,
    Number,
    Part,
    Whole,
)
from inference.algorithms.manifest_text import Line, Text

MOST_RUNS = 1024  # of the network for the map of one image
_ZERO_TO_ONE = ("max", "minmax", "percentile", "window")


class ImageContract(InputContract):
    """What a classification may be given: also a single image, also one whose place in the patient is unknown.

    The limits on plane and spacing are checked on images that state them; a plane or a spacing that is asked for
    and not stated refuses the series.
    """

    min_slices: int = Field(default=1, ge=1, le=10_000)
    max_slices: int = Field(default=2000, ge=1, le=10_000)
    min_content: float = Field(
        default=0,
        ge=0,
        lt=1,
        description=(
            "Images of which a smaller share is brighter than air are left out, as at the ends of a scan. Air reaches "
            "a tenth of the way from the dark to the bright of the series."
        ),
    )
    max_blank: float = Field(
        default=1,
        gt=0,
        le=1,
        description=(
            "Images of which a larger share has exactly the lowest value are left out: somebody masked them, as skull "
            "stripping does, for what is acquired is never so even."
        ),
    )


class Channels(Part):
    """For networks that learned from colour photographs: each channel is the image, less a mean, by a deviation."""

    mean: tuple[Number, ...] = Field(min_length=1, max_length=4)
    deviation: tuple[Deviation, ...] = Field(min_length=1, max_length=4)

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len(self.mean) != len(self.deviation):
            raise ValueError("mean and deviation have a number for each channel")
        return self


class ImagePreprocessing(Part):
    """From one image to the network's input, which is float32 in 0 to 1: size, then intensity, then borders of 0."""

    size: tuple[Whole, Whole] = Field(description="Rows and columns that the network takes.")
    fit: Literal["pad", "stretch"] = Field(
        default="pad", description="pad keeps the image's proportions and fills up with 0; stretch fills the size."
    )
    intensity: Intensity = Intensity(method="minmax")
    examined: Literal["all", "middle"] = Field(
        default="all", description="Which images of a series the network is given: all, or the one in the middle."
    )
    voi: Literal["none", "first"] = Field(
        default="none",
        description=(
            "first: before all else the image's first VOI LUT or window is applied, as a workstation shows it, to 0 "
            "for black to 255 for white; none: values after the Modality LUT."
        ),
    )
    channels: Channels | None = Field(
        default=None, description="What is made of the image at the end; left out, it is the only channel."
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.intensity.range or self.intensity.mean_and_deviation:
            raise ValueError("images are scaled to 0 to 1; what comes after it, say with channels")
        if min(self.size) < 1:
            raise ValueError("size has at least one row and one column")
        if self.intensity.method not in _ZERO_TO_ONE:
            raise ValueError(f"the network takes values in 0 to 1, so intensity.method is one of {_ZERO_TO_ONE}")
        return self


class ImageInference(Execution):
    """How the network is run; it takes (batch, channels, rows, cols) and gives probabilities (batch, classes)."""

    batch: int = Field(default=16, ge=1, le=256, description="Images predicted at once.")
    input: Text = "input"
    output: Text = Field(default="probabilities", description="Probabilities in 0 to 1, not logits.")
    saliency_output: Text | None = Field(
        default=None, description="Class-activation maps (batch, classes, h, w), where the network gives them."
    )

    @model_validator(mode="after")
    def _outputs_differ(self) -> Self:
        if self.saliency_output == self.output:
            raise ValueError("saliency_output is another output than output")
        return self


class Occlusion(Part):
    """Where a network without maps looks: parts of the key image are covered, one after the other."""

    method: Literal["occlusion"]
    patch: Whole = Field(ge=1, description="Pixels of the network's input that are covered at once, along each axis.")
    stride: Whole = Field(ge=1, description="Pixels from one patch to the next, at most the patch: none is missed.")
    fill: Literal["mean"] | Annotated[float, Field(ge=0, le=1)] = Field(
        default="mean", description="What covers: the mean of the image, or a value of the network's input, 0 to 1."
    )

    @model_validator(mode="after")
    def _nothing_is_missed(self) -> Self:
        if self.stride > self.patch:
            raise ValueError("stride is at most patch, else parts of the image are never covered")
        return self

    def most_runs(self, size: tuple[int, int]) -> int:
        """How many patches an image of this many rows and columns has at most."""
        rows, columns = (max(extent - self.patch, 0) // self.stride + 2 for extent in size)
        return rows * columns


class FindingClass(Part):
    """One class that is reported, taken from one position of the network's output."""

    index: Whole = Field(description="Position in the network's output, from 0.")
    label: Text
    finding: Code
    site: Code | None = None
    threshold: float = Field(gt=0, lt=1, description="The class is present from this probability on.")
    threshold_origin: Annotated[Line, Field(max_length=200)] = Field(
        description="Where the number came from, such as: chosen on validation."
    )
    rgb: Color = Field(description="The colour of the class in pictures.")


class ClassOutputs(Part):
    """What is concluded from the network's output; positions that no class names are not reported."""

    classes: tuple[FindingClass, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        for what, values in (
            ("index", [one.index for one in self.classes]),
            ("label", [one.label for one in self.classes]),
            ("finding and site", [(one.finding.value, one.site and one.site.value) for one in self.classes]),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"two classes have the same {what}, so their findings could not be told apart")
        return self


class ClassificationManifest(ManifestCore):
    """``algorithm.yaml`` of an algorithm that says how probable each class is on each image.

    A study's probability for a class is the highest of its images; that image is the class's key image.
    """

    task: Literal["classification"]
    input: ImageContract
    image: ImagePreprocessing
    inference: ImageInference = ImageInference()
    outputs: ClassOutputs
    saliency: Occlusion | None = Field(
        default=None, description="For a network without saliency_output; done for the key image of each class only."
    )

    @model_validator(mode="after")
    def _saliency_is_possible(self) -> Self:
        if self.saliency is None:
            return self
        if self.inference.saliency_output is not None:
            raise ValueError("saliency goes without inference.saliency_output: the network has maps of its own")
        if self.saliency.most_runs(self.image.size) > MOST_RUNS:
            raise ValueError(f"saliency would run the network more than {MOST_RUNS} times per image; widen stride")
        return self
