"""Where the images of a stack lie, and what a segmentation of them says of it (PS3.3 sections C.7.6.16.2 and C.7.6.17).

The numbers are those that highdicom finds when it is given every image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from highdicom.seg import Segmentation
from highdicom.spatial import VOLUME_INDEX_CONVENTION, get_normal_vector, get_volume_positions
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat, format_number_as_ds


@dataclass(frozen=True, slots=True, eq=False)
class StackPlaces:
    """The Image Position (Patient) (0020,0032) of each image, in mm as it is written, and their one orientation."""

    positions: Sequence[Sequence[DSfloat]]
    orientation: Sequence[float]

    @classmethod
    def of(cls, sources: Sequence[Dataset], orientation: Sequence[float]) -> "StackPlaces":
        """Those of images that all have a place."""
        return cls(
            [[DSfloat(value, auto_format=True) for value in one.ImagePositionPatient] for one in sources], orientation
        )

    def order(self, used: Sequence[int]) -> list[int]:
        """The images of which there are frames, in the order of their positions along the slice normal.

        Raises:
            ValueError: two images lie at one place.
        """
        normal = get_normal_vector(self.orientation, index_convention=VOLUME_INDEX_CONVENTION)
        _, order = np.unique((normal[None] @ self._values().T)[0], return_index=True)
        if len(order) != len(self.positions):
            raise ValueError("Two images of the stack lie at one place, so no segmentation can tell them apart.")
        with_frames = set(used)
        return [index for index in order.tolist() if index in with_frames]

    def state(self, seg: Segmentation, used: Sequence[int], *, distance_is_stated: bool) -> None:
        """Say how far apart the images lie, where it is not stated, and whether the frames are a volume."""
        if not distance_is_stated:
            (measures,) = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
            distance, _ = get_volume_positions(self._values().tolist(), self.orientation)
            measures.pop("SpacingBetweenSlices", None)  # made up of a single image
            if distance is not None:
                measures.SpacingBetweenSlices = format_number_as_ds(distance)
        if len(seg.SegmentSequence) == 1 and len(used) > 1:  # else frames differ in more than their places
            distance, _ = get_volume_positions(self._values()[used].tolist(), self.orientation, sort=False)
            if distance is not None and distance > 0:
                seg.DimensionOrganizationType = "3D"

    def _values(self) -> npt.NDArray[np.float64]:
        return np.array(self.positions, np.float64)
