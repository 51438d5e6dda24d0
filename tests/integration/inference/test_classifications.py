"""The worker on classification jobs: the same ends and the same care as for segmentations."""

from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image
from pydicom import Dataset, dcmread

from storage.domain.job import ClaimedJob
from tests.integration.inference.conftest import Site
from tests.peers.synthetic_series import slice_headers, with_pixels
from tests.peers.tiny_classifier import brightness_network, write_tiny_classifier

SIDE = 40


def _study(level: int = 1500) -> list[Dataset]:
    """Six slices, the fourth evenly bright at ``level`` of 2000, the others a quarter as bright; none is flat."""
    values = np.full((6, SIDE, SIDE), level // 4)
    values[3] = level
    values[:, 0, 0] = 0
    return with_pixels(slice_headers(size=(SIDE, SIDE)), values)


def _job() -> ClaimedJob:
    return ClaimedJob(1, "inference", "1.2.3.4", 1, "t", 1, 3, datetime.now(UTC), "tiny-classifier", "1.0")  # type: ignore[arg-type]


def test_a_study_becomes_a_classification_with_evidence_and_a_picture(site: Site) -> None:
    """The brightest slice is the key image: its mean brightness is the probability in row, report and text."""
    site.install(write_tiny_classifier(site.folder / "tiny"))
    headers = _study()
    site.receive(list(reversed(headers)))

    with site.worker():
        assert site.job_when_settled() == ("completed", "analysed", None)

    ((text, findings, pictures),) = site.rows("SELECT report_text, findings, pictures FROM result")
    told = findings[0]["classification"]
    assert told["probability"] == pytest.approx(0.75, abs=0.01)
    assert (told["present"], told["threshold"], told["threshold_origin"]) == (True, 0.62, "chosen on validation")
    assert told["key_sop_instance_uid"] == headers[3].SOPInstanceUID
    assert "Tumour: found; highest probability 0.75 on image 4, threshold 0.62 (chosen on validation)" in text
    roles = site.rows("SELECT role, sha256 FROM evidence ORDER BY id")
    assert [role for role, _ in roles] == ["secondary-capture", "secondary-capture", "report"]
    capture, _, report = (dcmread(site.objects.evidence(digest)) for _, digest in roles)
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == headers[3].SOPInstanceUID
    assert report.PatientID == "P1"
    assert [one["title"] for one in pictures] == ["Tumour"]
    shown = np.asarray(Image.open(BytesIO(site.objects.evidence(pictures[0]["sha256"]).read_bytes())))
    assert (shown == capture.pixel_array).all()


def test_a_class_below_its_threshold_is_told_with_its_numbers(site: Site) -> None:
    """Not found is a result with evidence, never silence."""
    site.install(write_tiny_classifier(site.folder / "tiny"))
    site.receive(_study(level=600))

    with site.worker():
        assert site.job_when_settled() == ("completed", "analysed", None)

    ((text,),) = site.rows("SELECT report_text FROM result")
    assert "Tumour: not found; highest probability 0.30 on image 4, threshold 0.62" in text


def test_a_second_attempt_makes_the_same_bytes(site: Site) -> None:
    """Evidence and pictures are functions of study, algorithm and first claim."""
    site.install(write_tiny_classifier(site.folder / "tiny"))
    site.receive(_study())
    job = _job()

    first, second = site.analyse(job), site.analyse(job)

    assert [one.part10 for one in first.evidence] == [one.part10 for one in second.evidence]
    assert first.pictures == second.pictures


def test_monochrome1_is_inverted_before_the_network_sees_it(site: Site) -> None:
    """The slice that a viewer shows bright has the highest probability."""
    site.install(write_tiny_classifier(site.folder / "tiny"))
    pixels = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    headers = with_pixels(
        slice_headers(size=(SIDE, SIDE), edit=lambda _, ds: setattr(ds, "PhotometricInterpretation", "MONOCHROME1")),
        np.stack([np.where(pixels < 16 * (index + 1), 2000, 0) for index in range(6)]),
    )
    site.receive(headers)

    (finding,) = site.analyse(_job()).findings

    assert finding.classification.key_sop_instance_uid == headers[0].SOPInstanceUID
    assert finding.classification.probability == pytest.approx(0.99, abs=0.005)


@pytest.mark.parametrize("operator", ["Log", "Neg", "Exp"])
def test_what_is_no_probability_is_never_a_negative(site: Site, operator: str) -> None:
    """Logits and other numbers outside 0 to 1 give a failed job, no result, no evidence and no picture."""
    site.install(write_tiny_classifier(site.folder / "tiny", brightness_network(operator)))
    site.receive(_study())

    with site.worker():
        assert site.job_when_settled() == ("failed", None, "invalid-output")

    assert site.rows("SELECT count(*) FROM result_origin") == [(0,)]
    assert {form for (form,) in site.rows("SELECT form FROM evidence")} <= {"basic-text"}  # which says why


@pytest.mark.parametrize("end", ["probabilities", "maps"])
def test_an_output_of_nan_is_never_a_negative(site: Site, end: str) -> None:
    """NaN in a probability, or in the map that would explain it, is no result."""
    site.install(write_tiny_classifier(site.folder / "tiny", _with_nan_at(end)))
    site.receive(_study())

    with site.worker():
        assert site.job_when_settled() == ("failed", None, "invalid-output")

    assert site.rows("SELECT count(*) FROM result_origin") == [(0,)]


def _with_nan_at(end: str) -> bytes:
    """The network with one end replaced by the logarithm of negative numbers."""
    model = onnx.load_model_from_string(brightness_network())
    (maker,) = [node for node in model.graph.node if end in node.output]
    maker.output[0] = "sound"
    for node in model.graph.node:
        node.input[:] = ["sound" if name == end else name for name in node.input]
    one = next(tensor.name for tensor in model.graph.initializer if tensor.name == "one")
    more = [
        helper.make_node("Abs", ["sound"], ["size"]),
        helper.make_node("Add", ["size", one], ["positive"]),
        helper.make_node("Neg", ["positive"], ["negative"]),
        helper.make_node("Log", ["negative"], [end]),
    ]
    model.graph.node.extend(more)
    content: bytes = model.SerializeToString()
    return content


def test_a_study_of_another_modality_is_not_analysed(site: Site) -> None:
    """The job completes with the refusal as its reason."""
    site.install(write_tiny_classifier(site.folder / "tiny"))
    site.receive(slice_headers(edit=lambda _, ds: setattr(ds, "Modality", "CT")))

    with site.worker():
        assert site.job_when_settled() == ("completed", "not-analysed", "modality-not-accepted")


def test_slices_that_show_nothing_are_left_out_and_counted(site: Site) -> None:
    """The empty slices at the ends of a stack are no statement of the network; the report says how many it saw."""
    site.install(write_tiny_classifier(site.folder / "tiny"))
    study = _study()
    for place in (0, 5):
        study[place].PixelData = np.full(SIDE * SIDE, 1900, "<u2").tobytes()  # brighter than any other, and flat
    site.receive(study)

    result = site.analyse(_job())

    (finding,) = result.findings
    assert finding.classification.key_sop_instance_uid == study[3].SOPInstanceUID
    assert (finding.classification.images_examined, finding.classification.images) == (4, 6)
    assert "4 of 6 images examined" in result.report_text
    assert len(result.input_sop_instance_uids) == 6


@pytest.mark.parametrize(("min_content", "key", "examined"), [(0.0, 5, 6), (0.05, 3, 5)])
def test_air_at_the_end_of_a_scan_is_left_out_where_the_algorithm_says_so(
    site: Site, min_content: float, key: int, examined: int
) -> None:
    """Scaled by itself, noise is as bright as a head; the contract keeps it from being the key image."""
    minmax = {"size": [32, 32], "intensity": {"method": "minmax", "center": None, "width": None}}
    site.install(write_tiny_classifier(site.folder / "tiny", image=minmax, input={"min_content": min_content}))
    values = np.zeros((6, SIDE, SIDE), int)
    values[:, : SIDE // 2] = 400
    values[3, : SIDE * 3 // 5] = 400
    values[5] = 3
    values[5, 0, 0] = 0
    study = with_pixels(slice_headers(size=(SIDE, SIDE)), values)
    site.receive(study)

    (finding,) = site.analyse(_job()).findings

    assert finding.classification.key_sop_instance_uid == study[key].SOPInstanceUID
    assert (finding.classification.images_examined, finding.classification.images) == (examined, 6)


def test_a_series_of_which_no_image_shows_enough_fails(site: Site) -> None:
    """Nothing was looked at, and the reason names what was asked for."""
    site.install(write_tiny_classifier(site.folder / "tiny", input={"min_content": 0.9}))
    values = np.zeros((6, SIDE, SIDE), int)
    values[:, : SIDE // 2] = 400
    site.receive(with_pixels(slice_headers(size=(SIDE, SIDE)), values))

    with site.worker():
        assert site.job_when_settled() == ("failed", None, "empty-image")
    assert "of none of its images 90% are brighter than air" in str(site.rows("SELECT reason_sentence FROM job"))


def test_a_series_that_shows_nothing_fails(site: Site) -> None:
    """Nothing was looked at, so 'not found' would be a lie."""
    site.install(write_tiny_classifier(site.folder / "tiny"))
    site.receive(slice_headers())

    with site.worker():
        assert site.job_when_settled() == ("failed", None, "empty-image")


def test_a_single_radiograph_is_classified(site: Site) -> None:
    """One image without a place in the patient gives one key image, in its own proportions, and a report."""

    def edit(_: int, ds: Dataset) -> None:
        ds.Modality = "DX"
        del ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.FrameOfReferenceUID, ds.PixelSpacing

    site.install(write_tiny_classifier(site.folder / "tiny", inference={"saliency_output": None}))
    values = np.full((1, 32, 50), 1000)
    values[0, 0, 0] = 0
    site.receive(with_pixels(slice_headers(count=1, size=(32, 50), edit=edit), values))

    result = site.analyse(_job())

    assert "Tumour: not found; probability" in result.report_text
    assert [one.role for one in result.evidence] == ["secondary-capture", "secondary-capture", "report"]
    capture = dcmread(BytesIO(result.evidence[0].part10))
    assert (capture.Rows, capture.Columns) == (410, 640)
