"""Studies of CT slices with an ellipsoid that is brighter than its surroundings, and a network that marks it."""

import hashlib
from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import CTImageStorage

from tests.peers.synthetic_series import slice_headers, with_pixels
from tests.peers.tiny_algorithm import bright_network, manifest_with

_BRIGHT_HU = 150.0
_OFFSET = 1024  # of the stored values


def study(number: int, slices: int, size: int) -> list[Dataset]:
    """A study of one series; ``number`` makes its UIDs its own."""
    uid = f"1.2.826.0.1.3680043.8.498.1.{number}"

    def edit(place: int, ds: Dataset) -> None:
        ds.SOPClassUID, ds.Modality, ds.BodyPartExamined = CTImageStorage, "CT", "ABDOMEN"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = uid, f"{uid}.1", f"{uid}.2"
        ds.SOPInstanceUID = f"{uid}.1.{place + 1}"
        ds.Manufacturer, ds.ManufacturerModelName, ds.ConvolutionKernel = "Benchmark", "Ellipsoid", "B30f"
        ds.RescaleSlope, ds.RescaleIntercept = "1", str(-_OFFSET)
        ds.WindowCenter, ds.WindowWidth = "40", "400"

    headers = slice_headers(count=slices, size=(size, size), pixel_spacing=(0.8, 0.8), spacing=1.25, edit=edit)
    return with_pixels(headers, _pixels(slices, size))


@cache
def _pixels(slices: int, size: int) -> NDArray[np.uint16]:
    """A body of water in air, with noise; in its middle an ellipsoid a quarter as long as the volume in each axis."""
    generator = np.random.default_rng(1)
    place = np.linspace(-1, 1, size)
    ring = place[:, None] ** 2 + place[None, :] ** 2
    noise = generator.normal(0, 15, (size, size))
    volume = np.empty((slices, size, size), np.uint16)
    for index, height in enumerate(np.linspace(-1, 1, slices)):
        inside = (ring + height**2) * 16 < 1
        hu = np.where(ring < 0.8, np.where(inside, 2 * _BRIGHT_HU, 40.0), -1000.0) + np.roll(noise, index, 0)
        volume[index] = np.clip(hu + _OFFSET, 0, 4095)
    return volume


def algorithm() -> Iterator[tuple[str, bytes]]:
    """The files of the algorithm folder but for the manifest's own."""
    yield "model.onnx", bright_network(_BRIGHT_HU)
    yield "card.md", b"# Bright\n\nMarks what is bright, for a benchmark. Means nothing.\n"


def manifest() -> dict[str, object]:
    """The manifest: one structure with volume, mean and longest diameter."""
    files = dict(algorithm())
    document = manifest_with(
        identity={"name": "bright", "intended_use": "Marks bright voxels, for a benchmark."},
        input={"modalities": ["CT"]},
        artifact={"sha256": hashlib.sha256(files["model.onnx"]).hexdigest()},
    )
    return document
