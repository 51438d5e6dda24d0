"""Images as they also come: each encoder makes a valid object of them, or the reason why not has a name."""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from inference.errors import UnusableInput
from inference.imaging.geometry import order_slices
from storage.domain.result import EvidenceForm, EvidenceRole
from tests.conformance.every_evidence import BINARY_FORMS, Evidence, evidence_of
from tests.conformance.iod_check import missing_attributes
from tests.conformance.source_modalities import CT, SERIES, segmented_in
from tests.conformance.source_series import make_series
from tests.conformance.test_evidence_of_every_source import LABEL_MAP_ERRORS

TYPE_2 = (
    "AccessionNumber", "InstanceNumber", "Manufacturer", "PatientBirthDate", "PatientID", "PatientName", "PatientSex",
    "PositionReferenceIndicator", "ReferringPhysicianName", "SeriesNumber", "StudyDate", "StudyID", "StudyTime",
)  # fmt: skip
EMPTY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate")


def _edited(name: str, *missing: str, **values: object) -> tuple[Dataset, ...]:
    images = SERIES[name]()
    for image in images:
        for keyword in missing:
            if keyword in image:
                delattr(image, keyword)
        for keyword, value in values.items():
            setattr(image, keyword, value)
    return images


def _rounded_anew() -> tuple[Dataset, ...]:
    images = SERIES["CT oblique"]()
    for place, image in enumerate(images):
        image.ImageOrientationPatient[0] = round(float(image.ImageOrientationPatient[0]) + place * 1e-6, 9)
        image.PixelSpacing[1] = round(float(image.PixelSpacing[1]) + place * 1e-6, 9)
    return images


def _numbers(**texts: bytes) -> tuple[Dataset, ...]:
    images = SERIES["CT axial"]()
    for image in images:
        for keyword, value in texts.items():
            tag = Tag(keyword)
            image[tag] = RawDataElement(tag, "DS", len(value), value, 0, False, True)
    return images


SOURCES: dict[str, Callable[[], tuple[Dataset, ...]]] = {
    "one image": lambda: make_series(replace(CT, shape=(1, 24, 32))),
    "two images": lambda: make_series(replace(CT, shape=(2, 24, 32))),
    "odd matrix": lambda: make_series(replace(CT, shape=(6, 19, 23))),
    "pixels that are not square": lambda: make_series(replace(CT, spacing=(0.4, 2.0))),
    "UTF-8 name": lambda: make_series(replace(CT, patient_name="Müller^Jürgen=山田^太郎")),
    "Japanese name": lambda: make_series(
        replace(CT, patient_name="Yamada^Tarou=山田^太郎=やまだ^たろう", character_set=["", "ISO 2022 IR 87"])
    ),
    "Chinese name": lambda: make_series(replace(CT, patient_name="Wang^XiaoDong=王^小东", character_set="GB18030")),
    "Korean name": lambda: make_series(
        replace(CT, patient_name="Hong^Gildong=洪^吉洞=홍^길동", character_set=["", "ISO 2022 IR 149"])
    ),
    "nothing optional": lambda: _edited("CT axial", *TYPE_2, "ImageType", "WindowCenter", "WindowWidth"),
    "a radiograph with nothing optional": lambda: _edited("DX", *TYPE_2, "PatientOrientation", "BodyPartExamined"),
    "no thickness": lambda: _edited("CT axial", "SliceThickness"),
    "thickness of zero": lambda: _edited("CT oblique", SliceThickness=0),
    "directions that are rounded anew": _rounded_anew,
    "lengths that are no numbers": lambda: _numbers(SliceThickness=b"thick ", SpacingBetweenSlices=b"wide"),
    "lengths that are zero and two": lambda: _numbers(SliceThickness=b"0 ", SpacingBetweenSlices=b"1\\2 "),
    "a distance that is not how they lie": lambda: _numbers(SliceThickness=b"2.5 ", SpacingBetweenSlices=b"9.9 "),
    "a window without an end": lambda: _numbers(WindowCenter=b"inf ", WindowWidth=b"1e30"),
    "no body part": lambda: _edited("MR coronal", "BodyPartExamined"),
    "an orientation of one direction": lambda: _edited("DX", PatientOrientation="L"),
    "a sex outside the list": lambda: _edited("CT axial", PatientSex="W"),
    "an unknown sex": lambda: _edited("PT", PatientSex="U"),
}


@pytest.fixture(scope="module", params=SOURCES, ids=[name.replace(" ", "-") for name in SOURCES])
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """All objects of each of these sources."""
    return evidence_of(segmented_in(SOURCES[request.param]()))


def _errors(file: Path) -> list[str]:
    run = subprocess.run(["dciodvfy", "-new", file], capture_output=True, check=False)
    told = (run.stdout + run.stderr).decode("utf-8", errors="replace")
    return [line for line in told.splitlines() if line.startswith("Error")]


def test_every_object_is_valid_or_repeats_what_the_source_says(evidence: Evidence, tmp_path: Path) -> None:
    """The only error is a patient's sex, which is copied as it is and is one in the source too (S1, R1)."""
    source = tmp_path / "source.dcm"
    evidence.context.sources[0].save_as(source, enforce_file_format=True)
    of_the_source = [line for line in _errors(source) if "PatientSex" in line and "Unrecognized" in line]
    assert len(of_the_source) == (evidence.context.sources[0].get("PatientSex", "") not in ("", "M", "F", "O"))

    for place, (one, data_set) in enumerate(evidence.read):
        file = tmp_path / f"{place}.dcm"
        file.write_bytes(one.part10)
        known = LABEL_MAP_ERRORS if one.form is EvidenceForm.LABEL_MAP else of_the_source
        assert [line for line in _errors(file) if line not in known] == [], one.form
        assert missing_attributes(data_set) == [], one.form


def test_what_the_source_leaves_out_is_left_empty(evidence: Evidence) -> None:
    """What it says of patient and study is repeated byte for byte; what it lacks is there and empty (S10)."""
    source = evidence.context.sources[0]
    for one, data_set in evidence.read:
        for keyword in EMPTY:
            if source.get(keyword):
                assert data_set[keyword].value == source[keyword].value, (one.form, keyword)
            else:
                assert data_set[keyword].is_empty, (one.form, keyword)
        assert data_set.get("SpecificCharacterSet") == source.get("SpecificCharacterSet")


@pytest.mark.parametrize("name", ["no thickness", "thickness of zero"])
def test_a_slice_of_unknown_thickness_is_as_thick_as_slices_lie_apart(name: str) -> None:
    """Nothing is made up: the thickness of frames is their distance, which the positions tell."""
    evidence = evidence_of(segmented_in(SOURCES[name]()))

    for mask in evidence.of_role(EvidenceRole.SEGMENTATION):
        (measures,) = mask.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        assert measures.SliceThickness == pytest.approx(CT.gap)


def test_one_slice_of_unknown_thickness_states_none() -> None:
    """Where nothing tells the distance of slices, the segmentation says nothing of it."""
    images = make_series(replace(CT, shape=(1, 24, 32)))
    del images[0].SliceThickness

    mask = evidence_of(segmented_in(images)).of_form(*BINARY_FORMS)

    (measures,) = mask.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert [element.keyword for element in measures] == ["PixelSpacing"]


NO_VOLUME = {
    "no frame of reference": ("FrameOfReferenceUID",),
    "no position": ("ImagePositionPatient",),
    "no orientation": ("ImageOrientationPatient",),
    "no spacing": ("PixelSpacing",),
}


@pytest.mark.parametrize("missing", NO_VOLUME.values(), ids=[name.replace(" ", "-") for name in NO_VOLUME])
def test_slices_without_a_place_are_refused_by_name(missing: tuple[str, ...]) -> None:
    """A series that is no volume never comes to an encoder: what its images lack is said before that."""
    with pytest.raises(UnusableInput) as refusal:
        order_slices(_edited("CT axial", *missing))

    assert refusal.value.reason.code
    assert missing[0] in refusal.value.reason.sentence


@pytest.mark.parametrize("name", ["a distance that is not how they lie", "lengths that are no numbers"])
def test_the_distance_of_frames_is_that_of_the_images(name: str) -> None:
    """What images say of their distance goes into no object where their positions say something else."""
    for one, data_set in evidence_of(segmented_in(SOURCES[name]())).read:
        if one.role in (EvidenceRole.SEGMENTATION, EvidenceRole.PARAMETRIC_MAP):
            [measures] = data_set.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
            assert float(measures.SpacingBetweenSlices) == pytest.approx(2.5), one.form
            assert float(measures.SliceThickness) == pytest.approx(2.5), one.form
