"""The manifest of an algorithm, ``algorithm.yaml``: one typed schema for serving and for training."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inference.algorithms.identity import AlgorithmIdentity
from inference.errors import InvalidAlgorithm
from inference.findings.segment import SegmentDescription
from storage.domain.coded_concept import CodedConcept

MANIFEST_NAME = "algorithm.yaml"
_SIZE_LIMIT = 256 * 1024

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1, max_length=64)]
Extent3D = tuple[int, int, int]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Code(_Part):
    """A code from a terminology (PS3.3 section 8)."""

    value: Text
    scheme: Annotated[str, Field(min_length=1, max_length=16)] = Field(description="SCT, DCM, UCUM …")
    meaning: Text

    def concept(self) -> CodedConcept:
        """The same code as the rooms share it."""
        return CodedConcept(self.value, self.scheme, self.meaning)


class Identity(_Part):
    """Who the algorithm is and what it is for."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,31}$")
    manufacturer: Text
    licence: Text = Field(description="SPDX expression of the artifact's licence.")
    intended_use: str = Field(min_length=1, max_length=2000)
    use: Literal["research", "product"] = Field(description="Becomes the Content Qualification of every result.")
    family: Code = Field(
        default=Code(value="123110", scheme="DCM", meaning="Artificial Intelligence"),
        description="The kind of algorithm, a code of CID 7162.",
    )


class Artifact(_Part):
    """The network, one self-contained ONNX file."""

    file: str = Field(default="model.onnx", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\.onnx$")
    sha256: Sha256


class InputContract(_Part):
    """What the algorithm may be given; everything else is refused with a code and a sentence."""

    modalities: tuple[Annotated[str, Field(pattern=r"^[A-Z0-9]{2,16}$")], ...] = Field(min_length=1)
    body_parts: tuple[Text, ...] = Field(default=(), description="Body Part Examined; empty takes any, also none.")
    plane: Literal["any", "axial", "coronal", "sagittal"] = "any"
    min_slices: int = Field(default=2, ge=2)
    max_slices: int = Field(default=2000, ge=2, le=10_000)
    max_slice_spacing_mm: float = Field(default=1000.0, gt=0, description="Between centres of neighbouring slices.")
    max_pixel_spacing_mm: float = Field(default=1000.0, gt=0)
    min_matrix: int = Field(default=1, ge=1, description="The smaller of Rows and Columns is at least this.")
    min_age_years: float | None = Field(default=None, ge=0)
    max_age_years: float | None = Field(default=None, ge=0)
    excluded_series_descriptions: tuple[Text, ...] = Field(
        default=(), description="Shell patterns such as *MIP*, compared without regard to case."
    )

    @model_validator(mode="after")
    def _limits_in_order(self) -> Self:
        if self.min_slices > self.max_slices:
            raise ValueError("min_slices exceeds max_slices")
        if None not in (self.min_age_years, self.max_age_years) and self.min_age_years > self.max_age_years:  # type: ignore[operator]
            raise ValueError("min_age_years exceeds max_age_years")
        return self


class Intensity(_Part):
    """How values are scaled, after resampling."""

    method: Literal["none", "max", "minmax", "zscore", "window"] = "none"
    center: float | None = Field(default=None, description="Of the window, in the unit of the image; window only.")
    width: float | None = Field(default=None, gt=0, description="Of the window, which becomes 0 to 1; window only.")

    @model_validator(mode="after")
    def _window_is_whole(self) -> Self:
        given = [self.center is not None, self.width is not None]
        if given != [self.method == "window"] * 2:
            raise ValueError("center and width go with method window, and only with it")
        return self


def _axes(orientation: str) -> list[str]:
    """The anatomical axes that the letters name, sorted; each direction stands for its axis."""
    return sorted(orientation.translate(str.maketrans("RPI", "LAS")))


class Preprocessing(_Part):
    """From the source grid to the grid the network was trained on: orientation, then size, then intensity."""

    orientation: str | None = Field(
        default=None,
        description="Where the three axes point, such as RAS or SPL; left out: slice, row, column as acquired.",
    )
    target_size: Extent3D | None = Field(default=None, description="Voxels per axis; the whole field of view is kept.")
    target_spacing_mm: tuple[float, float, float] | None = Field(default=None, description="Voxel spacing per axis.")
    anti_aliasing: bool = Field(default=True, description="Smooth before voxels become larger.")
    intensity: Intensity = Intensity()

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.orientation is not None and _axes(self.orientation) != ["A", "L", "S"]:
            raise ValueError("orientation names one of L/R, one of A/P and one of S/I")
        if self.target_size and self.target_spacing_mm:
            raise ValueError("target_size and target_spacing_mm exclude each other")
        numbers: tuple[float, ...] = self.target_size or self.target_spacing_mm or (1,)
        if min(numbers) <= 0:
            raise ValueError("target sizes and spacings are positive")
        return self


class Inference(_Part):
    """How the network is run; it takes and gives float32 tensors of (batch, channel, axis 0, axis 1, axis 2)."""

    mode: Literal["whole_volume", "sliding_window"] = "whole_volume"
    window: Extent3D | None = Field(default=None, description="Voxels per axis; sliding_window only.")
    overlap: float = Field(default=0.5, ge=0, lt=1, description="Of neighbouring windows, as a fraction of the window.")
    batch: int = Field(default=1, ge=1, le=64, description="Windows predicted at once.")
    input: Text = "input"
    output: Text = "output"

    @model_validator(mode="after")
    def _window_is_whole(self) -> Self:
        if (self.mode == "sliding_window") != (self.window is not None):
            raise ValueError("window goes with mode sliding_window, and only with it")
        if self.window is not None and min(self.window) < 1:
            raise ValueError("a window has at least one voxel per axis")
        return self


class Segment(_Part):
    """One segment, taken from one output channel (PS3.3 section C.8.20.2)."""

    number: int = Field(ge=1, le=255)
    channel: int = Field(ge=0)
    label: Text
    category: Code
    type: Code
    site: Code | None = None
    rgb: tuple[
        Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)], Annotated[int, Field(ge=0, le=255)]
    ]
    threshold: float = Field(default=0.5, gt=0, lt=1, description="A voxel belongs to the segment from this value on.")
    keep_largest_component: bool = False

    def description(self) -> SegmentDescription:
        """What the evidence says of this segment."""
        site = self.site.concept() if self.site else None
        return SegmentDescription(self.number, self.label, self.category.concept(), self.type.concept(), site, self.rgb)


class Outputs(_Part):
    """What is concluded from the network's output."""

    segments: tuple[Segment, ...] = Field(min_length=1)
    measurements: tuple[Literal["volume", "mean_intensity"], ...] = ("volume",)

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
        return self


class Manifest(_Part):
    """The whole of ``algorithm.yaml``."""

    identity: Identity
    artifact: Artifact
    input: InputContract
    preprocessing: Preprocessing = Preprocessing()
    inference: Inference = Inference()
    outputs: Outputs
    evidence: tuple[Literal["segmentation"], Literal["report"]] = Field(
        default=("segmentation", "report"), description="What is made of the findings; this release makes both."
    )

    @model_validator(mode="after")
    def _intensity_has_a_unit(self) -> Self:
        if "mean_intensity" in self.outputs.measurements and not set(self.input.modalities) <= {"CT", "MR"}:
            raise ValueError("mean_intensity is measured on CT and MR only")
        return self

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
            artifact_sha256=self.artifact.sha256,
            manifest_sha256=manifest_sha256,
            family=who.family.concept(),
            use=who.use,
        )


@dataclass(frozen=True, slots=True)
class ReadManifest:
    """A manifest together with the SHA-256 of the bytes it was read from."""

    manifest: Manifest
    sha256: str


def read_manifest(folder: Path) -> ReadManifest:
    """Read ``algorithm.yaml`` of an algorithm folder once, for its content and its digest.

    Raises:
        InvalidAlgorithm: it is missing, is no YAML, or does not follow the schema.
    """
    path = folder / MANIFEST_NAME
    if path.exists() and not path.is_file():
        raise InvalidAlgorithm(f"{path} is not a regular file; put the manifest there.")
    try:
        with path.open("rb") as file:
            content = file.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise InvalidAlgorithm(f"{path} cannot be read ({error.strerror}); an algorithm folder needs it.") from None
    if len(content) > _SIZE_LIMIT:
        raise InvalidAlgorithm(f"{path} is larger than {_SIZE_LIMIT} bytes; a manifest holds no data.")
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise InvalidAlgorithm(f"{path} is not valid YAML; mend its syntax.") from None
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"]) or "the document"
        raise InvalidAlgorithm(f"{path}: {where}: {first['msg']}; see docs/reference/algorithm.schema.json.") from None
    return ReadManifest(manifest, hashlib.sha256(content).hexdigest())


def load_manifest(folder: Path) -> Manifest:
    """The manifest of an algorithm folder; raises as ``read_manifest`` does."""
    return read_manifest(folder).manifest


def json_schema() -> str:
    """The schema of ``algorithm.yaml`` as JSON Schema text; ``docs/reference/algorithm.schema.json`` is this."""
    return json.dumps(Manifest.model_json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
