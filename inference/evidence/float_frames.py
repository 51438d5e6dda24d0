"""The frames of a parametric map, as floating point numbers, made while they are written (PS3.3 section C.7.6.24)."""

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.float32]

_ELEMENT = struct.Struct("<HH2sHL")  # tag, VR, reserved, length (PS3.5 section 7.1.2)
_BYTES = 4  # of one value


@dataclass(frozen=True, slots=True, eq=False)
class FloatFrames:
    """So many frames of so many pixels each; ``planes`` gives them in the order of the object."""

    count: int
    pixels: int
    planes: Callable[[], Iterable[Plane]]

    def functional_groups(self) -> Iterator[bytes]:
        """Nothing: the object describes its frames itself."""
        return iter(())

    def pixel_data(self) -> Iterator[bytes]:
        """The Float Pixel Data (7FE0,0008), in pieces."""
        yield _ELEMENT.pack(0x7FE0, 0x0008, b"OF", 0, self.count * self.pixels * _BYTES)
        for plane in self.planes():
            yield np.ascontiguousarray(plane, "<f4").tobytes()
