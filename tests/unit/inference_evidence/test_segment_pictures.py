"""What the pictures of a segmentation show, and that nothing in them is cut off or hides something else."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset, dcmread

from inference.evidence import segment_picture, shown_image, summary_picture
from inference.evidence.build import Segmented, further_evidence
from inference.evidence.drawing import Pen, Rgb
from inference.evidence.further import MOST_PICTURES
from inference.evidence.segment_findings import pair
from inference.evidence.segment_picture import draw_segments
from inference.findings.measurement import LONG_AXIS, MILLIMETER
from inference.findings.segment import SegmentDescription
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import MeasuredLine, Measurement
from storage.domain.result import EvidenceRole
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    ORGAN,
    SourceSeries,
    make_context,
    make_findings,
    make_labels,
    make_series,
)

_LONG = "Rechter Oberlappen der Lunge, äußeres Segment Nr. {} (Größe ≥ 3 µm)"

Written = list[tuple[str, tuple[float, float, float, float], tuple[int, int]]]


def result_of(series: SourceSeries, labels: npt.NDArray[np.uint8]) -> Segmented:
    """A liver and a nodule in these labels."""
    context = make_context(make_series(series))
    return Segmented(context, labels, pair(labels, (LIVER, NODULE), make_findings(context, labels, (LIVER, NODULE))))


def many(shape: tuple[int, int, int], count: int, each_on_one_slice: bool = False) -> Segmented:
    """So many segments in a grid, with long names."""
    across = int(np.ceil(np.sqrt(count)))
    height, width = shape[1] // across, shape[2] // across
    labels = np.zeros(shape, np.uint8)
    segments = []
    for place in range(count):
        row, column = divmod(place, across)
        where = slice(place % shape[0], place % shape[0] + 1) if each_on_one_slice else slice(None)
        top, left = row * height, column * width
        labels[where, top : top + max(height * 2 // 3, 1), left : left + max(width * 2 // 3, 1)] = place + 1
        kind = CodedConcept(f"{place}", "99TEST", f"Structure {place}")
        label = _LONG.format(place + 1)
        segments.append(SegmentDescription(place + 1, label, ORGAN, kind, None, (20, 40 + 5 * place, 200)))
    context = make_context(make_series(SourceSeries(shape=shape)))
    return Segmented(context, labels, pair(labels, segments, make_findings(context, labels, segments)))


def captures(result: Segmented) -> list[Dataset]:
    """The Secondary Captures of a result."""
    return [dcmread(BytesIO(one.part10)) for one in further_evidence(result, EvidenceRole.SECONDARY_CAPTURE)]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """Every line that is written while the test runs, with its box and the size of the picture."""
    lines: Written = []

    class Watched(Pen):
        def text(self, position: tuple[float, float], words: str, fill: Rgb = (255, 255, 255)) -> None:
            left, top = position
            size = self.draw.im.size
            lines.append((words, (left, top, left + self.width(words), top + shown_image.LINE - 4), size))
            super().text(position, words, fill)

        def tag(self, position: tuple[float, float], words: str, fill: Rgb) -> None:
            left, top = position
            box = (left, top, left + self.width(words), top + shown_image.LINE - 4)
            lines.append((words, box, self.draw.im.size))
            super().tag(position, words, fill)

    for module in (segment_picture, summary_picture):
        monkeypatch.setattr(module, "Pen", Watched)
    return lines


@pytest.mark.parametrize(
    ("shape", "count"),
    [((3, 64, 64), 1), ((3, 256, 256), 40), ((3, 8, 8), 9), ((2, 2000, 3000), 6), ((2, 600, 30), 4)],
    ids=["one", "forty", "tiny", "huge", "narrow"],
)
def test_nothing_written_is_cut_off_or_covers_something_else(
    shape: tuple[int, int, int], count: int, written: Written
) -> None:
    """Mark, list, numbers, sides of the patient and table lie inside the picture, and beside each other."""
    result = many(shape, count)

    draw_segments(result.context, result.labels, result.found, 0)

    assert {str(number) for number in range(1, count + 1)} <= {words for words, _, _ in written}
    _assert_apart(written)
    written.clear()
    captures(result)
    _assert_inside(written)


def _assert_inside(written: Written) -> None:
    for words, (left, top, right, bottom), (width, height) in written:
        assert left >= 0, words
        assert right <= width, words
        assert top >= 0, words
        if height > 1:  # the page is drawn once without a height, to learn it
            assert bottom <= height, words


def _assert_apart(written: Written) -> None:
    _assert_inside(written)
    for place, (words, one, size) in enumerate(written):
        for others, other, other_size in written[:place]:
            if size == other_size:
                apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
                assert apart, (words, one, others, other)


def test_each_segment_is_outlined_in_its_colour_where_it_lies() -> None:
    """On the slice where both are, each colour surrounds its own pixels and its inside is left as it was."""
    result = result_of(SourceSeries(shape=(6, 96, 80)), make_labels((6, 96, 80)))

    pixels = draw_segments(result.context, result.labels, result.found, 3).pixels.astype(int)
    bare = draw_segments(result.context, np.zeros_like(result.labels), [], 3).pixels.astype(int)

    scale = 640 / 96
    for segment in (LIVER, NODULE):
        rows, columns = np.nonzero(result.labels[3] == segment.number)
        edges = (np.array([rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]) * scale).round().astype(int)
        top, bottom, left, right = edges
        is_colour = (np.abs(pixels - segment.rgb).max(axis=2) == 0)[:, : round(80 * scale)]
        assert is_colour[bottom - 2 : bottom + 2, (left + right) // 2].any()
        assert is_colour[(top + bottom) // 2, left - 2 : left + 2].any()
        row, column = (top + bottom) // 2, (left + right) // 2
        inside = np.s_[row - 3 : row + 3, column - 3 : column + 3]
        assert (pixels[inside] == bare[inside]).all()


def test_there_is_a_picture_of_each_key_image_and_the_summary_is_last() -> None:
    """All are in one series and name the images that they were made from."""
    result = result_of(SourceSeries(), make_labels((6, 24, 32)))

    *pictures, summary = captures(result)

    uids = [str(result.context.sources[index].SOPInstanceUID) for index in result.key_indices()]
    assert [str(one.SourceImageSequence[0].ReferencedSOPInstanceUID) for one in pictures] == uids
    assert [str(item.ReferencedSOPInstanceUID) for item in summary.SourceImageSequence] == uids
    assert [one.InstanceNumber for one in (*pictures, summary)] == [1, 2, 3]
    assert len({one.SeriesInstanceUID for one in (*pictures, summary)}) == 1
    assert pictures[0].PatientOrientation == ["L", "P"]
    assert not summary.get("PatientOrientation")
    assert {one.BurnedInAnnotation for one in (*pictures, summary)} == {"YES"}


def test_pixels_that_are_not_square_are_shown_in_true_proportions() -> None:
    """24 rows of 1.6 mm and 32 columns of 0.8 mm are higher than wide, and the spacing is that of the picture."""
    result = result_of(SourceSeries(spacing=(1.6, 0.8)), make_labels((6, 24, 32)))

    picture = captures(result)[0]

    assert picture.Rows == 640
    assert [float(one) for one in picture.PixelSpacing] == pytest.approx([24 * 1.6 / 640] * 2)
    nothing = draw_segments(result.context, result.labels, [], 2).pixels
    edge = int(np.flatnonzero((nothing[300] == 150).all(axis=1))[0])  # the line before the list
    assert edge == pytest.approx(32 * 0.8 / (24 * 1.6) * 640, abs=1)


def test_very_many_key_images_are_not_all_drawn() -> None:
    """Of fifty some from all over them are drawn; the table has every finding."""
    result = many((50, 64, 64), 50, each_on_one_slice=True)

    *pictures, summary = captures(result)

    assert len(pictures) == MOST_PICTURES
    assert len(result.key_indices()) == 50
    assert summary.Rows > 50 * 22


def test_a_found_segment_is_never_told_as_nothing(written: Written) -> None:
    """Only where no segment has a voxel on the image is it said that nothing was found there."""
    empty = result_of(SourceSeries(), np.zeros((6, 24, 32), np.uint8))
    captures(empty)
    words = [one for one, _, _ in written]
    assert "Nothing found" in words
    assert words.count("not found") == 2

    written.clear()
    captures(result_of(SourceSeries(), make_labels((6, 24, 32))))

    words = [one for one, _, _ in written]
    assert "Nothing found" not in words
    assert "not found" not in words


def test_the_summary_says_what_was_measured_by_whom_on_what_and_nothing_of_the_patient(written: Written) -> None:
    """Values with units, the algorithm with its bytes, the images and the mark are there; names and numbers are not."""
    captures(result_of(SourceSeries(), make_labels((6, 24, 32))))

    words = "\n".join(one for one, _, _ in written)
    for expected in (
        "AI result, not verified. RESEARCH",
        "Research use only. Not verified by a physician.",
        "Attenuation Coefficient, mean -12.35 HU",
        "Sample organ finder 1.2.3, The Overread developers",
        f"sha256:{'a' * 64}",
        "CT, 6 images",
        "Overread 0.",
    ):
        assert expected in words
    for secret in ("Doe", "Jane", "PID-0042", "1960", "ACC-7", "Roe", "General Hospital", "S1"):
        assert secret not in words


@pytest.mark.parametrize("room", [True, False])
def test_diameters_are_drawn_with_their_millimetres_where_they_were_measured(written: Written, room: bool) -> None:
    """A thin line in the colour of its segment on that slice and no other, and the words only where they fit."""
    result = many((3, 64, 64), 1)
    (one,) = result.found
    where = str(result.context.sources[1].SOPInstanceUID)
    line = MeasuredLine(where, None, ((10, 10), (50, 30)), None)
    long = Measurement(LONG_AXIS, 32.04, MILLIMETER, line=line)
    count = 1 if room else 30  # at one and the same place
    finding = replace(one.finding, measurements=(long,) * count)
    measured, without = (
        replace(result, found=[replace(one, finding=each)]) for each in (finding, replace(finding, measurements=()))
    )

    shown, bare = (
        draw_segments(each.context, each.labels, each.found, 1).pixels.astype(int) for each in (measured, without)
    )

    told = [words for words, _, _ in written if words == "32 mm"]
    assert len(told) == 1 if room else 1 <= len(told) < count
    _assert_apart([each for each in written if each[0] == "32 mm"])
    column, row = 30 * bare.shape[0] // 64, 20 * bare.shape[0] // 64
    middle = np.s_[row - 1 : row + 2, column - 1 : column + 2]
    assert (shown[middle] == one.segment.rgb).all(axis=2).any()
    assert not (bare[middle] == one.segment.rgb).all(axis=2).any()
    elsewhere = [draw_segments(each.context, each.labels, each.found, 0).pixels for each in (measured, without)]
    assert np.array_equal(*elsewhere)
    uids = [str(item.SourceImageSequence[0].ReferencedSOPInstanceUID) for item in captures(measured)[:-1]]
    assert where in uids
