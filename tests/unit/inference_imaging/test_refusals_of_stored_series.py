"""What makes stored slices no volume is found on the way from files to values, however they are stored."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from inference.errors import UnusableInput
from inference.imaging.series_reader import read_headers
from inference.imaging.volume import load_volume
from tests.peers.compressed import compress, picture
from tests.peers.synthetic_series import kept, slice_headers

_GEOMETRY = Path(__file__).parents[3] / "inference" / "imaging" / "geometry.py"
_SIZE = (5, 4)
Edit = Callable[[list[Dataset]], None]


def _set(keyword: str, value: object) -> Edit:
    return lambda slices: setattr(slices[3], keyword, value)


def _without(*keywords: str) -> Edit:
    return lambda slices: [slices[3].pop(keyword) for keyword in keywords]


def _tilt(slices: list[Dataset]) -> None:
    for index, ds in enumerate(slices):
        ds.ImagePositionPatient = [10, 20 + index * 0.6, 30 + index * 2]


def _shorten(slices: list[Dataset]) -> None:
    content = slices[3].PixelData
    slices[3].PixelData = content[: len(content) // 4 * 2]


def _drop(first: int, last: int | None) -> Edit:
    def edit(slices: list[Dataset]) -> None:
        del slices[first:last]

    return edit


# A fault of a series of eight slices, and the code of its refusal.
FAULTS: dict[str, tuple[Edit, str]] = {
    "one slice": (_drop(1, None), "too-few-slices"),
    "two slices lost": (_drop(3, 5), "gap"),
    "a slice twice": (_set("ImagePositionPatient", [10, 20, 34]), "duplicate-positions"),
    "a slice in another direction": (_set("ImageOrientationPatient", [1, 0, 0, 0, 0, -1]), "mixed-orientation"),
    "no spacing": (_without("PixelSpacing"), "missing-geometry"),
    "spacing of one number": (_set("PixelSpacing", [1.0]), "missing-geometry"),
    "spacing of zero": (lambda slices: [setattr(ds, "PixelSpacing", [0, 0]) for ds in slices], "missing-geometry"),
    "another spacing": (_set("PixelSpacing", [2, 2]), "mixed-spacing"),
    "no position": (_without("ImagePositionPatient"), "missing-geometry"),
    "no orientation": (_without("ImageOrientationPatient"), "missing-geometry"),
    "no frame of reference": (
        lambda slices: [ds.pop("FrameOfReferenceUID") for ds in slices],
        "missing-geometry",
    ),
    "another frame of reference": (_set("FrameOfReferenceUID", "1.2"), "mixed-frame-of-reference"),
    "another size": (_set("Rows", 7), "mixed-size"),
    "a slice between two others": (_set("ImagePositionPatient", [10, 20, 36.4]), "uneven-spacing"),
    "a tilted gantry": (_tilt, "tilted-stack"),
    "short pixel data": (_shorten, "short-pixel-data"),
}


def _series(how: str) -> list[Dataset]:
    slices = slice_headers(count=8, size=_SIZE)
    for number, ds in enumerate(slices):
        pixels = picture(_SIZE, 12, number)
        if how == "compressed":
            compress(ds, "jpeg-ls", [pixels])
            continue
        ds.PixelData = pixels.tobytes()
        if how == "deflated":
            ds.file_meta = FileMetaDataset()
            ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return slices


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("how", ["plain", "not recorded", "deflated", "compressed"])
def test_a_stored_series_that_is_no_volume_is_refused_by_name(tmp_path: Path, fault: str, how: str) -> None:
    """From files to values each fault has its code, and only the faulty series is refused."""
    edit, code = FAULTS[fault]
    slices = _series(how)
    edit(slices)
    instances = kept(slices, tmp_path)
    if how == "not recorded":
        instances = [replace(one, image=None) for one in instances]

    with pytest.raises(UnusableInput) as refusal:
        load_volume({one.header.sop_instance_uid: one for one in instances}, read_headers(instances))

    assert refusal.value.reason.code == code


@pytest.mark.parametrize("how", ["plain", "not recorded", "deflated", "compressed"])
def test_the_same_series_without_a_fault_is_a_volume(tmp_path: Path, how: str) -> None:
    """So it was the fault that was refused."""
    instances = kept(_series(how), tmp_path)
    if how == "not recorded":
        instances = [replace(one, image=None) for one in instances]

    volume = load_volume({one.header.sop_instance_uid: one for one in instances}, read_headers(instances))

    assert (volume.values == np.stack([picture(_SIZE, 12, number) for number in range(8)])).all()


def test_every_code_of_the_geometry_has_a_stored_series() -> None:
    """What `geometry.py` can refuse is refused above, through files."""
    codes = set(re.findall(r'UnusableInput\(\s*"([a-z-]+)"', _GEOMETRY.read_text()))

    assert codes == {code for _, code in FAULTS.values()} - {"short-pixel-data"}
