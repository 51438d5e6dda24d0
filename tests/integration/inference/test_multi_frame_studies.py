"""A study of one multi-frame instance has the results that the same images have when they are sent one by one."""

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from inference.algorithms.folder import verify
from inference.pipeline import ReadyAlgorithm, analyse
from inference.resident_algorithms import ResidentAlgorithms
from inference.settings import WorkerSettings
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from storage.domain.result import EvidenceForm, EvidenceRole, NewResult
from tests.integration.inference.conftest import Site
from tests.peers.multi_frame import enhanced
from tests.peers.synthetic_series import kept, slice_headers, study_of, with_pixels
from tests.peers.tiny_algorithm import write_tiny_algorithm
from tests.peers.tiny_classifier import write_tiny_classifier

SIDE = 40
MIXED = [3, 0, 5, 1, 4, 2]  # the order of frames in the instance
VALUES = np.zeros((6, SIDE, SIDE))
VALUES[2:4, 8:20, 8:24] = 1500
VALUES[4, 30:34, 30:38] = 1500
VALUES += np.arange(6)[:, None, None]
WANTED = frozenset(EvidenceForm)


def _images() -> list[Dataset]:
    return with_pixels(slice_headers(size=(SIDE, SIDE)), VALUES)


def _together(images: list[Dataset]) -> Dataset:
    return enhanced([images[place] for place in MIXED])


def _ready(folder: Path) -> ReadyAlgorithm:
    verified = verify(folder)
    identity = verified.manifest.identity
    found = RegisteredAlgorithm(
        identity.name,
        identity.version,
        AlgorithmStage.ACTIVE,
        folder,
        verified.manifest_sha256,
        verified.artifact_sha256,
    )
    return ResidentAlgorithms(WorkerSettings(device="cpu", threads=1)).ready(found)


@pytest.fixture(params=["segmentation", "classification"])
def ready(request: pytest.FixtureRequest, tmp_path: Path) -> ReadyAlgorithm:
    """An algorithm of each task."""
    write = write_tiny_algorithm if request.param == "segmentation" else write_tiny_classifier
    return _ready(write(tmp_path / "algorithm"))


def _result(datasets: list[Dataset], ready: ReadyAlgorithm, folder: Path) -> NewResult:
    folder.mkdir()
    result = analyse(study_of(kept(datasets, folder)), ready, datetime(2024, 1, 1, tzinfo=UTC), b"s" * 32, WANTED)
    assert isinstance(result, NewResult)
    return result


@pytest.fixture
def both(ready: ReadyAlgorithm, tmp_path: Path) -> tuple[NewResult, NewResult, list[Dataset], Dataset]:
    """The results of the images alone and together, and what they were made of."""
    images = _images()
    instance = _together(images)
    alone, together = _result(images, ready, tmp_path / "alone"), _result([instance], ready, tmp_path / "together")
    return alone, together, images, instance


def test_findings_and_pictures_are_the_same(both: tuple[NewResult, NewResult, list[Dataset], Dataset]) -> None:
    """Measured values, probabilities and what is drawn do not depend on how the images were sent."""
    alone, together, images, instance = both

    def comparable(result: NewResult) -> list[Any]:
        return [
            replace(
                one,
                tracking_uid="",
                classification=one.classification
                and replace(one.classification, key_sop_instance_uid="", key_frame_number=None),
            )
            for one in result.findings
        ]

    assert comparable(alone) == comparable(together)
    assert [one.title for one in alone.pictures] == [one.title for one in together.pictures]
    for first, second in zip(alone.findings, together.findings, strict=True):
        if first.classification is None or second.classification is None:
            assert alone.pictures == together.pictures
            continue
        uids = [image.SOPInstanceUID for image in images]
        key = uids.index(first.classification.key_sop_instance_uid)
        assert first.classification.key_frame_number is None
        assert second.classification.key_sop_instance_uid == instance.SOPInstanceUID
        assert second.classification.key_frame_number == MIXED.index(key) + 1
        assert f"on image {MIXED.index(key) + 1}," in together.report_text


def test_the_input_is_one_instance(both: tuple[NewResult, NewResult, list[Dataset], Dataset]) -> None:
    """Instances are counted, not frames; the forms of evidence are those of the images alone."""
    alone, together, images, instance = both

    assert together.input_sop_instance_uids == (instance.SOPInstanceUID,)
    assert set(alone.input_sop_instance_uids) == {image.SOPInstanceUID for image in images}
    assert [(one.role, one.form) for one in together.evidence] == [(one.role, one.form) for one in alone.evidence]
    assert f"{len(images)} images" in together.report_text


def test_evidence_names_what_was_sent_and_nothing_else(
    both: tuple[NewResult, NewResult, list[Dataset], Dataset],
) -> None:
    """Every reference in every object is to the instance or to evidence of the same result, with frames that exist."""
    _, together, _, instance = both
    own = {one.sop_instance_uid for one in together.evidence}
    for one in together.evidence:
        seen = list(_references(dcmread(BytesIO(one.part10))))
        assert [item for item in seen if item.ReferencedSOPInstanceUID == instance.SOPInstanceUID] or (
            one.role is EvidenceRole.DOCUMENT
        )
        for item in seen:
            if item.ReferencedSOPInstanceUID == instance.SOPInstanceUID:
                assert item.ReferencedSOPClassUID == instance.SOPClassUID
                numbers = np.atleast_1d(item.get("ReferencedFrameNumber", 1)).astype(int)
                assert set(numbers) <= set(range(1, 7))
            else:
                assert item.ReferencedSOPInstanceUID in {*own, instance.StudyInstanceUID}


def _references(dataset: Dataset) -> list[Dataset]:
    found = [dataset] if "ReferencedSOPInstanceUID" in dataset else []
    for element in dataset:
        if element.VR == "SQ":
            found += [one for item in element.value for one in _references(item)]
    return found


def test_the_mask_lies_on_the_frames_that_it_was_found_on(tmp_path: Path) -> None:
    """Each frame of the segmentation is derived from the frame whose bright pixels it holds."""
    ready = _ready(write_tiny_algorithm(tmp_path / "algorithm"))
    result = _result([_together(_images())], ready, tmp_path / "images")
    (seg,) = [dcmread(BytesIO(one.part10)) for one in result.evidence if one.form is EvidenceForm.BINARY]

    shown = {}
    for groups, pixels in zip(seg.PerFrameFunctionalGroupsSequence, seg.pixel_array, strict=True):
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        shown[int(source.ReferencedFrameNumber)] = pixels
    assert sorted(shown) == sorted(MIXED.index(place) + 1 for place in (2, 3, 4))
    for number, pixels in shown.items():
        np.testing.assert_array_equal(pixels, VALUES[MIXED[number - 1]] > 100)


def test_a_refused_study_of_frames_is_told(site: Site) -> None:
    """The report that there is no result refers to the one instance, and is the patient's."""
    site.install(write_tiny_algorithm(site.folder / "tiny"))
    three = _images()[:3]
    site.receive([enhanced([*three, *three])])

    with site.worker():
        assert site.job_when_settled() == ("completed", "not-analysed", "duplicate-positions")
        site.wait_for(lambda: site.rows("SELECT count(*) FROM evidence") == [(1,)])

    ((digest,),) = site.rows("SELECT sha256 FROM evidence")
    report = dcmread(site.objects.evidence(digest))
    (series,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert len(series.ReferencedSOPSequence) == 1
    assert report.PatientName == three[0].PatientName


def test_the_worker_stores_the_result_of_an_enhanced_study(site: Site) -> None:
    """The job ends as any other, and the result claims the one instance as its input."""
    site.install(write_tiny_classifier(site.folder / "tiny"))
    site.receive([_together(_images())])

    with site.worker():
        assert site.job_when_settled() == ("completed", "analysed", None)

    assert site.rows("SELECT count(*) FROM result_input") == [(1,)]
    ((findings,),) = site.rows("SELECT findings FROM result")
    assert findings[0]["classification"]["key_frame_number"] in (MIXED.index(2) + 1, MIXED.index(3) + 1)
