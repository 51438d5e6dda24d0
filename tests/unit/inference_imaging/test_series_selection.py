"""The input contract: each refusal has a code and a sentence, and the best series wins by stated rules."""

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from inference.algorithms.manifest import Manifest, parse_manifest
from inference.errors import UnusableInput
from inference.evidence.not_analysed_reasons import told
from inference.imaging.series_selection import select_series
from tests.peers.synthetic_series import kept, slice_headers
from tests.peers.tiny_algorithm import manifest_with

PROTON_DENSITY: dict[str, Any] = {
    "label": "proton density weighting",
    "when": [
        {"attribute": "RepetitionTime", "at_least": 1500},
        {"attribute": "EchoTime", "at_most": 40},
        {"attribute": "ScanningSequence", "none_of": ["IR", "GR"]},
    ],
}


def _manifest(**contract: Any) -> Manifest:
    document = manifest_with(input=contract)
    document["outputs"]["measurements"] = ["volume"]
    return parse_manifest(document)


def _all(**values: object):
    def edit(_: int, ds: Dataset) -> None:
        for keyword, value in values.items():
            setattr(ds, keyword, value)

    return edit


@pytest.mark.parametrize(
    ("values", "contract", "code"),
    [
        ({"Modality": "CT"}, {}, "modality-not-accepted"),
        ({"Modality": "SEG"}, {"modalities": ["MR", "SEG"]}, "derived-result"),
        ({"Modality": "SR"}, {"modalities": ["SR"]}, "derived-result"),
        ({"BodyPartExamined": "KNEE"}, {"body_parts": ["HEAD"]}, "body-part-not-accepted"),
        ({"BodyPartExamined": ""}, {"body_parts": ["HEAD"]}, "body-part-unknown"),
        (
            {"SeriesDescription": "Ax FLAIR fs"},
            {"excluded_series_descriptions": ["*flair*"]},
            "series-description-excluded",
        ),
        ({}, {"min_slices": 7}, "too-few-slices"),
        ({}, {"min_slices": 2, "max_slices": 5}, "too-many-slices"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, {}, "localizer"),
        ({}, {"max_slice_spacing_mm": 1.9}, "slice-spacing-too-large"),
        ({}, {"max_pixel_spacing_mm": 1.4}, "pixel-spacing-too-large"),
        ({}, {"plane": "coronal"}, "plane-not-accepted"),
        ({}, {"min_matrix": 5}, "matrix-too-small"),
        ({"PatientAge": "012Y"}, {"min_age_years": 18}, "patient-age-not-accepted"),
        ({"PatientAge": "030M"}, {"min_age_years": 18}, "patient-age-not-accepted"),
        ({"PatientAge": "090Y"}, {"max_age_years": 80}, "patient-age-not-accepted"),
        ({"PatientAge": ""}, {"min_age_years": 18}, "patient-age-unknown"),
        ({}, {"min_coverage_mm": 12.5}, "coverage-too-small"),
        ({}, {"max_coverage_mm": 11.5}, "coverage-too-large"),
        ({"ViewPosition": "LL"}, {"view_positions": ["PA", "AP"]}, "view-not-accepted"),
        ({}, {"view_positions": ["PA"]}, "view-unknown"),
        (
            {"RepetitionTime": "3000", "EchoTime": "15", "ScanningSequence": "SE"},
            {"excluded_acquisitions": [PROTON_DENSITY]},
            "acquisition-excluded",
        ),
        ({"NumberOfFrames": 3}, {}, "multi-frame"),
        ({"PhotometricInterpretation": "RGB"}, {}, "not-monochrome"),
    ],
)
def test_a_series_outside_the_contract_is_refused_by_name(
    tmp_path: Path, values: dict[str, object], contract: dict[str, Any], code: str
) -> None:
    """The study is not analysed, and the refusal says why in one sentence without patient data."""
    selection = select_series(kept(slice_headers(edit=_all(**values)), tmp_path), _manifest(**contract))

    assert selection.accepted is None
    assert [refusal.reason.code for refusal in selection.refusals] == [code]
    assert selection.refusals[0].reason.sentence.endswith(".")


def test_the_same_series_is_accepted_without_the_limit(tmp_path: Path) -> None:
    """The refusals above come from the limits, not from the series."""
    selection = select_series(kept(slice_headers(), tmp_path), _manifest())

    assert selection.accepted is not None
    assert selection.refusals == ()


def test_the_sentence_names_both_sides(tmp_path: Path) -> None:
    """What it is and what would be taken, so that nobody has to look it up."""
    selection = select_series(kept(slice_headers(edit=_all(Modality="CT")), tmp_path), _manifest())

    assert selection.refusals[0].reason.sentence == "The series is CT; tiny 1.0 takes MR."


def test_a_body_part_that_is_not_stated_is_not_called_another_one(tmp_path: Path) -> None:
    """Neither the reason nor its sentence claims that the images are of some other part of the body."""
    series = kept(slice_headers(edit=_all(BodyPartExamined="")), tmp_path)

    (refusal,) = select_series(series, _manifest(body_parts=["HEAD", "BRAIN"])).refusals

    assert refusal.reason.code == "body-part-unknown"
    assert refusal.reason.sentence == "Body Part Examined is missing; tiny 1.0 takes HEAD or BRAIN."
    assert told(refusal.reason.code).sentence.startswith("The images do not state their body part")


@pytest.mark.parametrize("written", ["<b>JANE DOE</b>", "DOE JANE", "DOE_JANE", "DOE"])
def test_text_that_is_no_term_is_not_repeated(tmp_path: Path, written: str) -> None:
    """A sender can write anything into Body Part Examined, also a name; it does not reach the report."""
    series = kept(slice_headers(edit=_all(BodyPartExamined=written)), tmp_path)

    selection = select_series(series, _manifest(body_parts=["HEAD"]))

    assert selection.refusals[0].reason.sentence == (
        "Body Part Examined is no term that the Standard defines; tiny 1.0 takes HEAD."
    )


@pytest.mark.parametrize("written", ["ABDOMEN", "CHEST_ABDOMEN", "LSPINE"])
def test_another_body_part_is_named(tmp_path: Path, written: str) -> None:
    """A term of the Standard is repeated, also in a scanner's own spelling, so that nobody has to look it up."""
    series = kept(slice_headers(edit=_all(BodyPartExamined=written)), tmp_path)

    selection = select_series(series, _manifest(body_parts=["HEAD"]))

    assert selection.refusals[0].reason.sentence == f"Body Part Examined is {written}; tiny 1.0 takes HEAD."


def test_most_slices_win_then_the_lowest_series_number(tmp_path: Path) -> None:
    """Of accepted series the longest is taken; among equals the one with the lowest Series Number."""
    short = slice_headers(count=4, edit=_all(SeriesNumber=1))
    later = slice_headers(count=6, edit=_all(SeriesNumber=7))
    first = slice_headers(count=6, edit=_all(SeriesNumber=3))
    twin = slice_headers(count=6, edit=_all(SeriesNumber=3, SeriesInstanceUID="9.9.9"))

    selection = select_series(kept([*short, *later, *first, *twin], tmp_path), _manifest())

    chosen = first[0].SeriesInstanceUID
    assert selection.accepted is not None
    assert selection.accepted.series_instance_uid == chosen
    assert selection.refusals == ()
    lead = f"It could be analysed too, but series {chosen} has"
    assert [(told.series_instance_uid, told.reason.code, told.reason.sentence) for told in selection.ranked_lower] == [
        ("9.9.9", "ranked-lower", f"{lead} as many images, the same Series Number and the lower UID."),
        (
            later[0].SeriesInstanceUID,
            "ranked-lower",
            f"{lead} as many images and the lower Series Number (3).",
        ),
        (short[0].SeriesInstanceUID, "ranked-lower", f"{lead} more images (6 instead of 4)."),
    ]


def test_a_broken_series_stands_aside_for_a_sound_one(tmp_path: Path) -> None:
    """A gap in one series is a refusal when another series can be analysed."""
    broken = slice_headers(count=12)
    del broken[5]
    sound = slice_headers()

    selection = select_series(kept([*broken, *sound], tmp_path), _manifest())

    assert selection.accepted is not None
    assert selection.accepted.series_instance_uid == sound[0].SeriesInstanceUID
    assert [refusal.reason.code for refusal in selection.refusals] == ["gap"]


def test_a_study_whose_only_series_is_broken_fails(tmp_path: Path) -> None:
    """There was a series for this algorithm, so silence or 'not analysed' would hide the damage."""
    broken = slice_headers(count=12)
    del broken[5]

    with pytest.raises(UnusableInput) as fault:
        select_series(kept(broken, tmp_path), _manifest())

    assert fault.value.reason.code == "gap"


def test_several_volumes_in_one_series_are_another_kind_of_series(tmp_path: Path) -> None:
    """Diffusion and cine series are sound but no single volume: not analysed, not failed."""
    series = slice_headers(edit=lambda index, ds: setattr(ds, "ImagePositionPatient", [0, 0, float(index // 2)]))

    selection = select_series(kept(series, tmp_path), _manifest())

    assert selection.accepted is None
    assert [refusal.reason.code for refusal in selection.refusals] == ["duplicate-positions"]


@pytest.mark.parametrize(
    "values",
    [
        {"RepetitionTime": "3000", "EchoTime": "100", "ScanningSequence": "SE"},
        {"RepetitionTime": "1900", "EchoTime": "2.5", "ScanningSequence": ["GR", "IR"]},
        {"RepetitionTime": "3000", "EchoTime": "15"},
        {"RepetitionTime": "", "EchoTime": "", "ScanningSequence": "SE"},
    ],
)
def test_an_acquisition_is_excluded_only_where_every_condition_is_known_to_hold(
    tmp_path: Path, values: dict[str, object]
) -> None:
    """A long echo, a gradient echo, and images that say too little are no proton density weighting."""
    instances = kept(slice_headers(edit=_all(**values)), tmp_path)

    assert select_series(instances, _manifest(excluded_acquisitions=[PROTON_DENSITY])).accepted is not None


def _radiographs(*views: str) -> list[Dataset]:
    def edit(index: int, ds: Dataset) -> None:
        ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "DX", "CHEST", views[index]
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness"):
            delattr(ds, keyword)

    return slice_headers(count=len(views), edit=edit)


def _of_radiographs(**contract: Any) -> Manifest:
    document = manifest_with(input={"modalities": ["DX"], "min_slices": 1, "projection": True, **contract})
    document["outputs"]["measurements"] = ["area"]
    return parse_manifest(document)


def test_of_a_chest_series_the_frontal_radiograph_is_taken(tmp_path: Path) -> None:
    """A lateral view beside it is left out, not outlined and not a reason to refuse the series."""
    images = _radiographs("LL", "PA")

    accepted = select_series(kept(images, tmp_path), _of_radiographs(view_positions=["PA", "AP"])).accepted

    assert accepted is not None
    assert [str(one.SOPInstanceUID) for one in accepted.headers] == [str(images[1].SOPInstanceUID)]


def test_two_radiographs_of_a_view_are_told_and_not_chosen_between(tmp_path: Path) -> None:
    """Nobody could know which of them a result speaks of."""
    selection = select_series(kept(_radiographs("PA", "AP"), tmp_path), _of_radiographs(view_positions=["PA", "AP"]))

    (refusal,) = selection.refusals
    assert refusal.reason.code == "several-images"
    assert "2 images" in refusal.reason.sentence


def test_a_radiograph_without_a_place_is_no_volume_for_others(tmp_path: Path) -> None:
    """Only an algorithm that says so takes a projection for a volume of one slice."""
    with pytest.raises(UnusableInput, match="place in the patient"):
        select_series(kept(_radiographs("PA", "PA"), tmp_path), _manifest(modalities=["DX"]))
