"""Readers that are not ours get every value back from a parametric map, at its place in the patient."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import highdicom
import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset, dcmread

from inference.algorithms.image_scoring import Highest
from inference.evidence import parametric_map
from inference.evidence.build import Classified, Segmented, further_evidence
from inference.evidence.segment_findings import pair
from inference.imaging.frames import image_key
from storage.domain.result import EvidenceObject, EvidenceRole
from tests.conformance.patient_places import places_in_nifti, places_in_series
from tests.conformance.source_classification import HAEMORRHAGE, TUMOUR, classified, corner_map, radiograph
from tests.conformance.source_modalities import MAPPED, SERIES, segmented
from tests.conformance.source_series import (
    LIVER,
    NODULE,
    SourceSeries,
    make_context,
    make_findings,
    make_labels,
    make_probabilities,
    make_series,
)
from tests.peers.multi_frame import image_of

_ROLE = EvidenceRole.PARAMETRIC_MAP


@pytest.fixture(params=MAPPED, ids=[name.replace(" ", "-") for name in MAPPED])
def result(request: pytest.FixtureRequest) -> Segmented:
    """Each kind of stack in turn."""
    return segmented(request.param)


def _maps(evidence: tuple[EvidenceObject, ...]) -> list[Dataset]:
    return [dcmread(BytesIO(one.part10)) for one in evidence]


def _expected(result: Segmented, number: int) -> npt.NDArray[np.float32]:
    assert result.probabilities is not None
    return result.probabilities.of(number)


def test_each_frame_has_the_values_and_the_place_of_its_image(result: Segmented) -> None:
    """pydicom finds on each image's frame what the network said there, and the image's own position (S3 to S5)."""
    sources = {image_key(one): index for index, one in enumerate(result.context.sources)}
    for number, one in enumerate(_maps(further_evidence(result, _ROLE)), start=1):
        values = _expected(result, number)
        images = []
        for frame, pixels in zip(one.PerFrameFunctionalGroupsSequence, one.pixel_array, strict=True):
            (image,) = frame.DerivationImageSequence[0].SourceImageSequence
            index = sources[image_of(image)]
            source = result.context.sources[index]
            images.append(index)
            np.testing.assert_array_equal(pixels, values[index])
            assert image.SpatialLocationsPreserved == "YES"
            assert frame.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
        shared = one.SharedFunctionalGroupsSequence[0]
        assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == source.ImageOrientationPatient
        assert shared.PixelMeasuresSequence[0].PixelSpacing == source.PixelSpacing
        assert one.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert sorted(images) == list(range(len(sources)))
        (series,) = one.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == source.SeriesInstanceUID


def test_frames_stand_in_the_order_of_their_places(result: Segmented) -> None:
    """Along the slice normal, whatever the order of the images, because OHIF and dcmqi only count them."""
    for one in _maps(further_evidence(result, _ROLE)):
        axes = np.array(one.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient)
        normal = np.cross(axes[:3], axes[3:])
        places = [
            np.dot(frame.PlanePositionSequence[0].ImagePositionPatient, normal)
            for frame in one.PerFrameFunctionalGroupsSequence
        ]
        assert places == sorted(places)


def test_dcmqi_finds_every_value_at_its_place_in_the_patient(result: Segmented, tmp_path: Path) -> None:
    """The converter behind 3D Slicer's plugin reads values, spacing and position back, in patient coordinates (P7)."""
    for number, one in enumerate(further_evidence(result, _ROLE), start=1):
        read = places_in_nifti(_read_by_dcmqi(one, tmp_path))

        assert read == places_in_series(result.context.sources, _expected(result, number))


def test_highdicom_reads_a_volume_with_its_mapping(result: Segmented) -> None:
    """highdicom finds the geometry of the images in the object, and values in 0 to 1 without a unit."""
    for number, one in enumerate(further_evidence(result, _ROLE), start=1):
        read = highdicom.imread(BytesIO(one.part10))

        (mapping,) = read.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
        quantity = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
        assert (quantity.CodeValue, quantity.CodingSchemeDesignator) == ("110854", "DCM")
        assert mapping.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM"
        assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
        frames = read.get_frames(apply_real_world_transform=True)
        np.testing.assert_allclose(np.sort(frames, axis=None), np.sort(_expected(result, number), axis=None), rtol=1e-6)


def test_a_map_says_what_it_is_and_that_nobody_verified_it() -> None:
    """Names, mark, use and anatomy stand in the object; each segment has a series of its own."""
    liver, nodule = _maps(further_evidence(segmented("CT axial"), _ROLE))

    assert liver.SeriesDescription == "Sample organ finder map of Liver (RESEARCH, not verified)"
    assert nodule.SeriesDescription == "Sample organ finder map of Lung nodule (RESEARCH, not verified)"
    assert liver.ContentDescription == "Research use only. Not verified by a physician."
    assert (liver.ContentLabel, liver.ContentQualification) == ("AI_PROBABILITY", "RESEARCH")
    assert (liver.BodyPartExamined, liver.Modality, liver.SeriesNumber) == ("CHEST", "OT", 9005)
    assert liver.SeriesInstanceUID != nodule.SeriesInstanceUID
    regions = [one.SharedFunctionalGroupsSequence[0].FrameAnatomySequence[0] for one in (liver, nodule)]
    assert [one.AnatomicRegionSequence[0].CodeMeaning for one in regions] == ["Liver", "Lung"]
    assert [one.FrameLaterality for one in regions] == ["U", "U"]


def test_the_same_job_gives_the_same_bytes() -> None:
    """Also when the pixels are asked for twice (S12)."""
    first, second = (further_evidence(segmented("CT oblique"), _ROLE) for _ in range(2))

    assert [one.part10 for one in first] == [one.part10 for one in second] == [one.part10 for one in first]


@pytest.mark.parametrize("name", sorted(set(SERIES) - set(MAPPED)))
def test_images_that_are_no_even_stack_have_no_map(name: str) -> None:
    """The Standard wants a frame of reference (PS3.3 section A.75.3), and OHIF a volume of aligned frames."""
    assert further_evidence(segmented(name), _ROLE) == ()


def test_maps_that_are_too_large_together_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are made or none, so that a missing map says nothing of its segment."""
    result = segmented("CT axial")
    monkeypatch.setattr(parametric_map, "MOST_BYTES", 2 * 6 * 24 * 32 * 4)
    assert len(further_evidence(result, _ROLE)) == 2

    monkeypatch.setattr(parametric_map, "MOST_BYTES", 2 * 6 * 24 * 32 * 4 - 1)
    assert further_evidence(result, _ROLE) == ()


def test_a_segment_without_a_voxel_has_no_map() -> None:
    """What is not found is not shown, as in the segmentation."""
    context = make_context(make_series())
    labels = make_labels((6, 24, 32))
    labels[labels == LIVER.number] = 0
    found = pair(labels, (LIVER, NODULE), make_findings(context, labels, (LIVER, NODULE)))

    (only,) = _maps(further_evidence(Segmented(context, labels, found, make_probabilities(labels)), _ROLE))

    assert "Lung nodule" in only.SeriesDescription


def test_a_saliency_map_lies_on_its_key_image(tmp_path: Path) -> None:
    """The class that is present has a map: its values on the key image, 0 on every other image of the stack."""
    scores = [Highest(2, 0.93, corner_map()), Highest(4, 0.31, corner_map())]
    made = classified(tmp_path, scores, classes=[TUMOUR, HAEMORRHAGE])

    (one,) = _maps(further_evidence(Classified(made.context, made.keys, made.drawn), _ROLE))

    shown = {
        str(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID): pixels
        for frame, pixels in zip(one.PerFrameFunctionalGroupsSequence, one.pixel_array, strict=True)
    }
    key = shown.pop(made.keys[0].classification.key_sop_instance_uid)
    np.testing.assert_array_equal(key, made.keys[0].saliency)
    assert (key.min(), key.max()) == (0, 1)
    assert len(shown) == 5
    assert not np.any(list(shown.values()))
    assert one.ContentLabel == "AI_SALIENCY"
    (mapping,) = one.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "130402"
    assert "DerivationDescription" not in one.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]


def test_images_at_one_place_have_no_saliency_map(tmp_path: Path) -> None:
    """They cannot be laid on each other by counting, which is what viewers do."""
    images = make_series(SourceSeries(modality="MR"))
    images[1].ImagePositionPatient = images[0].ImagePositionPatient
    made = classified(tmp_path, [Highest(2, 0.93, corner_map())], images)

    assert further_evidence(Classified(made.context, made.keys, made.drawn), _ROLE) == ()


@pytest.mark.parametrize("reverse", [False, True])
def test_dciodvfy_and_dcmqi_take_a_saliency_map(tmp_path: Path, reverse: bool) -> None:
    """It has no error, and the values of the key image alone are read back at their places (P7)."""
    images = make_series(SourceSeries(modality="MR", orientation="coronal", reverse=reverse))
    made = classified(tmp_path / "result", [Highest(1, 0.93, corner_map())], images)
    (one,) = further_evidence(Classified(made.context, made.keys, made.drawn), _ROLE)

    read = places_in_nifti(_read_by_dcmqi(one, tmp_path))

    expected = np.zeros((6, 24, 32), np.float32)
    expected[1] = made.keys[0].saliency
    assert read == places_in_series(images, expected)
    run = subprocess.run(["dciodvfy", "-new", str(tmp_path / "map.dcm")], capture_output=True, text=True, check=False)
    assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []


def test_a_map_of_lossy_images_says_so(tmp_path: Path) -> None:
    """Once lossy, always lossy, and still without an error for dciodvfy."""
    images = make_series(SourceSeries(modality="MR"))
    for image in images:
        image.LossyImageCompression, image.LossyImageCompressionRatio = "01", 9.5
        image.LossyImageCompressionMethod = "ISO_10918_1"
    made = classified(tmp_path / "result", [Highest(2, 0.93, corner_map())], images)
    (one,) = further_evidence(Classified(made.context, made.keys, made.drawn), _ROLE)
    (tmp_path / "map.dcm").write_bytes(one.part10)

    run = subprocess.run(["dciodvfy", "-new", str(tmp_path / "map.dcm")], capture_output=True, text=True, check=False)

    read = dcmread(tmp_path / "map.dcm")
    assert (read.LossyImageCompression, read.LossyImageCompressionRatio) == ("01", 9.5)
    assert [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")] == []


def test_a_radiograph_has_no_map(tmp_path: Path) -> None:
    """Its saliency is in the picture."""
    made = classified(tmp_path, [Highest(0, 0.93, corner_map())], [radiograph()])

    assert further_evidence(Classified(made.context, made.keys, made.drawn), _ROLE) == ()


def _read_by_dcmqi(one: EvidenceObject, folder: Path) -> nibabel.Nifti1Image:
    (folder / "map.dcm").write_bytes(one.part10)
    program = Path(sys.executable).parent / "paramap2itkimage"
    arguments = ["--inputDICOM", folder / "map.dcm", "--outputDirectory", folder, "-t", "nii"]
    subprocess.run([program, *arguments], check=True, capture_output=True)
    return nibabel.load(folder / "pmap.nii.gz")
