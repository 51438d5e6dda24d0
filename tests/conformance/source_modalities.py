"""One small synthetic series per modality and geometry, with what an algorithm found in it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from pydicom import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    UltrasoundImageStorage,
)

from inference.evidence.build import Segmented
from inference.evidence.segment_findings import pair
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    make_context,
    make_findings,
    make_labels,
    make_probabilities,
    make_series,
)
from tests.peers.multi_frame import as_frames

CT = SourceSeries()
# DCMTK 3.6.7's checker of presentation states refuses every time zone east of Greenwich, and Greenwich itself.
_ZONE = "-0500"
_OF_A_PLACE = ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "PositionReferenceIndicator")


def _pet() -> tuple[Dataset, ...]:
    images = make_series(replace(CT, modality="PT", spacing=(4.0, 4.0), gap=4.0))
    for index, image in enumerate(images):
        image.RescaleSlope, image.RescaleIntercept = 1 + index / 8, 0
        image.Units = "BQML"
        image.WindowCenter, image.WindowWidth = 100 * (1 + index), 200 * (1 + index)
    return images


def _gapped() -> tuple[Dataset, ...]:
    images = make_series(replace(CT, shape=(7, 24, 32)))
    return images[:3] + images[4:]


def _projection(modality: str, sop_class: str, **attributes: object) -> tuple[Dataset, ...]:
    image = make_series(replace(CT, shape=(1, 40, 30)))[0]
    image.SOPClassUID, image.Modality = sop_class, modality
    image.file_meta.MediaStorageSOPClassUID = sop_class
    for keyword in (*_OF_A_PLACE, "PixelSpacing", "SliceThickness"):
        delattr(image, keyword)
    image.PixelRepresentation = 0
    image.PixelData = np.arange(40 * 30, dtype="<u2").tobytes()
    image.ImagerPixelSpacing, image.PatientOrientation = [0.2, 0.2], ["L", "F"]
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return (image,)


def _ultrasound() -> tuple[Dataset, ...]:
    (image,) = _projection("US", UltrasoundImageStorage, PhotometricInterpretation="RGB", SamplesPerPixel=3)
    image.PlanarConfiguration, image.BitsAllocated, image.BitsStored, image.HighBit = 0, 8, 8, 7
    for keyword in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "ImagerPixelSpacing"):
        delattr(image, keyword)
    image.PixelData = bytes(40 * 30 * 3)
    return (image,)


SERIES: dict[str, Callable[[], tuple[Dataset, ...]]] = {
    "CT axial": make_series,
    "CT sagittal": lambda: make_series(replace(CT, orientation="sagittal")),
    "CT oblique": lambda: make_series(replace(CT, orientation="oblique")),
    "CT gantry tilted": lambda: make_series(replace(CT, tilt=0.9)),
    "CT reversed": lambda: make_series(replace(CT, reverse=True)),
    "CT gapped": _gapped,
    "CT odd matrix": lambda: make_series(replace(CT, shape=(6, 41, 37))),
    "MR coronal": lambda: make_series(replace(CT, modality="MR", orientation="coronal", spacing=(1.6, 0.8))),
    "PT": _pet,
    "CR": lambda: _projection("CR", ComputedRadiographyImageStorage),
    "DX": lambda: _projection("DX", DigitalXRayImageStorageForPresentation, PhotometricInterpretation="MONOCHROME1"),
    "MG": lambda: _projection(
        "MG",
        DigitalMammographyXRayImageStorageForPresentation,
        BodyPartExamined="BREAST",
        ImageLaterality="R",
    ),
    "US": _ultrasound,
    "CT enhanced": lambda: as_frames(make_series(), range(6)),
    "CT enhanced sagittal": lambda: as_frames(make_series(replace(CT, orientation="sagittal")), (3, 0, 5, 1, 4, 2)),
    "MR enhanced reversed": lambda: as_frames(
        make_series(replace(CT, modality="MR", orientation="coronal", spacing=(1.6, 0.8))), range(5, -1, -1)
    ),
    "PT enhanced": lambda: as_frames(_pet(), range(6)),
}
WITH_GEOMETRY = [name for name in SERIES if name[:2] in ("CT", "MR", "PT")]
# The pipeline analyses no volume of the first two, and OHIF gives up over a map of any of the three.
MAPPED = [name for name in WITH_GEOMETRY if name not in ("CT gantry tilted", "CT gapped", "CT odd matrix")]


def segmented(name: str) -> Segmented:
    """A liver and a nodule in the series of this name."""
    return segmented_in(SERIES[name]())


def segmented_in(images: tuple[Dataset, ...], artifact_sha256: str = "a" * 64) -> Segmented:
    """A liver and a nodule in these images, which now state their time zone."""
    for image in images:
        image.TimezoneOffsetFromUTC = _ZONE
    context = make_context(images, artifact_sha256)
    labels = make_labels((6, int(images[0].Rows), int(images[0].Columns)))
    labels = labels if len(images) == 6 else labels[2 : 2 + len(images)]
    findings = make_findings(context, labels, (LIVER, NODULE))
    return Segmented(context, labels, pair(labels, (LIVER, NODULE), findings), make_probabilities(labels))
