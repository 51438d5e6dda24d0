"""Detections of small synthetic series: bright squares in the dark, found by the network of ``tiny_detector``."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.uid import UltrasoundImageStorage

from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.pipeline import ReadyAlgorithm, analyse
from inference.settings import WorkerSettings
from storage.domain.result import NewResult
from tests.conformance.every_evidence import EVERY_FORM
from tests.conformance.source_series import STARTED_AT, SourceSeries, make_series
from tests.peers.multi_frame import files_of
from tests.peers.synthetic_series import kept, study_of
from tests.peers.tiny_detector import write_tiny_detector

# A square over three slices, where the network is surest on the middle one; another one on a single slice.
LARGE, SMALL = (slice(8, 16), slice(16, 24)), (slice(40, 48), slice(44, 52))
SQUARES = ((1, LARGE, 1400), (2, LARGE, 2000), (3, LARGE, 1600), (4, SMALL, 1800))
_OF_A_PLACE = (
    *("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "PositionReferenceIndicator"),
    *("PixelSpacing", "SliceThickness"),
)
STACK = SourceSeries(shape=(6, 64, 64))


def images_with_squares(shown: bool = True, series: SourceSeries = STACK) -> tuple[Dataset, ...]:
    """Dark images of 64 x 64 pixels, which the network sees at half their size, with its bright squares."""
    images = make_series(series)
    for index, image in enumerate(images):
        pixels = np.zeros((64, 64), "<i2")
        pixels[0, 0] = 1
        for place, square, level in SQUARES:
            if shown and place == index:
                pixels[square] = level
        image.PixelData = pixels.tobytes()
        image.TimezoneOffsetFromUTC = "-0500"  # DCMTK 3.6.7 refuses every zone east of Greenwich, and Greenwich itself
    return images


def colour_image(photometric: str) -> tuple[Dataset, ...]:
    """An ultrasound image in colour with the two squares, by red, green and blue or by a palette."""
    image = images_with_squares()[2]
    levels = np.zeros((64, 64), np.uint8)
    levels[0, 0], levels[LARGE], levels[SMALL] = 1, 255, 230
    image.SOPClassUID, image.Modality = UltrasoundImageStorage, "US"
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    for keyword in (*_OF_A_PLACE, "RescaleSlope", "RescaleIntercept", "RescaleType", "WindowCenter", "WindowWidth"):
        image.pop(keyword, None)
    image.PhotometricInterpretation, image.PixelRepresentation = photometric, 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    if photometric == "RGB":
        image.SamplesPerPixel, image.PlanarConfiguration = 3, 0
        levels = np.stack([levels] * 3, axis=-1)
    else:
        for name in ("Red", "Green", "Blue"):
            image.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
            table = (np.arange(256) * 257).astype("<u2").tobytes()
            setattr(image, f"{name}PaletteColorLookupTableData", table)
    image.PixelData = levels.tobytes()
    return (image,)


def detected(folder: Path, images: tuple[Dataset, ...]) -> NewResult:
    """What the pipeline makes of these images, in every form."""
    changes: dict[str, Any] = {}
    if images[0].Modality == "US":
        intensity = {"method": "window", "center": 127.5, "width": 255}
        changes = {"input": {"modalities": ["US"], "colour": "grey"}, "image": {"intensity": intensity}}
    verified = verify(write_tiny_detector(folder / "algorithm", **changes))
    engine = Engine(verified, WorkerSettings(device="cpu"))
    (folder / "images").mkdir()
    study = study_of(kept(files_of(images), folder / "images"))
    algorithm = ReadyAlgorithm(verified, engine, engine.provider)
    result = analyse(study, algorithm, STARTED_AT, b"a secret of this site", EVERY_FORM)
    assert isinstance(result, NewResult)
    return result
