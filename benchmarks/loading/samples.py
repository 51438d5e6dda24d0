"""The series that the readers are given: CT slices, plain and in each compression."""

from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, CTImageStorage

from tests.peers.compressed import ENCODINGS, compress, picture
from tests.peers.synthetic_series import slice_headers

PLAIN = {"plain": "1.2.840.10008.1.2.1", "deflated": "1.2.840.10008.1.2.1.99"}
SYNTAXES = (
    *PLAIN,
    *("rle", "jpeg-lossless-sv1", "jpeg-ls", "jpeg-2000-lossless", "htj2k-lossless", "jpeg-extended", "jpeg-baseline"),
)
_DIFFERENT = 12  # slices with pixels of their own; encoding is slow, and no reader remembers any


def write_series(folder: Path, syntax: str, slices: int, size: int) -> None:
    """Slices of a CT with rescale, in files whose names say nothing of their order."""
    folder.mkdir(parents=True)
    headers = slice_headers(count=slices, size=(size, size), pixel_spacing=(0.8, 0.8), spacing=1.25)
    bits = 8 if syntax == "jpeg-baseline" else 12
    samples = [picture((size, size), bits, seed) for seed in range(min(slices, _DIFFERENT))]
    encoded: dict[int, bytes] = {}
    for index, ds in enumerate(headers):
        ds.SOPClassUID, ds.Modality, ds.RescaleSlope, ds.RescaleIntercept = CTImageStorage, "CT", "1", "-1024"
        which = index % len(samples)
        _fill(ds, syntax, samples[which], encoded, which)
        ds.save_as(folder / f"{(index * 7919) % 100_003:06d}.dcm", enforce_file_format=True)


def _fill(ds: Dataset, syntax: str, pixels: np.ndarray, encoded: dict[int, bytes], which: int) -> None:
    if syntax in PLAIN:
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = UID(PLAIN[syntax])
        ds.BitsStored, ds.HighBit = 12, 11
        ds.PixelData = pixels.tobytes()
        return
    if which not in encoded:
        compress(ds, syntax, [pixels])
        encoded[which] = ds.PixelData
        return
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(ENCODINGS[syntax][0])
    ds.BitsAllocated = pixels.itemsize * 8
    ds.BitsStored = 8 if pixels.itemsize == 1 else 12
    ds.HighBit = ds.BitsStored - 1
    ds.PixelData = encoded[which]
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
