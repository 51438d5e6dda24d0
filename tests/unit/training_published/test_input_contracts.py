"""What each published network was not made for is refused by its own manifest, in one sentence, before it is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, CTImageStorage, DigitalXRayImageStorageForPresentation

from inference.algorithms.segmentation_manifest import SegmentationManifest
from inference.imaging.intensity import scale_intensity
from inference.imaging.series_selection import select_series
from inference.imaging.volume import as_seen, load_projection
from overread.published_algorithms import PUBLISHED
from tests.peers.published_manifests import published_manifest
from tests.peers.synthetic_series import kept, slice_headers, with_pixels

CORONAL = (1, 0, 0, 0, 0, -1)
MPRAGE = {"RepetitionTime": "1900", "EchoTime": "2.5", "InversionTime": "900", "ScanningSequence": ["GR", "IR"]}


@dataclass(frozen=True)
class Fitting:
    """A series that the network was made for."""

    series: Mapping[str, Any]
    attributes: Mapping[str, object]


FITTING = {
    "brain-extraction-mr": Fitting({"count": 60, "size": (96, 96)}, {"BodyPartExamined": "HEAD", **MPRAGE}),
    "liver": Fitting(
        {"count": 30, "spacing": 5.0, "size": (64, 64)},
        {"SOPClassUID": CTImageStorage, "Modality": "CT", "BodyPartExamined": "ABDOMEN", "SeriesDescription": "Venous"},
    ),
    "lungs-radiograph": Fitting(
        {"count": 1, "size": (256, 256)},
        {
            "SOPClassUID": DigitalXRayImageStorageForPresentation,
            "Modality": "DX",
            "BodyPartExamined": "CHEST",
            "ViewPosition": "PA",
            "SeriesDescription": "",
        },
    ),
    "mr-sequence": Fitting({"count": 12, "size": (64, 64)}, {"BodyPartExamined": "BRAIN", **MPRAGE}),
}

# The network, what is otherwise in the series (lower case: how it lies; upper case: DICOM keywords), the refusal.
REFUSED: tuple[tuple[str, Mapping[str, object], str], ...] = (
    ("brain-extraction-mr", {"Modality": "CT"}, "modality-not-accepted"),
    ("brain-extraction-mr", {"BodyPartExamined": "KNEE"}, "body-part-not-accepted"),
    ("brain-extraction-mr", {"BodyPartExamined": ""}, "body-part-unknown"),
    ("brain-extraction-mr", {"count": 59, "spacing": 2.5}, "too-few-slices"),
    ("brain-extraction-mr", {"spacing": 1.8}, "coverage-too-small"),
    ("brain-extraction-mr", {"spacing": 3.0}, "slice-spacing-too-large"),
    ("brain-extraction-mr", {"pixel_spacing": (2.5, 2.5)}, "pixel-spacing-too-large"),
    ("brain-extraction-mr", {"size": (95, 96)}, "matrix-too-small"),
    ("brain-extraction-mr", {"PatientAge": "012Y"}, "patient-age-not-accepted"),
    ("brain-extraction-mr", {"PatientAge": ""}, "patient-age-unknown"),
    ("brain-extraction-mr", {"SeriesDescription": "Ax FLAIR"}, "series-description-excluded"),
    ("brain-extraction-mr", {"EchoTime": "98", "ScanningSequence": "SE"}, "acquisition-excluded"),
    ("brain-extraction-mr", {"RepetitionTime": "3000", "ScanningSequence": "SE"}, "acquisition-excluded"),
    ("brain-extraction-mr", {"EchoTime": "20", "ScanningSequence": "GR"}, "acquisition-excluded"),
    ("liver", {"Modality": "PT"}, "modality-not-accepted"),
    ("liver", {"Modality": "MR"}, "modality-not-accepted"),
    ("liver", {"BodyPartExamined": "HEAD"}, "body-part-not-accepted"),
    ("liver", {"BodyPartExamined": ""}, "body-part-unknown"),
    ("liver", {"orientation": CORONAL}, "plane-not-accepted"),
    ("liver", {"count": 19, "spacing": 8.0}, "too-few-slices"),
    ("liver", {"count": 29}, "coverage-too-small"),
    ("liver", {"count": 100}, "coverage-too-large"),
    ("liver", {"spacing": 9.0}, "slice-spacing-too-large"),
    ("liver", {"pixel_spacing": (5.0, 5.0)}, "pixel-spacing-too-large"),
    ("liver", {"size": (63, 64)}, "matrix-too-small"),
    ("liver", {"PatientAge": "017Y"}, "patient-age-not-accepted"),
    ("liver", {"PatientAge": ""}, "patient-age-unknown"),
    ("liver", {"SeriesDescription": "Lung 1.0"}, "series-description-excluded"),
    ("lungs-radiograph", {"Modality": "CT"}, "modality-not-accepted"),
    ("lungs-radiograph", {"Modality": "MG"}, "modality-not-accepted"),
    ("lungs-radiograph", {"BodyPartExamined": "ABDOMEN"}, "body-part-not-accepted"),
    ("lungs-radiograph", {"BodyPartExamined": ""}, "body-part-unknown"),
    ("lungs-radiograph", {"ViewPosition": "LL"}, "view-not-accepted"),
    ("lungs-radiograph", {"ViewPosition": ""}, "view-unknown"),
    ("lungs-radiograph", {"size": (255, 256)}, "matrix-too-small"),
    ("lungs-radiograph", {"PatientAge": "006M"}, "patient-age-not-accepted"),
    ("lungs-radiograph", {"PatientAge": ""}, "patient-age-unknown"),
    ("mr-sequence", {"Modality": "CT"}, "modality-not-accepted"),
    ("mr-sequence", {"BodyPartExamined": "LSPINE"}, "body-part-not-accepted"),
    ("mr-sequence", {"BodyPartExamined": ""}, "body-part-unknown"),
    ("mr-sequence", {"orientation": CORONAL}, "plane-not-accepted"),
    ("mr-sequence", {"count": 9}, "too-few-slices"),
    ("mr-sequence", {"size": (64, 63)}, "matrix-too-small"),
    ("mr-sequence", {"PatientAge": "001M"}, "patient-age-not-accepted"),
    ("mr-sequence", {"PatientAge": ""}, "patient-age-unknown"),
    ("mr-sequence", {"SeriesDescription": "ADC"}, "series-description-excluded"),
    ("mr-sequence", {"RepetitionTime": "3000", "EchoTime": "15", "ScanningSequence": "SE"}, "acquisition-excluded"),
    ("mr-sequence", {"EchoTime": "20", "ScanningSequence": "GR"}, "acquisition-excluded"),
)


def _series(name: str, **otherwise: Any) -> list[Dataset]:
    fitting = FITTING[name]
    shape = {key: value for key, value in otherwise.items() if key.islower()}
    attributes = {**fitting.attributes, **{key: value for key, value in otherwise.items() if not key.islower()}}

    def edit(_: int, ds: Dataset) -> None:
        for keyword, value in attributes.items():
            setattr(ds, keyword, value)

    return slice_headers(**{"pixel_spacing": (1.0, 1.0), **fitting.series, **shape}, edit=edit)


@pytest.mark.parametrize("name", [one.name for one in PUBLISHED])
def test_what_a_network_was_made_for_is_taken(tmp_path: Path, name: str) -> None:
    """The refusals come from the limits, not from the series."""
    selection = select_series(kept(_series(name), tmp_path), published_manifest(name))

    assert [refusal.reason.sentence for refusal in selection.refusals] == []
    assert selection.accepted is not None


@pytest.mark.parametrize(("name", "otherwise", "code"), REFUSED)
def test_what_a_network_was_not_made_for_is_refused(
    tmp_path: Path, name: str, otherwise: dict[str, object], code: str
) -> None:
    """Each limit has a code of its own and one sentence that names the network."""
    selection = select_series(kept(_series(name, **otherwise), tmp_path), published_manifest(name))

    assert selection.accepted is None
    (refusal,) = selection.refusals
    assert refusal.reason.code == code
    assert refusal.reason.sentence.endswith(".")
    assert published_manifest(name).title in refusal.reason.sentence


def test_each_limit_of_each_manifest_is_tried() -> None:
    """No limit stands in a manifest without a series that meets it."""
    tried = {name: {code for network, _, code in REFUSED if network == name} for name in FITTING}

    for name in FITTING:
        contract = published_manifest(name).input
        assert tried[name] >= {code for limit, code in _CODES.items() if limit in contract.model_fields_set}, name


# By the limit in the manifest: how it refuses.
_CODES = {
    "modalities": "modality-not-accepted",
    "body_parts": "body-part-not-accepted",
    "plane": "plane-not-accepted",
    "min_coverage_mm": "coverage-too-small",
    "max_coverage_mm": "coverage-too-large",
    "max_slice_spacing_mm": "slice-spacing-too-large",
    "max_pixel_spacing_mm": "pixel-spacing-too-large",
    "min_matrix": "matrix-too-small",
    "min_age_years": "patient-age-not-accepted",
    "excluded_series_descriptions": "series-description-excluded",
    "excluded_acquisitions": "acquisition-excluded",
    "view_positions": "view-not-accepted",
}


def test_both_kinds_of_greyscale_show_the_network_the_same_chest(tmp_path: Path) -> None:
    """A radiograph in which 0 is white gives the network what the same one in which 0 is black gives it, CR or DX."""
    manifest = published_manifest("lungs-radiograph")
    assert isinstance(manifest, SegmentationManifest)
    values = np.random.default_rng(1).integers(0, 4096, (1, 256, 256))
    given = []
    for number, (kind, modality, stored, sop_class) in enumerate(
        (
            ("MONOCHROME2", "DX", values, DigitalXRayImageStorageForPresentation),
            ("MONOCHROME1", "CR", 4095 - values, ComputedRadiographyImageStorage),
        )
    ):
        attributes = {"Modality": modality, "PhotometricInterpretation": kind, "SOPClassUID": sop_class}
        headers = with_pixels(_series("lungs-radiograph", **attributes, BitsStored=12, HighBit=11), stored)
        (folder := tmp_path / str(number)).mkdir()
        accepted = select_series(kept(headers, folder), manifest).accepted
        assert accepted is not None
        volume = as_seen(load_projection(accepted.instances, accepted.headers[0]), manifest.preprocessing.voi)
        given.append(scale_intensity(volume.values, manifest.preprocessing.intensity_for(modality)))

    assert np.allclose(given[0], given[1], atol=1e-6)
    assert given[0].ravel()[values.argmax()] == 0.5  # the brightest is what the network takes for white
