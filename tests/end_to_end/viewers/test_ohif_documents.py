"""What a radiologist sees in OHIF of pictures, text reports and documents, over Orthanc's DICOMweb and our own."""

from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread

from inference.algorithms.image_scoring import Highest
from inference.evidence.attributes import series_number
from inference.evidence.build import Segmented, build_classification_evidence, further_evidence
from inference.evidence.result_uids import USUAL_NAMING
from inference.evidence.segment_findings import pair
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole
from tests.conformance.source_classification import HAEMORRHAGE, TUMOUR, classified, corner_map
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    make_context,
    make_findings,
    make_labels,
    make_series,
)
from tests.end_to_end.viewers.conftest import Station, part10
from tests.peers.ohif import Ohif

_SHAPE = (8, 96, 80)
_SC = series_number(USUAL_NAMING, EvidenceRole.SECONDARY_CAPTURE)
_SR = series_number(USUAL_NAMING, EvidenceRole.REPORT)
_DOC = series_number(USUAL_NAMING, EvidenceRole.DOCUMENT)


def _segmented(study: int) -> Segmented:
    context = make_context(make_series(SourceSeries(shape=_SHAPE, study_uid=f"1.2.826.0.1.3680043.8.498.{study}")))
    labels = make_labels(_SHAPE)
    return Segmented(context, labels, pair(labels, (LIVER, NODULE), make_findings(context, labels, (LIVER, NODULE))))


def _classification(study: int, folder: Path, form: EvidenceForm) -> tuple[tuple[Dataset, ...], EvidenceObject]:
    sources = make_series(SourceSeries(modality="MR", shape=_SHAPE, study_uid=f"1.2.826.0.1.3680043.8.498.{study}"))
    scores = [Highest(2, 0.93, corner_map()), Highest(4, 0.31, None)]
    made = classified(folder, scores, sources, classes=[TUMOUR, HAEMORRHAGE])
    (evidence,) = build_classification_evidence(made.context, made.keys, made.drawn, frozenset({form}))
    return sources, evidence


def test_pictures_and_summary_are_images_of_one_series(desk: Station, reading: list[Ohif]) -> None:
    """The list has a thumbnail of them, and each is shown with every pixel that was sent, the summary last (P5)."""
    result = _segmented(21)
    evidence = further_evidence(result, EvidenceRole.SECONDARY_CAPTURE)
    desk.archive.store([*(part10(one) for one in result.context.sources), *(one.part10 for one in evidence)])
    window = desk.read(str(result.context.sources[0].StudyInstanceUID))
    reading.append(window)

    window.thumbnail_is_drawn(_SC)
    window.show_images(_SC, evidence[0].series_instance_uid)
    shown = window.shown_pixels()

    sent = [dcmread(BytesIO(one.part10)) for one in evidence]
    assert [uid for uid, _ in shown] == [str(one.SOPInstanceUID) for one in sent]
    for (_, pixels), image in zip(shown, sent, strict=True):
        np.testing.assert_array_equal(pixels, image.pixel_array)
    window.wait_for_picture()
    assert window.alarms() == []


def test_a_text_report_is_a_page_of_text(desk: Station, reading: list[Ohif], tmp_path: Path) -> None:
    """A report whose root is no Measurement Report is read as text, sentence by sentence, with the mark (R11)."""
    sources, report = _classification(22, tmp_path, EvidenceForm.BASIC_TEXT)
    desk.archive.store([*(part10(one) for one in sources), report.part10])
    window = desk.read(str(sources[0].StudyInstanceUID))
    reading.append(window)

    text = " ".join(window.show_text(_SR, "Diagnostic Imaging Report").split())

    assert "Tumour: found; highest probability 0.93 on image 3, threshold 0.62 (chosen on validation)." in text
    assert "Haemorrhage: not found; highest probability 0.31 on image 5, threshold 0.40" in text
    assert "Not verified by a physician." in text
    assert window.alarms() == []


def test_a_document_is_opened(desk: Station, reading: list[Ohif]) -> None:
    """The browser is given exactly the PDF that was sent."""
    result = _segmented(23)
    (document,) = further_evidence(result, EvidenceRole.DOCUMENT)
    desk.archive.store([*(part10(one) for one in result.context.sources), document.part10])
    window = desk.read(str(result.context.sources[0].StudyInstanceUID))
    reading.append(window)

    shown = window.show_document(_DOC)

    sent = dcmread(BytesIO(document.part10))
    length = sent.EncapsulatedDocumentLength
    assert shown[:length] == sent.EncapsulatedDocument[:length]
    assert window.alarms() == []
