"""What a manifest may ask to be done with the voxels of a segment, step after step in the order it names them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from inference.algorithms.manifest_parts import Part


class FillHoles(Part):
    """Background that the segment encloses becomes part of it; the voxels of other segments stay theirs."""

    step: Literal["fill_holes"]
    within: Literal["slices", "volume"] = Field(
        description="slices: enclosed on its own slice; volume: enclosed in all three directions."
    )

    def words(self) -> str:
        """The step, as reports name it."""
        return f"fill holes within {'each slice' if self.within == 'slices' else 'the volume'}"


class LargestComponent(Part):
    """Of the parts whose voxels touch by faces the largest is kept, the first of equal ones."""

    step: Literal["largest_component"]

    def words(self) -> str:
        """The step, as reports name it."""
        return "keep the largest component"


class MinimumSize(Part):
    """Parts whose voxels touch by faces and that are smaller than this are taken away; exactly this size stays."""

    step: Literal["minimum_size"]
    ml: float | None = Field(default=None, gt=0, le=100_000, description="The least volume of a part; this or voxels.")
    voxels: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="The least number of voxels of a part; this or ml."
    )

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if (self.ml is None) == (self.voxels is None):
            raise ValueError("minimum_size has either ml or voxels")
        return self

    def words(self) -> str:
        """The step, as reports name it."""
        return f"drop components below {f'{self.ml:g} ml' if self.ml is not None else f'{self.voxels} voxels'}"


Step = Annotated[FillHoles | LargestComponent | MinimumSize, Field(discriminator="step")]
