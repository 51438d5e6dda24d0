"""What a radiologist sees of our results in OHIF, over Orthanc's DICOMweb server and over our own."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset

from inference.algorithms.image_scoring import Highest
from inference.evidence.attributes import series_number
from inference.evidence.build import Classified, Segmented, build_evidence, further_evidence
from inference.evidence.label_map import build_label_map
from inference.evidence.result_uids import USUAL_NAMING
from inference.evidence.segment_findings import pair
from storage.domain.result import EvidenceForm, EvidenceObject, EvidenceRole
from tests.conformance.source_classification import HAEMORRHAGE, TUMOUR, classified, corner_map
from tests.conformance.source_detection import STACK, detected, images_with_squares
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    evidence_dataset,
    make_context,
    make_findings,
    make_labels,
    make_probabilities,
    make_series,
)
from tests.end_to_end.viewers.conftest import Station, part10
from tests.peers.ohif import Ohif, ShownSegmentation

_SHAPE = (8, 96, 80)
_SEG = series_number(USUAL_NAMING, EvidenceRole.SEGMENTATION)
_SR = series_number(USUAL_NAMING, EvidenceRole.REPORT)
_SC = series_number(USUAL_NAMING, EvidenceRole.SECONDARY_CAPTURE)


@dataclass(frozen=True)
class Case:
    """A study, and what was found in it."""

    sources: tuple[Dataset, ...]
    labels: npt.NDArray[np.uint8]
    evidence: tuple[EvidenceObject, ...]

    @property
    def study_instance_uid(self) -> str:
        """Its study."""
        return str(self.sources[0].StudyInstanceUID)

    def masks(self) -> dict[str, npt.NDArray[np.uint8]]:
        """What should lie over each image."""
        return {str(source.SOPInstanceUID): mask for source, mask in zip(self.sources, self.labels, strict=True)}

    def shown(self) -> ShownSegmentation:
        """What a viewer without a fault shows."""
        segments = {one.number: (one.label, one.rgb) for one in (LIVER, NODULE)}
        return ShownSegmentation(segments, self.masks())


def make_case(study: int, **attributes: object) -> Case:
    """A study of its own with a liver and a nodule."""
    series = SourceSeries(
        **{"shape": _SHAPE, "study_uid": f"1.2.826.0.1.3680043.8.498.{study}", **attributes}  # type: ignore[arg-type]
    )
    context = make_context(make_series(series))
    labels = make_labels(series.shape)
    findings = make_findings(context, labels, (LIVER, NODULE))
    return Case(context.sources, labels, build_evidence(context, labels, (LIVER, NODULE), findings))


def stored(desk: Station, case: Case) -> Case:
    """The same, with images and evidence in the archive."""
    desk.archive.store([*(part10(source) for source in case.sources), *(one.part10 for one in case.evidence)])
    return case


def test_a_segmentation_lies_where_the_algorithm_put_it(desk: Station, reading: list[Ohif]) -> None:
    """Voxel counts, the segments of each slice and every single voxel are those of the mask; so are names and colours.

    The images run against the slice normal, so that a viewer that counts slices from the wrong end is found out (S13).
    """
    case = stored(desk, make_case(11, reverse=True))
    window = desk.read(case.study_instance_uid)
    reading.append(window)

    shown, expected = window.show_segmentation(_SEG), case.shown()

    assert shown.counts() == expected.counts()
    assert shown.by_slice() == expected.by_slice()
    assert_same_masks(shown, expected)
    assert {number: label for number, (label, _) in shown.segments.items()} == {1: "Liver", 2: "Lung nodule"}
    for number, (_, color) in expected.segments.items():
        np.testing.assert_allclose(shown.segments[number][1], color, atol=3)  # CIELab has its own steps
    assert window.alarms() == []


def test_a_report_is_drawn_with_its_numbers(desk: Station, reading: list[Ohif]) -> None:
    """Each finding is outlined on its own image, with its volume beside it (R9)."""
    case = stored(desk, make_case(12))
    window = desk.read(case.study_instance_uid)
    reading.append(window)

    shown = {one.labels[0]: one.sop_instance_uid for one in window.show_report(_SR)}

    voxel = 0.8 * 0.8 * 2.5
    volumes = [f"Volume: {np.count_nonzero(case.labels == number) * voxel:.2f} mm3" for number in (1, 2)]
    largest = [int((case.labels == number).sum(axis=(1, 2)).argmax()) for number in (1, 2)]
    assert shown == {volume: case.sources[index].SOPInstanceUID for volume, index in zip(volumes, largest, strict=True)}
    assert volumes[0] in window.drawn_lines()
    window.wait_for_picture()
    assert window.alarms() == []


def test_a_classification_alone_leaves_the_image_in_view(desk: Station, reading: list[Ohif], tmp_path: Path) -> None:
    """A result without any region, present or absent, is drawn on its key image with its probability; nothing is blank.

    Then its picture opens like any other image (R10, P5).
    """
    sources = make_series(SourceSeries(modality="MR", shape=_SHAPE, study_uid="1.2.826.0.1.3680043.8.498.13"))
    scores = [Highest(2, 0.93, None), Highest(4, 0.31, corner_map())]
    result = classified(tmp_path / "result", scores, sources, classes=[TUMOUR, HAEMORRHAGE])
    case = stored(desk, Case(sources, np.zeros(_SHAPE, np.uint8), result.evidence))
    window = desk.read(case.study_instance_uid)
    reading.append(window)

    shown = {one.labels[0]: one.sop_instance_uid for one in window.show_report(_SR)}

    assert shown == {
        "Certainty of Finding: 93.00 %": sources[2].SOPInstanceUID,
        "Certainty of Finding: 31.00 %": sources[4].SOPInstanceUID,
    }
    assert "Certainty of Finding: 93.00 %" in window.drawn_lines()
    window.wait_for_picture()

    window.shoot(f"{desk.archive.name}-classification-report")
    window.show_images(_SC, evidence_dataset(case.evidence[:1], EvidenceRole.SECONDARY_CAPTURE).SeriesInstanceUID)

    window.wait_for_picture()
    assert window.alarms() == []


def test_things_found_in_boxes_are_framed(desk: Station, reading: list[Ohif], tmp_path: Path) -> None:
    """A box on one slice and one over three are drawn with their certainty; a class without any blanks nothing (R9).

    Over three, it opens where the network is surest. This OHIF leaves out the number where it is 0.
    """
    sources = images_with_squares(series=replace(STACK, study_uid="1.2.826.0.1.3680043.8.498.27"))
    evidence = tuple(one for one in detected(tmp_path, sources).evidence if one.form is EvidenceForm.COMPREHENSIVE_3D)
    case = stored(desk, Case(sources, np.zeros((6, 64, 64), np.uint8), evidence))
    window = desk.read(case.study_instance_uid)
    reading.append(window)

    shown = {one.labels[0]: one.sop_instance_uid for one in window.show_report(_SR)}

    window.shoot(f"{desk.archive.name}-detection-report")
    assert shown.keys() == {
        "Certainty of Finding: 100.00 %",
        "Certainty of Finding: 90.00 %",
        "Number of occurrences:  {count}",  # 0, which this OHIF leaves out
    }
    assert shown["Certainty of Finding: 90.00 %"] == sources[4].SOPInstanceUID
    assert shown["Certainty of Finding: 100.00 %"] == sources[2].SOPInstanceUID
    window.wait_for_picture()
    assert window.alarms() == []


def test_a_label_map_lies_where_the_algorithm_put_it(desk: Station, reading: list[Ohif]) -> None:
    """Every voxel of a label map is in its place, on a matrix on which a binary one read as a whole is not.

    Its colours are not: this OHIF paints each segment as the one before it, the first as the background. A presentation
    state and a key object selection stand beside it, which OHIF shows nothing of and stumbles over as little.
    """
    case = make_case(16, shape=(8, 93, 77))
    context = make_context(case.sources)
    found = pair(case.labels, (LIVER, NODULE), make_findings(context, case.labels, (LIVER, NODULE)))
    others = (EvidenceRole.PRESENTATION_STATE, EvidenceRole.KEY_OBJECTS)
    further = [one for role in others for one in further_evidence(Segmented(context, case.labels, found), role)]
    evidence = (build_label_map(context, case.labels, found), *further)
    stored(desk, Case(case.sources, case.labels, evidence))
    window = desk.read(case.study_instance_uid)
    reading.append(window)

    shown, expected = window.show_segmentation(_SEG), case.shown()

    assert shown.counts() == expected.counts()
    assert shown.by_slice() == expected.by_slice()
    assert_same_masks(shown, expected)
    assert shown.segments[1] == ("Liver", (0, 0, 0))
    assert shown.segments[2][0] == "Lung nodule"
    np.testing.assert_allclose(shown.segments[2][1], LIVER.rgb, atol=3)
    assert window.alarms() == []


def test_a_parametric_map_is_a_colour_overlay(desk: Station, reading: list[Ohif]) -> None:
    """Every value lies over its image, and the viewport, grey until then, has colours (P7).

    The images run against the slice normal, which is how this viewer does not count them.
    """
    case = make_case(18, reverse=True)
    context = make_context(case.sources)
    found = pair(case.labels, (LIVER, NODULE), make_findings(context, case.labels, (LIVER, NODULE)))
    sure = make_probabilities(case.labels)
    maps = further_evidence(Segmented(context, case.labels, found, sure), EvidenceRole.PARAMETRIC_MAP)
    stored(desk, Case(case.sources, case.labels, maps))
    window = desk.read(case.study_instance_uid)
    reading.append(window)
    window.wait_for_picture()
    assert window.colored_pixels() == 0

    shown = window.show_map("map of Liver")

    assert_same_values(shown, case.sources, sure.of(LIVER.number))
    window.go_to(case.sources[2].SOPInstanceUID)  # at times it draws a map only when its reader scrolls
    window.wait_until(lambda: window.colored_pixels() > _SHAPE[1] * _SHAPE[2], "colours")
    assert window.alarms() == []


@pytest.mark.parametrize("desk", ["orthanc"], indirect=True)
def test_a_saliency_map_lies_over_its_key_image(desk: Station, reading: list[Ohif], tmp_path: Path) -> None:
    """What spoke for a class is coloured on the image where it is most probable, and nothing on the others."""
    sources = make_series(SourceSeries(modality="MR", shape=_SHAPE, study_uid="1.2.826.0.1.3680043.8.498.19"))
    result = classified(tmp_path / "result", [Highest(5, 0.93, corner_map())], sources)
    maps = further_evidence(Classified(result.context, result.keys, result.drawn), EvidenceRole.PARAMETRIC_MAP)
    case = stored(desk, Case(sources, np.zeros(_SHAPE, np.uint8), maps))
    window = desk.read(case.study_instance_uid)
    reading.append(window)

    shown = window.show_map("map of Tumour")

    expected = np.zeros(_SHAPE, np.float32)
    expected[5] = result.keys[0].saliency
    assert_same_values(shown, sources, expected)
    window.go_to(sources[4].SOPInstanceUID)
    window.wait_until(lambda: window.colored_pixels() == 0, "an image without colours")
    window.go_to(sources[5].SOPInstanceUID)
    window.wait_until(lambda: window.colored_pixels() > _SHAPE[1] * _SHAPE[2], "the colours of the key image")
    assert window.alarms() == []


@pytest.mark.parametrize("desk", ["orthanc"], indirect=True)
def test_a_mask_on_wrong_slices_is_seen(desk: Station, reading: list[Ohif], tmp_path: Path) -> None:
    """Without its Derivation Image Sequence the viewer lays a mask over other images.

    dciodvfy finds no error in such an object, and the voxels count the same; what is compared above differs (S13).
    """
    case = make_case(14)
    seg = evidence_dataset(case.evidence, EvidenceRole.SEGMENTATION)
    for frame in seg.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence
    (tmp_path / "seg.dcm").write_bytes(part10(seg))
    assert subprocess.run(["dciodvfy", "-new", str(tmp_path / "seg.dcm")], capture_output=True).returncode == 0
    desk.archive.store([*(part10(source) for source in case.sources), part10(seg)])
    window = desk.read(case.study_instance_uid)
    reading.append(window)

    shown, expected = window.show_segmentation(_SEG), case.shown()

    assert shown.counts() == expected.counts()
    assert shown.by_slice() != expected.by_slice()
    with pytest.raises(AssertionError):
        assert_same_masks(shown, expected)


@pytest.mark.parametrize("desk", ["orthanc"], indirect=True)
def test_a_finding_without_a_place_is_seen(desk: Station, reading: list[Ohif]) -> None:
    """With a finding that has no coordinates the viewer gives up, which the checks above find out."""
    case = make_case(15)
    report = evidence_dataset(case.evidence, EvidenceRole.REPORT)
    for group in _measurement_groups(report):
        _leave_out_places(group)
    desk.archive.store([*(part10(source) for source in case.sources), part10(report)])
    window = desk.read(case.study_instance_uid)
    reading.append(window)

    window.choose(_SR)

    window.wait_until(window.alarms, "an alarm")


def _leave_out_places(item: Dataset) -> None:
    """Also those of numbers, such as the line of a diameter."""
    if "ContentSequence" in item:
        item.ContentSequence = [child for child in item.ContentSequence if child.ValueType != "SCOORD"]
        for child in item.ContentSequence:
            _leave_out_places(child)


def _measurement_groups(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        if child.get("ConceptNameCodeSequence") and child.ConceptNameCodeSequence[0].CodeValue == "125007":
            yield child
        else:
            yield from _measurement_groups(child)


def assert_same_values(
    shown: dict[str, npt.NDArray[np.float32]], sources: tuple[Dataset, ...], expected: npt.NDArray[np.float32]
) -> None:
    """Every value of a map is over its image."""
    assert len(shown) == len(sources)
    for source, plane in zip(sources, expected, strict=True):
        np.testing.assert_allclose(shown[str(source.SOPInstanceUID)], plane, atol=1e-6)


def assert_same_masks(shown: ShownSegmentation, expected: ShownSegmentation) -> None:
    """Every voxel is in its place."""
    assert set(shown.masks) == set(expected.masks)
    for uid, mask in expected.masks.items():
        np.testing.assert_array_equal(shown.masks[uid], mask)
