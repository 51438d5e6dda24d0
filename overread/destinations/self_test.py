"""The self-test: a marked study with one instance of every form of a profile, made by the encoders of daily work."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from inference.algorithms.identity import AlgorithmIdentity
from inference.evidence.build import EvidenceContext, build_classification_evidence, build_evidence
from inference.evidence.context import service_version
from inference.evidence.key_image_picture import draw_key_image
from inference.evidence.result_uids import USUAL_NAMING, ResultIdentity, SeriesNaming
from inference.evidence.segment_findings import Labels
from inference.findings.classification import KeyImage
from inference.findings.measurement import CUBIC_CENTIMETER, VOLUME
from inference.findings.segment import SegmentDescription
from inference.findings.segmentation import Probabilities
from inference.imaging.resampling import GridMap
from overread.destinations.self_test_images import SLICES, SPACING_MM, fresh_uid, self_test_images
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import Classification, Finding, Measurement
from storage.domain.result import EvidenceForm, EvidenceObject
from storage.domain.self_test import SelfTest, SelfTestInstance
from storage.domain.viewer_profile import ViewerProfile

# Of the second, Rows × Columns is no multiple of 8, so that frames of a binary segmentation share bytes.
_MATRICES = ((128, 128), (127, 125))
_PHYSICAL_OBJECT = CodedConcept("260787004", "SCT", "Physical object")
_PHANTOM = CodedConcept("113681", "DCM", "Phantom")
_BOX = SegmentDescription(1, "Self-test box", _PHYSICAL_OBJECT, _PHANTOM, None, (255, 215, 0))
_DIGEST = hashlib.sha256(b"overread self-test").hexdigest()
_ALGORITHM = AlgorithmIdentity(
    name="Overread self-test",
    version=service_version(),
    manufacturer="Overread",
    artifact_sha256=_DIGEST,
    manifest_sha256=_DIGEST,
    family=CodedConcept("123110", "DCM", "Artificial Intelligence"),
    use="research",
    intended_use="Trying whether a destination takes what Overread sends.",
)


def make_self_test(
    profile: ViewerProfile, folder: Path, site_secret: bytes, naming: SeriesNaming = USUAL_NAMING
) -> SelfTest:
    """Write the study into ``folder``; each call makes another one.

    A form of the profile that there is no encoder for is left out.
    """
    study, now = fresh_uid(), datetime.now(UTC)
    written: list[SelfTestInstance] = []
    made: dict[EvidenceForm, EvidenceObject] = {}
    for number, (rows, columns) in enumerate(_MATRICES, start=1):
        images = self_test_images(study, number, rows, columns, now)
        written += [_written(folder, image) for image in images]
        context = _context(images, now, site_secret, naming)
        _keep_first(made, _segmented(context, profile.forms - {*made}), profile.forms)
        _keep_first(made, _classified(context, profile.forms - {*made}), profile.forms)
    objects = [_frozen(folder, made[form]) for chain in profile.chains for form in chain if form in made]
    return SelfTest(study, (*written, *objects))


def _keep_first(
    made: dict[EvidenceForm, EvidenceObject], evidence: Iterable[EvidenceObject], wanted: frozenset[EvidenceForm]
) -> None:
    for one in evidence:
        if one.form in wanted:
            made.setdefault(one.form, one)


def _context(images: Sequence[Dataset], now: datetime, site_secret: bytes, naming: SeriesNaming) -> EvidenceContext:
    identity = ResultIdentity(
        site_secret=site_secret,
        study_instance_uid=str(images[0].StudyInstanceUID),
        input_sha256s=tuple(hashlib.sha256(str(image.SOPInstanceUID).encode()).hexdigest() for image in images),
        artifact_sha256=_DIGEST,
        manifest_sha256=_DIGEST,
        naming=naming,
    )
    return EvidenceContext(tuple(images), lambda index: _values(images[index]), _ALGORITHM, now, identity)


def _segmented(context: EvidenceContext, wanted: frozenset[EvidenceForm]) -> tuple[EvidenceObject, ...]:
    """A box on the slices in the middle."""
    labels: Labels = np.zeros((SLICES, int(context.sources[0].Rows), int(context.sources[0].Columns)), np.uint8)
    labels[1:-1, 64:112, 32:96] = _BOX.number
    sure = (labels == _BOX.number).astype(np.float32)
    same_grid = GridMap((0, 1, 2), (False, False, False), labels.shape, labels.shape, (1.0, 1.0, 1.0))
    probabilities = Probabilities(sure[None], {_BOX.number: 0}, same_grid, anti_aliasing=False)
    volume = float(np.count_nonzero(labels) * np.prod(SPACING_MM)) / 1000
    finding = Finding(
        kind=_BOX.type,
        site=_BOX.site,
        tracking_identifier=_BOX.label,
        tracking_uid=context.identity.uid(f"tracking {_BOX.label}"),
        measurements=(Measurement(VOLUME, volume, CUBIC_CENTIMETER),),
    )
    return build_evidence(context, labels, [_BOX], [finding], wanted, probabilities)


def _classified(context: EvidenceContext, wanted: frozenset[EvidenceForm]) -> tuple[EvidenceObject, ...]:
    """The same as a class, for what only a classification has, such as a picture of the key image."""
    index = SLICES // 2
    image = context.sources[index]
    classification = Classification(
        label="Self-test",
        probability=0.5,
        threshold=0.5,
        threshold_origin="set by hand",
        present=True,
        key_sop_instance_uid=str(image.SOPInstanceUID),
        images_examined=SLICES,
        images=SLICES,
    )
    finding = Finding(
        kind=_PHANTOM,
        site=None,
        tracking_identifier="Overread self-test",
        tracking_uid=context.identity.uid("tracking Self-test"),
        classification=classification,
    )
    key = KeyImage(finding, classification, _BOX.rgb, index, _values(image), mapped=False, saliency=None, region=None)
    return build_classification_evidence(context, [key], [draw_key_image(context, key)], wanted)


def _values(image: Dataset) -> NDArray[np.float32]:
    return np.frombuffer(image.PixelData, "<i2").reshape(image.Rows, image.Columns).astype(np.float32)


def _written(folder: Path, image: Dataset) -> SelfTestInstance:
    path = folder / f"{image.SOPInstanceUID}.dcm"
    image.save_as(path, enforce_file_format=True)
    return SelfTestInstance(
        form=None,
        sop_class_uid=str(image.SOPClassUID),
        sop_instance_uid=str(image.SOPInstanceUID),
        series_instance_uid=str(image.SeriesInstanceUID),
        transfer_syntax_uid=str(image.file_meta.TransferSyntaxUID),
        path=path,
        size=path.stat().st_size,
    )


def _frozen(folder: Path, one: EvidenceObject) -> SelfTestInstance:
    path = folder / f"{one.sop_instance_uid}.dcm"
    path.write_bytes(one.part10)
    return SelfTestInstance(
        form=one.form,
        sop_class_uid=one.sop_class_uid,
        sop_instance_uid=one.sop_instance_uid,
        series_instance_uid=one.series_instance_uid,
        transfer_syntax_uid=one.transfer_syntax_uid,
        path=path,
        size=path.stat().st_size,
    )
