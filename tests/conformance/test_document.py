"""The Encapsulated PDF, as readers that are not ours see the document in it."""

import re
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from inference.algorithms.image_scoring import Highest
from inference.evidence.build import build_classification_evidence, further_evidence
from inference.evidence.further import Segmented
from storage.domain.result import EvidenceForm, EvidenceRole
from tests.conformance.source_classification import HAEMORRHAGE, TUMOUR, classified, corner_map
from tests.conformance.source_modalities import segmented
from tests.unit.inference_evidence.test_segment_pictures import many

_OF_THE_PATIENT = ("Doe", "Jane", "PID-0042", "1960", "ACC-7", "Roe", "General Hospital", "CT Thorax")


def _segmentation(_: Path) -> bytes:
    (one,) = further_evidence(segmented("CT axial"), EvidenceRole.DOCUMENT)
    return one.part10


def _classification(folder: Path) -> bytes:
    scores = [Highest(2, 0.93, corner_map()), Highest(4, 0.31, corner_map())]
    case = classified(folder, scores, classes=[TUMOUR, HAEMORRHAGE])
    wanted = frozenset({EvidenceForm.DOCUMENT})
    (one,) = build_classification_evidence(case.context, case.keys, case.drawn, wanted)
    return one.part10


def _many(_: Path) -> bytes:
    (one,) = further_evidence(many((3, 256, 256), 40), EvidenceRole.DOCUMENT)
    return one.part10


RESULTS: dict[str, Callable[[Path], bytes]] = {
    "segmentation": _segmentation,
    "classification": _classification,
    "forty segments": _many,
}


@pytest.fixture(params=list(RESULTS))
def document(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    """The object of each kind of result."""
    return dcmread(BytesIO(RESULTS[request.param](tmp_path / "images")))


def _pdf(document: Dataset, folder: Path) -> Path:
    file = folder / "document.pdf"
    file.write_bytes(document.EncapsulatedDocument[: document.EncapsulatedDocumentLength])
    return file


def _text(document: Dataset, folder: Path) -> str:
    file = _pdf(document, folder)
    return subprocess.run(["pdftotext", "-layout", str(file), "-"], check=True, capture_output=True, text=True).stdout


def _without_pixels(pdf: bytes) -> bytes:
    """The file with its streams inflated, but for pixels, in which any three letters may come by chance."""
    *parts, rest = re.split(rb"\bstream\n(.*?)\nendstream\b", pdf, flags=re.DOTALL)
    readable = [rest]
    for described, stream in zip(parts[::2], parts[1::2], strict=True):
        about = described[described.rindex(b" obj") :]
        readable.append(described)
        if b"/Subtype /Image" not in about:
            readable.append(zlib.decompress(stream) if b"/FlateDecode" in about else stream)
    return b"".join(readable)


def test_dciodvfy_finds_no_error(document: Dataset, tmp_path: Path) -> None:
    """The object of each kind of result is a valid Encapsulated PDF (P4)."""
    document.save_as(tmp_path / "document.dcm")

    run = subprocess.run(["dciodvfy", "-new", str(tmp_path / "document.dcm")], capture_output=True, text=True)

    assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []
    assert run.returncode == 0


def test_its_words_can_be_searched_and_none_is_of_the_patient(document: Dataset, tmp_path: Path) -> None:
    """Another reader finds mark, algorithm, digest and number of images as text, and nothing of the patient (P4)."""
    text, readable = _text(document, tmp_path), _without_pixels(_pdf(document, tmp_path).read_bytes())

    assert b"/Title" in readable
    for expected in ("AI result, not verified. RESEARCH", "Sample organ finder 1.2.3", "a" * 64, "Overread 0."):
        assert expected in text
    for secret in _OF_THE_PATIENT:
        assert secret not in text
        assert secret.encode() not in readable


def test_each_page_has_the_mark_and_the_font_is_inside(tmp_path: Path) -> None:
    """Forty findings go over several pages, each with the mark, in letters that need no font of the reader's."""
    document = dcmread(BytesIO(_many(tmp_path)))

    pages = _text(document, tmp_path).rstrip("\f").split("\f")
    fonts = subprocess.run(["pdffonts", str(_pdf(document, tmp_path))], check=True, capture_output=True, text=True)

    assert len(pages) > 1
    for number, page in enumerate(pages, start=1):
        assert page.count("AI result, not verified. RESEARCH") == 2
        assert f"Page {number} of {len(pages)}" in page
    assert "äußeres Segment Nr. 40 (Größe ≥ 3" in "\n".join(pages)
    (font,) = fonts.stdout.splitlines()[2:]
    assert "DejaVuSans" in font
    assert font.split()[-5] == "yes"  # emb


def test_the_numbers_are_there_with_their_units(tmp_path: Path) -> None:
    """Findings, values and the image on which each is largest stand in one row."""
    text = _text(dcmread(BytesIO(_segmentation(tmp_path))), tmp_path)

    assert "Volume 667.2 mm3" in text
    assert "Attenuation Coefficient, mean -12.35 HU" in text
    assert "CT, 6 images" in text
    liver, nodule = (next(line for line in text.splitlines() if name in line) for name in ("1 Liver", "2 Lung nodule"))
    assert (liver.split()[-1], nodule.split()[-1]) == ("2", "4")


def test_a_classification_is_told_with_probability_and_threshold(tmp_path: Path) -> None:
    """Found or not, each class is a row."""
    text = _text(dcmread(BytesIO(_classification(tmp_path / "images"))), tmp_path)

    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "Tumour found 0.93 0.62 3" in rows
    assert "Haemorrhage not found 0.31 0.40 5" in rows


def test_thresholds_and_steps_are_told_with_their_origin(tmp_path: Path) -> None:
    """Below the table, those that are alike in one line; what holds for all of them names none."""
    result, origin = segmented("CT axial"), "threshold 0.5 (chosen on validation)"
    steps = "postprocessing: keep the largest component"

    def told(*ways: tuple[str, ...]) -> list[str]:
        found = [
            replace(one, finding=replace(one.finding, made_by=way)) for one, way in zip(result.found, ways, strict=True)
        ]
        (document,) = further_evidence(replace(result, found=found), EvidenceRole.DOCUMENT)
        text = _text(dcmread(BytesIO(document.part10)), tmp_path)
        return [" ".join(line.split()) for line in text.splitlines() if "threshold" in line]

    assert told((origin,), (origin,)) == [f"Outlined with {origin}"]
    assert told((origin, steps), (origin,)) == [
        f"Outlined with Liver: {origin}; {steps}",
        f"Lung nodule: {origin}",
    ]
    assert told((), ()) == []
    classes = _text(dcmread(BytesIO(_classification(tmp_path / "images"))), tmp_path)
    assert "Thresholds Tumour: 0.62 (chosen on validation)" in " ".join(classes.split())


def test_the_pictures_are_inside(tmp_path: Path) -> None:
    """What the pages show is what is sent as Secondary Captures, pixel by pixel."""
    result = segmented("CT axial")
    file = _pdf(dcmread(BytesIO(_segmentation(tmp_path))), tmp_path)
    subprocess.run(["pdfimages", "-png", str(file), str(tmp_path / "picture")], check=True)

    shown = [np.asarray(Image.open(one)) for one in sorted(tmp_path.glob("picture-*.png"))]

    expected = [one.picture.pixels for one in result.captures]
    assert len(shown) == len(expected) == 2
    for one, other in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_object_says_what_it_holds(document: Dataset) -> None:
    """Title, concept, type, sources and flags are stated, and the length is that of the document."""
    (concept,) = document.ConceptNameCodeSequence
    assert (concept.CodeValue, concept.CodingSchemeDesignator) == ("18748-4", "LN")
    assert document.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert document.EncapsulatedDocument.startswith(b"%PDF-")
    assert document.EncapsulatedDocument[: document.EncapsulatedDocumentLength].rstrip().endswith(b"%%EOF")
    assert "Sample organ finder 1.2.3" in document.DocumentTitle
    assert (document.BurnedInAnnotation, document.VerificationFlag, document.Modality) == ("NO", "UNVERIFIED", "DOC")
    assert document.SeriesDescription == "Sample organ finder summary (RESEARCH, not verified)"
    assert document.ContentQualification == "RESEARCH"
    assert len(document.SourceInstanceSequence) in (3, 6)


def test_the_same_job_twice_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the clock nor chance is in the file (S12); another job has another identifier."""
    result = segmented("MR coronal")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    (first,) = further_evidence(result, EvidenceRole.DOCUMENT)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "2000000000")
    (second,) = further_evidence(segmented("MR coronal"), EvidenceRole.DOCUMENT)
    identity = replace(result.context.identity, site_secret=b"another")
    other = Segmented(replace(result.context, identity=identity), result.labels, result.found)
    (third,) = further_evidence(other, EvidenceRole.DOCUMENT)

    assert first.part10 == second.part10
    assert b"D:20260304000607-05'00'" in first.part10
    identifiers = [one.part10[one.part10.rindex(b"/ID") :][:80] for one in (first, third)]
    assert identifiers[0] != identifiers[1]
