"""What every manifest has, whatever the algorithm's task: identity, artifact, input contract, intensities."""

import hashlib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inference.algorithms.identity import AlgorithmIdentity
from inference.algorithms.manifest_text import Line, Prose, Text
from storage.domain.coded_concept import CodedConcept

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ColorValue = Annotated[int, Field(ge=0, le=255)]
Color = tuple[ColorValue, ColorValue, ColorValue]
Percentage = Annotated[float, Field(ge=0, le=100)]
# Every number has a least and a most, far beyond what is meant, so that a slip is told at once and a sentence never has
# three hundred digits. A test walks the published schema for one without.
Number = Annotated[float, Field(ge=-1e9, le=1e9)]  # in the unit of an image, or as a network takes it
Deviation = Annotated[float, Field(ge=1e-6, le=1e9)]  # what is divided by
Millimetres = Annotated[float, Field(ge=0, le=10_000)]
Age = Annotated[float, Field(ge=0, le=200)]
Whole = Annotated[int, Field(ge=0, le=65_536)]  # pixels, voxels, channels
_ONNX_FILE = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.onnx$"
ANY_SPACING_MM = 1000.0  # a limit that no image comes near, so that none is meant


class Part(BaseModel):
    """A part of a manifest: unknown keys are refused, nothing changes after reading."""

    # Without NaN, which is neither above nor below anything, so that a window would be background whatever it shows.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Code(Part):
    """A code from a terminology (PS3.3 section 8)."""

    value: Text
    scheme: Annotated[Line, Field(max_length=16)] = Field(description="SCT, DCM, UCUM …")
    meaning: Text

    def concept(self) -> CodedConcept:
        """The same code as the rooms share it."""
        return CodedConcept(self.value, self.scheme, self.meaning)


class Identity(Part):
    """Who the algorithm is and what it is for."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,31}$")
    manufacturer: Text
    licence: Text = Field(description="SPDX expression of the artifact's licence.")
    intended_use: Annotated[Prose, Field(max_length=2000)]
    use: Literal["research", "product"] = Field(description="Becomes the Content Qualification of every result.")
    family: Code = Field(
        default=Code(value="123110", scheme="DCM", meaning="Artificial Intelligence"),
        description="The kind of algorithm, a code of CID 7162.",
    )


class Member(Part):
    """One network, one self-contained ONNX file."""

    file: str = Field(pattern=_ONNX_FILE)
    sha256: Sha256


class Artifact(Part):
    """The network, one self-contained ONNX file, or several whose outputs are averaged."""

    file: str = Field(default="model.onnx", pattern=_ONNX_FILE)
    sha256: Sha256
    members: tuple[Member, ...] = Field(
        default=(),
        max_length=31,
        description="Further networks with the same ends, such as the other folds of a cross-validation.",
    )

    @model_validator(mode="after")
    def _files_differ(self) -> Self:
        if len({one.file for one in self.all()}) <= len(self.members):
            raise ValueError("two members are the same file")
        return self

    def all(self) -> tuple[Member, ...]:
        """Every network, the first one first."""
        return (Member(file=self.file, sha256=self.sha256), *self.members)

    @property
    def digest(self) -> str:
        """The SHA-256 that stands for the artifact in every result.

        Of one network it is that of its file; of several it is that of the lines which ``sha256sum`` prints of their
        files, in the manifest's order, so that it changes with each of them.
        """
        if not self.members:
            return self.sha256
        lines = "".join(f"{one.sha256}  {one.file}\n" for one in self.all())
        return hashlib.sha256(lines.encode("ascii")).hexdigest()


class Execution(Part):
    """How a network is computed, whatever its task."""

    precision: Literal["float32", "float16", "bfloat16", "int8"] = Field(
        default="float32",
        description=(
            "The lowest precision that the network may be computed in: whether the file itself computes in it, or "
            "TensorRT does. With float16 its ends may be float16 too. Less than float32 needs golden.npz."
        ),
    )


class AcquisitionCondition(Part):
    """What one attribute of an image says of how it was acquired; an attribute that is missing says nothing."""

    attribute: Literal[
        "RepetitionTime",
        "EchoTime",
        "InversionTime",
        "FlipAngle",
        "KVP",
        "DiffusionBValue",
        "ScanningSequence",
        "SequenceVariant",
        "ScanOptions",
        "ImageType",
        "ContrastBolusAgent",
    ]
    at_least: Number | None = Field(default=None, description="Holds for numbers from here on.")
    at_most: Number | None = Field(default=None, description="Holds for numbers up to here.")
    one_of: tuple[Text, ...] = Field(default=(), description="Holds where one of the values is among these.")
    none_of: tuple[Text, ...] = Field(default=(), description="Holds where none of the values is among these.")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        numbers, words = self.at_least is not None or self.at_most is not None, bool(self.one_of or self.none_of)
        if numbers == words:
            raise ValueError("a condition has at_least and at_most, or one_of and none_of")
        return self


class ExcludedAcquisition(Part):
    """A way of acquiring images that the algorithm was not made for: refused where all conditions hold."""

    label: Text = Field(description="What it is, for the sentence of the refusal, such as: proton density weighting.")
    when: tuple[AcquisitionCondition, ...] = Field(min_length=1)


class InputContract(Part):
    """What the algorithm may be given; everything else is refused with a code and a sentence."""

    modalities: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9]{2,16}$")], ...] = Field(min_length=1)
    body_parts: tuple[Text, ...] = Field(default=(), description="Body Part Examined; empty takes any, also none.")
    plane: Literal["any", "axial", "coronal", "sagittal"] = "any"
    min_slices: int = Field(default=2, ge=2, le=10_000)
    max_slices: int = Field(default=2000, ge=2, le=10_000)
    max_slice_spacing_mm: Millimetres = Field(
        default=ANY_SPACING_MM, gt=0, description="Between centres of neighbouring slices."
    )
    max_pixel_spacing_mm: Millimetres = Field(default=ANY_SPACING_MM, gt=0)
    min_coverage_mm: Millimetres = Field(default=0, description="From the first slice to the last, both included.")
    max_coverage_mm: Annotated[Millimetres, Field(gt=0)] | None = Field(
        default=None, description="From the first slice to the last."
    )
    min_matrix: Whole = Field(default=1, ge=1, description="The smaller of Rows and Columns is at least this.")
    min_age_years: Age | None = None
    max_age_years: Age | None = None
    excluded_series_descriptions: tuple[Text, ...] = Field(
        default=(), description="Shell patterns such as *MIP*, compared without regard to case."
    )
    excluded_acquisitions: tuple[ExcludedAcquisition, ...] = Field(
        default=(), description="Told by attributes of the first image."
    )
    view_positions: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9 ]{1,16}$")], ...] = Field(
        default=(),
        description="View Position of radiographs, such as PA; images of other views are left out. Empty takes any.",
    )
    colour: Literal["refuse", "grey"] = Field(
        default="refuse",
        description=(
            "grey: of colour images, such as ultrasound, the luminance is taken (ITU-R BT.601), 0 for black to 255 for "
            "white; refuse: they are not taken."
        ),
    )

    @model_validator(mode="after")
    def _limits_in_order(self) -> Self:
        if self.min_slices > self.max_slices:
            raise ValueError("min_slices exceeds max_slices")
        if self.max_coverage_mm is not None and self.min_coverage_mm > self.max_coverage_mm:
            raise ValueError("min_coverage_mm exceeds max_coverage_mm")
        if None not in (self.min_age_years, self.max_age_years) and self.min_age_years > self.max_age_years:  # type: ignore[operator]
            raise ValueError("min_age_years exceeds max_age_years")
        return self


class Intensity(Part):
    """How values are scaled, after resampling."""

    method: Literal["none", "max", "minmax", "percentile", "zscore", "window"] = "none"
    center: Number | None = Field(default=None, description="Of the window, in the unit of the image; window only.")
    width: Deviation | None = Field(default=None, description="Of the window, which becomes 0 to 1; window only.")
    percentiles: tuple[Percentage, Percentage] | None = Field(
        default=None, description="Of the values, which become 0 and 1; what lies outside is clipped; percentile only."
    )
    upper: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share of the range, from the lowest value up, that becomes 0 to 1; minmax only.",
    )
    range: tuple[Number, Number] | None = Field(
        default=None, description="What 0 and 1 become, such as [-0.5, 0.5]; with max, minmax, percentile or window."
    )
    mean_and_deviation: tuple[Number, Deviation] | None = Field(
        default=None, description="What the values are given at the end, whatever they had, such as [0.449, 0.226]."
    )

    @model_validator(mode="after")
    def _method_is_whole(self) -> Self:
        given = [self.center is not None, self.width is not None]
        if given != [self.method == "window"] * 2:
            raise ValueError("center and width go with method window, and only with it")
        if (self.percentiles is not None) != (self.method == "percentile"):
            raise ValueError("percentiles goes with method percentile, and only with it")
        if self.percentiles is not None and self.percentiles[0] >= self.percentiles[1]:
            raise ValueError("the first of the percentiles is the lower one")
        if self.upper is not None and self.method != "minmax":
            raise ValueError("upper goes with method minmax only")
        if self.range is not None and (self.method in ("none", "zscore") or self.range[0] >= self.range[1]):
            raise ValueError("range is two rising numbers, with method max, minmax, percentile or window")
        if self.mean_and_deviation is not None and self.range is not None:
            raise ValueError("range and mean_and_deviation exclude each other")
        return self


class ManifestCore(Part):
    """The sections of ``algorithm.yaml`` that do not depend on the task."""

    identity: Identity
    artifact: Artifact
    input: InputContract

    @property
    def title(self) -> str:
        """Name and version, as sentences speak of the algorithm."""
        return f"{self.identity.name} {self.identity.version}"

    def algorithm_identity(self, manifest_sha256: str) -> AlgorithmIdentity:
        """Who made a finding, for PS3.16 TID 4019."""
        who = self.identity
        return AlgorithmIdentity(
            name=who.name,
            version=who.version,
            manufacturer=who.manufacturer,
            artifact_sha256=self.artifact.digest,
            manifest_sha256=manifest_sha256,
            family=who.family.concept(),
            use=who.use,
            intended_use=" ".join(who.intended_use.split()),
        )
