"""Classifications of small synthetic series, as the pipeline makes them, with every kind of outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation

from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.image_scoring import Highest
from inference.algorithms.manifest import parse_manifest
from inference.evidence.build import build_classification_evidence
from inference.evidence.context import EvidenceContext
from inference.evidence.key_image_picture import draw_key_image
from inference.evidence.shown_image import Picture
from inference.findings.classification import KeyImage, conclude
from inference.imaging.image_series import ImageSeries
from storage.domain.result import EvidenceObject
from tests.conformance.source_series import SourceSeries, make_context, make_series
from tests.peers.multi_frame import files_of
from tests.peers.synthetic_series import kept
from tests.peers.tiny_classifier import MANIFEST, manifest_with

TUMOUR: dict[str, Any] = MANIFEST["outputs"]["classes"][0]
HAEMORRHAGE: dict[str, Any] = TUMOUR | {
    "index": 1,
    "label": "Haemorrhage",
    "finding": {"value": "50960005", "scheme": "SCT", "meaning": "Hemorrhage"},
    "threshold": 0.4,
    "rgb": [60, 160, 255],
}
MR = SourceSeries(modality="MR", shape=(6, 24, 32), spacing=(1.6, 0.8))


@dataclass(frozen=True)
class Classified:
    """One job: its images, what was concluded, and what came of it."""

    context: EvidenceContext
    keys: tuple[KeyImage, ...]
    drawn: list[Picture]
    evidence: tuple[EvidenceObject, ...]


def classified(
    folder: Path,
    scores: Sequence[Highest],
    sources: Sequence[Dataset] | None = None,
    classes: Sequence[dict[str, Any]] = (TUMOUR,),
) -> Classified:
    """What the pipeline makes of these highest scores on these images."""
    manifest = parse_manifest(manifest_with(outputs={"classes": list(classes)}))
    assert isinstance(manifest, ClassificationManifest)
    images = tuple(make_series(MR) if sources is None else sources)
    folder.mkdir(parents=True, exist_ok=True)
    series = ImageSeries(images, {one.header.sop_instance_uid: one for one in kept(files_of(images), folder)})
    context = make_context(images)
    keys = conclude(series, scores, len(images), manifest, lambda label: context.identity.uid(f"tracking {label}"))
    drawn = [draw_key_image(context, key) for key in keys]
    return Classified(context, keys, drawn, build_classification_evidence(context, keys, drawn))


def corner_map(rows: int = 8, columns: int = 8) -> np.ndarray:
    """A map that is high in the lower right quarter of the network's input and nowhere else."""
    activation = np.zeros((rows, columns), np.float32)
    activation[rows // 2 :, columns // 2 :] = 3
    return activation


def radiograph(**attributes: object) -> Dataset:
    """One chest radiograph in MONOCHROME1, without any place in the patient."""
    image = make_series(SourceSeries(shape=(1, 40, 30)))[0]
    image.SOPClassUID, image.Modality = DigitalXRayImageStorageForPresentation, "DX"
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "PixelSpacing"):
        delattr(image, keyword)
    del image.PositionReferenceIndicator, image.SliceThickness
    image.PhotometricInterpretation = "MONOCHROME1"
    image.PixelRepresentation = 0
    image.ImagerPixelSpacing = [0.2, 0.2]
    image.PatientOrientation = ["L", "F"]
    for keyword, value in attributes.items():
        if value is None:
            delattr(image, keyword)
        else:
            setattr(image, keyword, value)
    return image
