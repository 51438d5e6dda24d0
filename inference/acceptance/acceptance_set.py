"""``acceptance.yaml``: cases with what an algorithm must find in each, as one typed schema."""

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from inference.algorithms.manifest_parts import Part
from inference.algorithms.manifest_text import Text
from inference.algorithms.schema_problem import first_problem
from inference.algorithms.yaml_document import KeyTwice, NoYaml, yaml_document
from inference.errors import InvalidAcceptanceSet
from storage.domain.plain_file import open_plain

ACCEPTANCE_NAME = "acceptance.yaml"
_SIZE_LIMIT = 256 * 1024
_PIECE = 2**20

RelativePath = Annotated[str, Field(min_length=1, max_length=400)]


class ExpectedMask(Part):
    """A structure that must be where a reference has it."""

    label: Text = Field(description="The segment's label in the manifest.")
    file: RelativePath = Field(
        description=(
            "A DICOM Segmentation, or .npz with an array of rows and columns per image, by its SOP Instance UID (of a "
            "multi-frame image frames, rows and columns); what is not 0 is the structure."
        )
    )
    reference_label: Text | None = Field(
        default=None, description="The Segment Label in the DICOM Segmentation, where it holds several segments."
    )
    minimum_dice: float = Field(ge=0, le=1)


class ExpectedClass(Part):
    """A class whose probability must lie between two bounds."""

    label: Text
    probability: tuple[float, float] = Field(description="The least and the greatest that it may be.")

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if not 0 <= self.probability[0] <= self.probability[1] <= 1:
            raise ValueError("probability is the least and the greatest, both from 0 to 1")
        return self


class AcceptanceCase(Part):
    """One study and what must come of it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="No patient's name: it is audited.")
    series: RelativePath | None = Field(default=None, description="A folder of DICOM files, beside this file.")
    study: str | None = Field(default=None, pattern=r"^[0-9.]{1,64}$", description="Or a study that was received here.")
    labels: tuple[Text, ...] | None = Field(
        default=None, description="Exactly these structures have a voxel, or exactly these classes are present."
    )
    masks: tuple[ExpectedMask, ...] = ()
    classes: tuple[ExpectedClass, ...] = ()
    refused: str | None = Field(
        default=None, pattern=r"^[a-z0-9-]{1,64}$", description="It is not analysed, for the reason with this code."
    )

    @model_validator(mode="after")
    def _is_a_case(self) -> Self:
        if (self.series is None) == (self.study is None):
            raise ValueError("a case has either series or study")
        expected = self.labels is not None or bool(self.masks) or bool(self.classes)
        if expected == (self.refused is not None):
            raise ValueError("a case expects either refused, or labels, masks or classes")
        for path in (self.series, *(mask.file for mask in self.masks)):
            if path is not None and (PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts):
                raise ValueError("paths lead to what stands beside acceptance.yaml")
        return self


class AcceptanceSet(Part):
    """``acceptance.yaml`` as a whole."""

    cases: tuple[AcceptanceCase, ...] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({case.name for case in self.cases}) < len(self.cases):
            raise ValueError("two cases have the same name")
        return self


@dataclass(frozen=True, slots=True)
class ReadAcceptanceSet:
    """A set with the folder it stands in, and the SHA-256 over the names and contents of all files of the folder."""

    cases: tuple[AcceptanceCase, ...]
    folder: Path
    sha256: str


def has_acceptance_set(folder: Path) -> bool:
    """Whether a folder holds one."""
    return (folder / ACCEPTANCE_NAME).is_file()


def acceptance_digest(folder: Path) -> str:
    """The digest of the set in a folder, as ``ReadAcceptanceSet`` has it; empty where there is none. Raises OSError."""
    return _digest(folder) if has_acceptance_set(folder) else ""


def read_acceptance_set(folder: Path) -> ReadAcceptanceSet:
    """Read the set in a folder.

    Raises:
        InvalidAcceptanceSet: it is missing, no YAML, or does not follow the schema.
    """
    path = folder / ACCEPTANCE_NAME
    try:
        with open_plain(path) as file:
            content = file.read(_SIZE_LIMIT + 1)
        digest = _digest(folder)
    except OSError as error:
        raise InvalidAcceptanceSet(f"{path} cannot be read ({error.strerror}); an acceptance set needs it.") from None
    if len(content) > _SIZE_LIMIT:
        raise InvalidAcceptanceSet(f"{path} is larger than {_SIZE_LIMIT} bytes; images stand in files of their own.")
    try:
        document = yaml_document(content)
        return ReadAcceptanceSet(AcceptanceSet.model_validate(document).cases, folder, digest)
    except KeyTwice as error:
        raise InvalidAcceptanceSet(
            f"{path} has a key twice, again in line {error.line}; keep one of the two."
        ) from None
    except NoYaml:
        raise InvalidAcceptanceSet(f"{path} is not valid YAML; mend its syntax.") from None
    except ValidationError as error:
        raise InvalidAcceptanceSet(f"{path}: {first_problem(error)}; see docs/reference/acceptance-sets.md.") from None


def _digest(folder: Path) -> str:
    """Of all plain files: name, length and content of each, in the order of their names."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
        whole.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                whole.update(piece)
    return whole.hexdigest()
