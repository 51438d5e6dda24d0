"""What report, Secondary Capture, text and picture say of a classification."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread

from inference.algorithms.image_scoring import Highest
from inference.errors import UnusableInput
from inference.evidence.build import build_classification_evidence
from inference.evidence.class_words import numbers, sentence
from inference.evidence.drawing import Pen
from inference.evidence.key_image_picture import among, draw_key_image
from inference.evidence.orientation import patient_orientation
from inference.evidence.report_text import report_text
from inference.evidence.summary import classification_summary
from inference.evidence.windowing import windowing
from storage.domain import explanation
from storage.domain.coded_concept import CodedConcept
from storage.domain.explanation import reported
from storage.domain.finding import Classification, Detection, Finding
from storage.domain.result import EvidenceForm, EvidenceRole
from tests.conformance.source_classification import (
    HAEMORRHAGE,
    TUMOUR,
    Classified,
    classified,
    corner_map,
    radiograph,
)
from tests.conformance.source_series import SourceSeries, make_series

RGB = np.array(TUMOUR["rgb"])


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> Classified:
    """A class found on the third image, seen in the lower right quarter."""
    return classified(tmp_path_factory.mktemp("present"), [Highest(2, 0.93, corner_map())])


@pytest.fixture(scope="module")
def absent(tmp_path_factory: pytest.TempPathFactory) -> Classified:
    """A class not found; its highest probability is on the fifth image."""
    return classified(tmp_path_factory.mktemp("absent"), [Highest(4, 0.31, corner_map())])


def _report(one: Classified) -> Dataset:
    return dcmread(BytesIO(one.evidence[-1].part10))


def _capture(one: Classified) -> Dataset:
    return dcmread(BytesIO(one.evidence[0].part10))


def _walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from _walk(child)


def _named(item: Dataset, code: str) -> list[Dataset]:
    return [one for one in _walk(item) if one.ConceptNameCodeSequence[0].CodeValue == code]


def _classification(probability: float, threshold: float, **changes: object) -> Classification:
    facts: dict[str, object] = {
        "label": "Tumour",
        "probability": probability,
        "threshold": threshold,
        "threshold_origin": "chosen on validation",
        "present": probability >= threshold,
        "key_sop_instance_uid": "1.2.3",
        "images_examined": 6,
        "images": 6,
    }
    return Classification(**(facts | changes))  # type: ignore[arg-type]


def test_the_numbers_come_back_from_the_report(present: Classified, absent: Classified) -> None:
    """Probability in percent, class, presence, threshold and key image can be read back as they were concluded."""
    for one, presence in ((present, "121053"), (absent, "121054")):
        key = one.keys[0]
        (group,) = _named(_report(one), "125007")
        (measured,) = _named(group, "111012")[0].MeasuredValueSequence
        assert float(measured.NumericValue) == pytest.approx(key.classification.probability * 100)
        assert measured.MeasurementUnitsCodeSequence[0].CodeValue == "%"
        assert _named(group, "121071")[0].ConceptCodeSequence[0].CodeValue == key.finding.kind.value
        assert _named(group, "363698007")[0].ConceptCodeSequence[0].CodeMeaning == "Brain"
        assert _named(group, "121052")[0].ConceptCodeSequence[0].CodeValue == presence
        assert "threshold for Tumour: 0.62 (chosen on validation)" in [
            item.TextValue for item in _named(group, "111002")
        ]
        assert key.finding.tracking_uid == _named(group, "112040")[0].UID
        (image,) = [item for item in _walk(group) if item.ValueType == "IMAGE"]
        assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == key.classification.key_sop_instance_uid
        assert key.classification.key_sop_instance_uid == one.context.sources[key.index].SOPInstanceUID


def test_the_coordinates_are_the_salient_region_or_the_whole_image(present: Classified, absent: Classified) -> None:
    """A class that is present is boxed where the map is high, an absent one has the border; OHIF needs either (R5)."""
    for one, box in ((present, [16, 12, 32, 12, 32, 24, 16, 24, 16, 12]), (absent, [0, 0, 32, 0, 32, 24, 0, 24, 0, 0])):
        (group,) = _named(_report(one), "125007")
        (drawn,) = [item for item in _walk(group) if item.ValueType == "SCOORD"]
        assert drawn.GraphicType == "POLYLINE"
        assert drawn.GraphicData == box


def test_a_present_class_without_a_map_has_the_whole_image(tmp_path: Path) -> None:
    """Where the algorithm does not say where it looked, the report does not invent it."""
    one = classified(tmp_path, [Highest(0, 0.93, None)])

    (drawn,) = [item for item in _walk(_report(one)) if item.ValueType == "SCOORD"]

    assert drawn.GraphicData == [0, 0, 32, 0, 32, 24, 0, 24, 0, 0]


def test_every_class_has_a_group_and_a_capture(tmp_path: Path) -> None:
    """Two classes are told one by one, each on its own key image; the summary comes after them."""
    one = classified(
        tmp_path, [Highest(2, 0.93, corner_map()), Highest(4, 0.31, corner_map())], classes=[TUMOUR, HAEMORRHAGE]
    )

    assert [item.role for item in one.evidence] == [EvidenceRole.SECONDARY_CAPTURE] * 3 + [EvidenceRole.REPORT]
    assert len(_named(_report(one), "125007")) == 2
    captures = [dcmread(BytesIO(item.part10)) for item in one.evidence[:2]]
    assert [one.SourceImageSequence[0].ReferencedSOPInstanceUID for one in captures] == [
        one.context.sources[2].SOPInstanceUID,
        one.context.sources[4].SOPInstanceUID,
    ]


def test_the_capture_is_marked_and_says_what_it_was_made_from(present: Classified) -> None:
    """Burned-in text, workstation, derivation, source, body part, research; patient and study are the source's."""
    capture, source = _capture(present), present.context.sources[2]

    assert (capture.BurnedInAnnotation, capture.ConversionType, capture.Modality) == ("YES", "WSD", "OT")
    assert list(capture.ImageType) == ["DERIVED", "SECONDARY", "OTHER"]
    assert capture.ContentQualification == "RESEARCH"
    assert "Tumour by Sample organ finder 1.2.3" in capture.DerivationDescription
    assert "Not verified by a physician." in capture.ImageComments
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert list(capture.PatientOrientation) == ["L", "P"]
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "AccessionNumber", "BodyPartExamined", "StudyDate"):
        assert capture[keyword].value == source[keyword].value
    assert (capture.ContentDate, capture.DateOfSecondaryCapture, capture.TimeOfSecondaryCapture) == (
        "20260304",
        "20260304",
        "050607.890000",
    )


def test_the_captures_pixels_are_the_pictures(present: Classified) -> None:
    """What the PACS shows and what we show is the same picture."""
    capture = _capture(present)

    assert (capture.pixel_array == present.drawn[0].pixels).all()
    assert (capture.Rows, capture.Columns) == present.drawn[0].pixels.shape[:2]


def test_the_picture_has_true_proportions(present: Classified) -> None:
    """24 rows of 1.6 mm and 32 columns of 0.8 mm are higher than wide, and the spacing says so in mm."""
    picture = present.drawn[0]
    height, width = picture.pixels.shape[:2]

    assert width / height == pytest.approx(32 * 0.8 / (24 * 1.6), rel=0.01)
    assert picture.spacing_mm == pytest.approx(24 * 1.6 / height, rel=0.01)
    assert [float(value) for value in _capture(present).PixelSpacing] == pytest.approx([picture.spacing_mm] * 2)


def test_the_colour_lies_where_the_map_is_high(present: Classified, absent: Classified) -> None:
    """The lower right quarter is tinted, the upper left one is grey, in both; only a present class is framed."""
    for one, framed in ((present, True), (absent, False)):
        pixels = one.drawn[0].pixels.astype(int)
        height, width = pixels.shape[:2]
        inside = pixels[height * 5 // 8 : height * 6 // 8, width * 6 // 8 : width * 7 // 8]
        outside = pixels[height * 2 // 8 : height * 3 // 8, width * 2 // 8 : width * 3 // 8]
        assert (inside[:, :, 0] > inside[:, :, 2] + 40).all()
        assert (outside.max(axis=2) == outside.min(axis=2)).all()
        frame = pixels[height // 2 : height // 2 + 4, width * 6 // 8 : width * 7 // 8]
        assert (np.abs(frame - RGB).max(axis=2) == 0).any() == framed


def test_without_a_map_the_key_image_stays_grey(tmp_path: Path) -> None:
    """No overlay and no colour bar are drawn for an algorithm that does not say where it looked, and it is said."""
    above_the_verdict = classified(tmp_path, [Highest(2, 0.93, None)]).drawn[0].pixels[:-100]

    assert (above_the_verdict.max(axis=2) == above_the_verdict.min(axis=2)).all()


def test_the_mark_and_the_conclusion_are_inside_the_image(present: Classified) -> None:
    """White, outlined letters stand at the top left and the bottom left of the picture."""
    pixels = present.drawn[0].pixels.astype(int)

    for corner in (pixels[6:26, 6:200], pixels[-70:-50, 6:200]):
        assert (corner.min(axis=2) > 250).sum() > 60
        assert (corner.max(axis=2) < 5).sum() > 60


def test_the_letters_fit_into_a_narrow_image(tmp_path: Path) -> None:
    """A narrow image gets borders, so that no word is cut off."""
    sources = make_series(SourceSeries(modality="MR", shape=(2, 60, 6)))

    picture = classified(tmp_path, [Highest(0, 0.93, corner_map())], sources).drawn[0]

    assert picture.pixels.shape[1] >= Pen(picture.image(), 15).width("Probability 0.93, threshold 0.62")
    assert picture.pixels.shape[:2] == (640, 400)


def test_a_monochrome1_radiograph_is_shown_as_viewers_show_it(tmp_path: Path) -> None:
    """Low values are bright; without a window of its own the image gets one from its values."""
    image = radiograph(WindowCenter=None, WindowWidth=None)
    values = np.tile(np.linspace(0, 1000, 30, dtype=np.float32), (40, 1))

    grey = windowing(image, values).grey(values)

    assert (grey[:, 0] == 1).all()
    assert (grey[:, -1] == 0).all()


def test_nothing_of_the_patient_is_in_text_or_metadata_of_pictures(present: Classified) -> None:
    """The text names class, numbers and image, never the patient."""
    text = report_text(present.context, [key.finding for key in present.keys], present.evidence)

    assert "Tumour: found; highest probability 0.93 on image 3, threshold 0.62 (chosen on validation)" in text
    assert "AI CLASSIFICATION REPORT" in text
    assert present.evidence[0].sop_instance_uid in text
    for secret in ("Doe", "Jane", "PID-0042", "19600102", "ACC-7"):
        assert secret not in text


def test_images_that_show_nothing_are_told_in_the_text(absent: Classified) -> None:
    """Who reads that nothing was found also reads how much was looked at."""
    finding = absent.keys[0].finding
    assert finding.classification is not None
    some = replace(finding, classification=replace(finding.classification, images_examined=5))

    text = report_text(absent.context, [some], absent.evidence)

    assert "Tumour: not found; highest probability 0.31 on image 5" in text
    assert ", 5 of 6 images examined\n" in text


@pytest.mark.parametrize(
    ("examined", "words"),
    [(6, "the highest of 6"), (5, "the highest of 5 examined"), (1, "the only one examined of 6")],
)
def test_the_picture_counts_the_images_that_were_examined(present: Classified, examined: int, words: str) -> None:
    """An image is the highest of those that the algorithm looked at, not of all that the series has."""
    key = present.keys[0]
    finding = key.finding
    assert finding.classification is not None
    some = replace(finding, classification=replace(finding.classification, images_examined=examined))

    picture = draw_key_image(present.context, replace(key, finding=some, classification=some.classification)).pixels
    reference = draw_key_image(present.context, key).pixels

    assert among(some.classification) == words
    assert np.array_equal(picture, reference) is (examined == 6)
    text = report_text(present.context, [some], present.evidence)
    assert ("1 of 6 images examined: image 3\n" in text) is (examined == 1)


@pytest.mark.parametrize(
    ("examined", "words"), [(6, ""), (5, "5 of 6 images examined"), (1, "1 of 6 images examined: image 3")]
)
def test_each_form_says_what_was_examined(present: Classified, examined: int, words: str) -> None:
    """Who reads the report, the sentences, the summary or the story learns it, in the same words."""
    key = present.keys[0]
    some = replace(key.finding, classification=replace(key.classification, images_examined=examined))
    keys = [replace(key, finding=some, classification=some.classification)]
    wanted = {EvidenceForm.COMPREHENSIVE_3D, EvidenceForm.BASIC_TEXT}

    reports = build_classification_evidence(present.context, keys, [], wanted)

    assert len(reports) == 2
    for report in reports:
        texts = [str(item.get("TextValue", "")) for item in _walk(dcmread(BytesIO(report.part10)))]
        assert any(words in text for text in texts)
        assert any("examined" in text for text in texts) is (examined < 6)
    facts = dict(classification_summary(present.context, keys).facts)
    assert facts["Images"] == f"MR, {words or '6 images'}"
    story = {"findings": [asdict(some)], "inputs": 6}
    assert (
        explanation.examined(story)
        == {
            6: "analysed 6 instances",
            5: "examined 5 of 6 images",
            1: f"examined 1 of 6 images (instance {key.classification.key_sop_instance_uid})",
        }[examined]
    )


def test_explain_repeats_what_the_report_found(present: Classified) -> None:
    """One sentence a finding, in the report's own words, and nothing else of it."""
    text = report_text(present.context, [key.finding for key in present.keys], present.evidence)

    assert list(reported(text)) == [
        "It reports Tumour: found; highest probability 0.93 on image 3, threshold 0.62 (chosen on validation)."
    ]


@pytest.mark.parametrize(
    ("probability", "threshold", "expected"),
    [
        (0.314, 0.62, ("0.31", "0.62")),
        (0.6199, 0.62, ("0.6199", "0.6200")),
        (0.62, 0.62, ("0.62", "0.62")),
        (0.0, 0.5, ("0.00", "0.50")),
        (1.0, 0.5, ("1.00", "0.50")),
    ],
)
def test_the_numbers_have_as_many_digits_as_it_takes(
    probability: float, threshold: float, expected: tuple[str, str]
) -> None:
    """'0.62, threshold 0.62: not found' would look like a mistake."""
    assert numbers(_classification(probability, threshold)) == expected


def test_the_sentence_for_a_single_image_speaks_of_no_highest() -> None:
    """A radiograph is one image."""
    image = Dataset()
    image.SOPInstanceUID = "1.2.3"

    assert sentence(_finding(_classification(0.7, 0.5)), [image]) == (
        "Tumour: found; probability 0.70, threshold 0.50 (chosen on validation)"
    )


def test_the_sentence_for_a_class_without_any_box_names_no_probability() -> None:
    """A detection that gave no box of a class says none found; one that gave an unsure one tells how sure it was."""
    image = Dataset()
    image.SOPInstanceUID = "1.2.3"
    finding = _finding(_classification(0.0, 0.5))

    assert sentence(replace(finding, detection=Detection((), 0, 0)), [image]) == (
        "Tumour: none found (threshold 0.50, chosen on validation)"
    )
    assert sentence(replace(finding, detection=Detection((), 0, 1)), [image]).startswith(
        "Tumour: not found; probability 0.00, threshold 0.50"
    )


def _finding(classification: Classification) -> Finding:
    kind = CodedConcept("108369006", "SCT", "Neoplasm")
    return Finding(kind, None, "finder Tumour", "1.2", classification=classification)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}, ("L", "P")),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, ("P", "F")),
        ({"ImageOrientationPatient": [0.8, 0.6, 0, 0, 0, -1]}, ("LP", "F")),
        ({"PatientOrientation": ["L", "F"]}, ("L", "F")),
        ({"PatientOrientation": ["L", "DOE^JANE"]}, None),
        ({"PatientOrientation": None}, None),
        ({}, None),
    ],
)
def test_the_sides_of_the_patient_are_known_or_left_out(
    attributes: dict[str, object], expected: tuple[str, str] | None
) -> None:
    """They come from the orientation in the patient, else from what a radiograph states; nonsense is not repeated."""
    header = Dataset()
    for keyword, value in attributes.items():
        setattr(header, keyword, value)

    assert patient_orientation(header) == expected


def test_images_of_two_patients_are_refused(tmp_path: Path) -> None:
    """No report is filed for images that disagree on whose they are."""
    sources = make_series(SourceSeries(modality="MR"))
    sources[3].PatientID = "PID-0043"

    with pytest.raises(UnusableInput) as refusal:
        classified(tmp_path, [Highest(0, 0.2, None)], sources)

    assert refusal.value.reason.code == "patient-mix"


def test_the_picture_is_a_png_of_the_same_pixels(present: Classified) -> None:
    """The picture for people is the capture, without loss."""
    from inference.evidence.drawing import png

    picture = present.drawn[0]

    assert (np.asarray(Image.open(BytesIO(png(picture.image())))) == picture.pixels).all()


@pytest.mark.parametrize("spacing", [(5000.0, 1.0), (1.0, 5000.0)])
def test_a_region_flatter_than_a_pixel_of_the_picture_is_framed(spacing: tuple[float, float], tmp_path: Path) -> None:
    """An image whose pixels are very far from square has its picture too, in true proportions."""
    sources = make_series(SourceSeries(spacing=spacing))

    [picture] = classified(tmp_path, [Highest(0, 0.93, corner_map())], sources).drawn

    assert picture.pixels.any()
