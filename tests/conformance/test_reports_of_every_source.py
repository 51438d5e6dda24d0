"""What a measurement report says, and where it says so, holds for every kind of source and in every class."""

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from inference.evidence.build import Segmented
from inference.evidence.segment_findings import pair
from inference.findings.segment import SegmentDescription
from inference.imaging.frames import image_key
from storage.domain.result import EvidenceForm, EvidenceRole
from tests.conformance.every_evidence import (
    MEASUREMENT_FORMS,
    SEGMENTS,
    Evidence,
    child,
    content_items,
    evidence_of,
    evidence_of_source,
    groups_of,
)
from tests.conformance.source_modalities import SERIES, segmented
from tests.conformance.source_series import NODULE, SourceSeries, make_context, make_findings, make_series
from tests.peers.multi_frame import image_of

_NAMES = [name.replace(" ", "-") for name in SERIES]


@pytest.fixture(scope="module", params=list(SERIES), ids=_NAMES)
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Each modality and geometry in turn."""
    return evidence_of_source(request.param)


def _with_labels(name: str, labels: np.ndarray) -> Evidence:
    context = segmented(name).context
    labels = np.broadcast_to(labels, (len(context.sources), *labels.shape[-2:])).copy()
    findings = make_findings(context, labels, SEGMENTS)
    return evidence_of(Segmented(context, labels, pair(labels, SEGMENTS, findings)))


def _coordinates(item: Dataset) -> Iterator[np.ndarray]:
    """The points of every region below an item, as (column, row); a measured line is none."""
    for points in _scoords(item):
        if len(points) > 2:
            yield points


def _scoords(item: Dataset) -> Iterator[np.ndarray]:
    for one in content_items(item):
        if one.ValueType == "SCOORD":
            yield np.array(one.GraphicData, float).reshape(-1, 2)


def _group_of(report: Dataset, segment: SegmentDescription) -> Dataset:
    (group,) = [one for one in groups_of(report) if child(one, "112039").TextValue == f"{segment.label} 1"]
    return group


def _lines(evidence: Evidence) -> Iterator[np.ndarray]:
    """The points of every outline of the presentation states; diameters are lines of two points."""
    for state in evidence.of_role(EvidenceRole.PRESENTATION_STATE):
        for annotation in state.GraphicAnnotationSequence:
            for line in annotation.GraphicObjectSequence:
                assert line.GraphicType == "POLYLINE"
                points = np.array(line.GraphicData, float).reshape(-1, 2)
                if len(points) > 2:
                    yield points


def test_dcmqi_reads_every_group(evidence: Evidence, tmp_path: Path) -> None:
    """The reader behind 3D Slicer's plugin finds tracking, finding, algorithm and numbers in each group (R4)."""
    _read_with_dcmqi(evidence, EvidenceForm.COMPREHENSIVE_3D, tmp_path)


@pytest.mark.parametrize("form", MEASUREMENT_FORMS[1:])
def test_dcmqi_reads_every_class_of_report(form: EvidenceForm, tmp_path: Path) -> None:
    """It reads the classes that stand in for a Comprehensive 3D SR alike (R4)."""
    _read_with_dcmqi(evidence_of_source("CT oblique"), form, tmp_path)


def _read_with_dcmqi(evidence: Evidence, form: EvidenceForm, tmp_path: Path) -> None:
    (part10,) = [one.part10 for one in evidence.objects if one.form is form]
    (tmp_path / "report.dcm").write_bytes(part10)
    files = ["--inputDICOM", tmp_path / "report.dcm", "--outputMetadata", tmp_path / "report.json"]

    run = subprocess.run([Path(sys.executable).parent / "tid1500reader", *files], capture_output=True, check=False)
    told = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))

    assert run.returncode == 0, run.stderr.decode(errors="replace")
    assert (told["CompletionFlag"], told["VerificationFlag"]) == ("COMPLETE", "UNVERIFIED")
    assert told["observerContext"]["DeviceObserverUID"] == evidence.context.identity.device_uid()
    for group, one in zip(told["Measurements"], evidence.result.found, strict=True):
        algorithm = group["measurementAlgorithmIdentification"]
        assert group["TrackingIdentifier"] == one.finding.tracking_identifier
        assert group["TrackingUniqueIdentifier"] == one.finding.tracking_uid
        assert group["Finding"]["CodeValue"] == one.finding.kind.value
        assert (algorithm["AlgorithmName"], algorithm["AlgorithmVersion"]) == ("Sample organ finder", "1.2.3")
        assert "a" * 64 in algorithm["AlgorithmParameters"][0]
        numbers = [float(item["value"]) for item in group["measurementItems"]]
        assert numbers == pytest.approx([number.value for number in one.finding.measurements], rel=1e-6)


def test_every_group_has_coordinates_in_the_plane_of_an_image(evidence: Evidence) -> None:
    """No group of any class is without an SCOORD, and none has coordinates in space (R5)."""
    for report in evidence.measurement_reports():
        groups = groups_of(report)
        assert len(groups) == len(SEGMENTS)
        for group in groups:
            assert list(_coordinates(group))
        assert "SCOORD3D" not in {item.ValueType for item in content_items(report)}


def test_the_evidence_is_closed(evidence: Evidence) -> None:
    """All that a report refers to is in its evidence, the images first, then the segmentation (R6)."""
    binary = next(one for one in evidence.objects if one.role is EvidenceRole.SEGMENTATION)
    for report in evidence.measurement_reports():
        (study,) = report.CurrentRequestedProcedureEvidenceSequence
        listed = [
            [str(item.ReferencedSOPInstanceUID) for item in series.ReferencedSOPSequence]
            for series in study.ReferencedSeriesSequence
        ]
        used = {
            str(reference.ReferencedSOPInstanceUID)
            for item in content_items(report)
            for reference in item.get("ReferencedSOPSequence", ())
        }

        instances = list(dict.fromkeys(image.SOPInstanceUID for image in evidence.context.sources))
        assert listed == [instances, [binary.sop_instance_uid]]
        assert used <= {uid for series in listed for uid in series}
        assert binary.sop_instance_uid in used
        assert study.StudyInstanceUID == evidence.context.sources[0].StudyInstanceUID


def test_one_finding_has_one_tracking_uid_in_all_objects(evidence: Evidence) -> None:
    """Segmentation, label map, each class of report and presentation states name a finding alike (R12)."""
    expected = {(one.finding.tracking_identifier, one.finding.tracking_uid) for one in evidence.result.found}

    for mask in evidence.of_role(EvidenceRole.SEGMENTATION):
        segments = [item for item in mask.SegmentSequence if item.SegmentNumber]
        outlined = {(item.TrackingID, item.TrackingUID) for item in segments}
        assert outlined == expected or (len(segments) == 1 and outlined < expected)  # one of each segment
    for report in evidence.measurement_reports():
        named = {(child(one, "112039").TextValue, child(one, "112040").UID) for one in groups_of(report)}
        assert named == expected
    drawn = {
        (line.TrackingID, line.TrackingUID)
        for state in evidence.of_role(EvidenceRole.PRESENTATION_STATE)
        for annotation in state.GraphicAnnotationSequence
        for line in annotation.GraphicObjectSequence
    }
    assert drawn == expected


def test_the_region_lies_on_the_image_where_the_segment_is_largest(evidence: Evidence) -> None:
    """The outline names that image, whose mask fills its bounds."""
    for report in evidence.measurement_reports():
        for group, one in zip(groups_of(report), SEGMENTS, strict=True):
            region = child(group, "111030")
            areas = (evidence.labels == one.number).sum(axis=(1, 2))
            image = evidence.context.sources[int(np.argmax(areas))]

            named = region.ContentSequence[0].ReferencedSOPSequence[0]
            (points,) = _coordinates(group)

            assert image_of(named) == image_key(image)
            rows, columns = np.nonzero(evidence.labels[int(np.argmax(areas))] == one.number)
            assert points.min(axis=0).tolist() == [columns.min(), rows.min()]
            assert points.max(axis=0).tolist() == [columns.max() + 1, rows.max() + 1]


def test_a_diameter_names_the_line_that_it_was_measured_along(evidence: Evidence) -> None:
    """The length stands beside its two ends on the image that they lie on, in every class of report (R5)."""
    for report in evidence.measurement_reports():
        for group, one in zip(groups_of(report), evidence.result.found, strict=True):
            (line,) = [number.line for number in one.finding.measurements if number.line]
            length = child(group, "103339001")
            (coordinates,) = length.ContentSequence
            (image,) = coordinates.ContentSequence

            assert length.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "mm"
            assert [points.tolist() for points in _scoords(length)] == [[list(end) for end in line.image_points]]
            assert (coordinates.GraphicType, coordinates.RelationshipType) == ("POLYLINE", "INFERRED FROM")
            assert image_of(image.ReferencedSOPSequence[0]) == line.image


@pytest.mark.parametrize("name", SERIES, ids=_NAMES)
def test_a_known_square_is_outlined_along_its_pixels_edges(name: str) -> None:
    """Read back from each file, a square's SCOORD is its edges, its centre the mean of its pixels' centres (R7)."""
    rows, columns = int(SERIES[name]()[0].Rows), int(SERIES[name]()[0].Columns)
    plane = np.zeros((rows, columns), np.uint8)
    plane[5:11, 6:14] = NODULE.number

    for report in _with_labels(name, plane).measurement_reports():
        (points,) = _coordinates(_group_of(report, NODULE))

        assert points.tolist() == [[6, 5], [14, 5], [14, 11], [6, 11], [6, 5]]
        center = (points.min(axis=0) + points.max(axis=0)) / 2
        index = np.argwhere(plane)[:, ::-1]
        assert np.abs(center - (index + 0.5).mean(axis=0)).max() < 1e-6


def test_every_contour_is_closed(evidence: Evidence) -> None:
    """Each outline ends where it begins, in reports and in presentation states: both draw lines and close none."""
    outlines = [points for report in evidence.measurement_reports() for points in _coordinates(report)]
    lines = list(_lines(evidence))

    assert len(outlines) == len(MEASUREMENT_FORMS) * len(SEGMENTS)
    assert lines
    for points in (*outlines, *lines):
        assert len(points) > 4
        assert points[0].tolist() == points[-1].tolist()
        assert all(before.tolist() != after.tolist() for before, after in pairwise(points))


@pytest.mark.parametrize("falls", [True, False], ids=["northeast-southwest", "northwest-southeast"])
def test_pixels_that_touch_at_a_corner_are_two_contours(falls: bool) -> None:
    """Two pixels that share only a corner have an outline each; one that crosses itself would be another figure."""
    plane = np.zeros((24, 32), np.uint8)
    plane[8, 11 if falls else 10] = plane[9, 10 if falls else 11] = NODULE.number

    evidence = _with_labels("CT axial", plane)
    lines = list(_lines(evidence))

    assert len(lines) == 2 * len(evidence.context.sources)
    for points in lines:
        corners = [tuple(point) for point in points]
        assert len(corners) == 5
        assert len(set(corners)) == 4, "a corner is passed twice, so the line crosses itself"
    for report in evidence.measurement_reports():
        (points,) = _coordinates(_group_of(report, NODULE))
        assert (points.max(axis=0) - points.min(axis=0)).tolist() == [1, 1]


@pytest.fixture(scope="module")
def jagged() -> Evidence:
    """A segment whose one edge turns at almost every pixel: 96 000 points on one image."""
    plane = np.zeros((200, 320), np.uint8)
    plane[-1] = plane[:, ::4] = plane[::2, 1::4] = NODULE.number
    context = make_context(make_series(SourceSeries(shape=(1, *plane.shape))))
    findings = make_findings(context, plane[None], SEGMENTS)
    return evidence_of(Segmented(context, plane[None], pair(plane[None], SEGMENTS, findings)))


def test_a_line_that_is_cut_into_pieces_stays_closed(jagged: Evidence) -> None:
    """Where a contour has more points than one line holds, its pieces meet and the last ends where the first began."""
    pieces = list(_lines(jagged))

    assert len(pieces) > 1
    for piece, following in zip(pieces, [*pieces[1:], pieces[0]], strict=True):
        assert piece[-1].tolist() == following[0].tolist()


def test_an_outline_of_too_many_points_is_thinned(jagged: Evidence, tmp_path: Path) -> None:
    """A report cannot hold more than 65534 bytes of points in one outline; one with fewer has the same bounds."""
    (part10,) = [one.part10 for one in jagged.objects if one.form is EvidenceForm.COMPREHENSIVE_3D]
    (tmp_path / "report.dcm").write_bytes(part10)

    (points,) = _coordinates(_group_of(jagged.of_form(EvidenceForm.COMPREHENSIVE_3D), NODULE))
    run = subprocess.run(["dciodvfy", "-new", tmp_path / "report.dcm"], capture_output=True, text=True, check=False)

    assert points.nbytes // 2 <= 65534
    assert points[0].tolist() == points[-1].tolist()
    assert np.abs(points.min(axis=0) - (0, 0)).max() <= 2
    assert np.abs(points.max(axis=0) - (318, 200)).max() <= 2
    assert "Error" not in run.stdout + run.stderr
