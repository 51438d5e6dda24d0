"""Images of one sample per pixel in each transfer syntax that is decoded, encoded by imagecodecs or pydicom."""

from collections.abc import Callable

import imagecodecs
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import UID

RLE = "1.2.840.10008.1.2.5"


def _rle(pixels: np.ndarray) -> bytes:
    return RLELosslessEncoder.encode(
        np.ascontiguousarray(pixels).tobytes(),
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples_per_pixel=1,
        bits_allocated=pixels.itemsize * 8,
        bits_stored=pixels.itemsize * 8,
        pixel_representation=0,
        number_of_frames=1,
        photometric_interpretation="MONOCHROME2",
        encoding_plugin="pydicom",
    )


def _bits(pixels: np.ndarray) -> int:
    return 8 if pixels.itemsize == 1 else 12


# By name: transfer syntax, encoder of unsigned (row, column) arrays, and the largest difference that it may make.
ENCODINGS: dict[str, tuple[str, Callable[[np.ndarray], bytes], int]] = {
    "jpeg-baseline": ("1.2.840.10008.1.2.4.50", lambda p: imagecodecs.jpeg8_encode(p, level=98), 4),
    "jpeg-extended": (
        "1.2.840.10008.1.2.4.51",
        lambda p: imagecodecs.jpeg8_encode(p, level=98, bitspersample=_bits(p)),
        16,
    ),
    "jpeg-lossless": ("1.2.840.10008.1.2.4.57", lambda p: imagecodecs.ljpeg_encode(p, bitspersample=_bits(p)), 0),
    "jpeg-lossless-sv1": (
        "1.2.840.10008.1.2.4.70",
        lambda p: imagecodecs.jpeg8_encode(p, lossless=True, predictor=1, bitspersample=16 if p.itemsize == 2 else 8),
        0,
    ),
    "jpeg-ls": ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode, 0),
    "jpeg-ls-near": ("1.2.840.10008.1.2.4.81", lambda p: imagecodecs.jpegls_encode(p, level=2), 2),
    "jpeg-2000-lossless": (
        "1.2.840.10008.1.2.4.90",
        lambda p: imagecodecs.jpeg2k_encode(p, reversible=True, codecformat="j2k", level=0),
        0,
    ),
    "jpeg-2000": ("1.2.840.10008.1.2.4.91", lambda p: imagecodecs.jpeg2k_encode(p, codecformat="j2k", level=80), 40),
    "htj2k-lossless": ("1.2.840.10008.1.2.4.201", lambda p: imagecodecs.htj2k_encode(p, reversible=True), 0),
    "htj2k-rpcl": ("1.2.840.10008.1.2.4.202", lambda p: imagecodecs.htj2k_encode(p, reversible=True), 0),
    "htj2k": ("1.2.840.10008.1.2.4.203", lambda p: imagecodecs.htj2k_encode(p, reversible=True), 0),
    "rle": (RLE, _rle, 0),
}


def compress(ds: Dataset, name: str, frames: list[np.ndarray]) -> None:
    """Give a data set frames in an encoding, and the header that belongs to them."""
    syntax, encode, _ = ENCODINGS[name]
    if not hasattr(ds, "file_meta"):
        ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.Rows, ds.Columns = frames[0].shape
    ds.BitsAllocated = frames[0].itemsize * 8
    ds.BitsStored = _bits(frames[0])
    ds.HighBit = ds.BitsStored - 1
    ds.PixelData = encapsulate([encode(frame) for frame in frames])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True


def picture(size: tuple[int, int] = (40, 52), bits: int = 12, seed: int = 0) -> np.ndarray:
    """A smooth picture with noise, from almost nothing to almost the largest number of so many bits."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    smooth = 0.5 + 0.45 * np.sin(rows / 9 + seed) * np.cos(columns / 7)
    values = smooth * (2**bits - 1) + rng.normal(0, 2, size)
    return np.clip(np.round(values), 0, 2**bits - 1).astype(np.uint8 if bits <= 8 else np.uint16)
