"""Every object of every kind of source repeats whose it is, and says who made it and with what."""

import json
import pkgutil
from functools import cache

import pytest
from pydicom import Dataset

from inference.evidence.attributes import series_number
from inference.evidence.result_uids import USUAL_NAMING
from storage.domain.result import EvidenceRole
from tests.conformance.every_evidence import Evidence, evidence_of
from tests.conformance.source_modalities import SERIES, segmented_in

# The modules of the patient and the study (PS3.3 sections C.7.1 and C.7.2), which every object of a study shares.
SHARED_MODULES = ("patient", "general-study", "patient-study", "clinical-trial-subject", "clinical-trial-study")
# Their series are of a body part (PS3.3 section C.7.3.1); those of documents and structure sets are not.
WITH_A_BODY_PART = (
    EvidenceRole.SEGMENTATION,
    EvidenceRole.SECONDARY_CAPTURE,
    EvidenceRole.PRESENTATION_STATE,
    EvidenceRole.PARAMETRIC_MAP,
)
# A patient and a study with everything that a hospital may write of them.
FURTHER = {
    "PatientComments": "Bettnachbar: Müller",
    "PatientSize": "1.68",
    "PatientWeight": "61.5",
    "PatientBirthTime": "073000",
    "PhysiciansOfRecord": "Poe^Edgar",
    "NameOfPhysiciansReadingStudy": "Foe^Daniel",
    "AdmissionID": "ADM-1",
    "AdditionalPatientHistory": "Hustet seit Tagen",
    "MedicalAlerts": "Kontrastmittel",
    "ClinicalTrialSponsorName": "Sponsor",
    "ClinicalTrialProtocolID": "PROTOCOL-1",
    "ClinicalTrialSubjectID": "SUBJECT-1",
}


@cache
def _shared_keywords() -> frozenset[str]:
    data = pkgutil.get_data("highdicom", "_standard/module_attribute_map.json")
    assert data is not None
    modules = json.loads(data)
    return frozenset(one["keyword"] for module in SHARED_MODULES for one in modules[module] if not one["path"])


def _of_the_patient_and_the_study(data_set: Dataset) -> dict[str, str]:
    """Those attributes that the object has, as text."""
    return {keyword: str(data_set[keyword].value) for keyword in _shared_keywords() if keyword in data_set}


@pytest.fixture(scope="module", params=list(SERIES), ids=[name.replace(" ", "-") for name in SERIES])
def evidence(request: pytest.FixtureRequest) -> Evidence:
    """Each modality and geometry in turn, of a patient of whom much is written."""
    images = SERIES[request.param]()
    for image in images:
        for keyword, value in FURTHER.items():
            setattr(image, keyword, value)
    return evidence_of(segmented_in(images))


def test_all_that_is_known_of_the_patient_and_the_study_is_copied(evidence: Evidence) -> None:
    """Each attribute of these modules that the source has, every object has, and with the same value (S10)."""
    known = _of_the_patient_and_the_study(evidence.context.sources[0])
    assert known.keys() >= FURTHER.keys() | {"PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber"}

    for one, data_set in evidence.read:
        written = _of_the_patient_and_the_study(data_set)
        assert {keyword: value for keyword, value in written.items() if value} == known, one.form


def test_every_series_is_numbered_dated_and_labelled(evidence: Evidence) -> None:
    """Series number, date, time, description and, where an image has one, the body part are there (S10)."""
    source = evidence.context.sources[0]
    moment = evidence.context.local_started_at
    for one, data_set in evidence.read:
        assert data_set.SeriesNumber == series_number(USUAL_NAMING, one.role)
        assert (data_set.SeriesDate, data_set.SeriesTime) == (f"{moment:%Y%m%d}", f"{moment:%H%M%S.%f}")
        assert data_set.SeriesDescription.startswith("Sample organ finder ")
        assert data_set.SeriesDescription.endswith("(RESEARCH, not verified)")
        if one.role in WITH_A_BODY_PART:
            assert data_set.BodyPartExamined == source.BodyPartExamined


def test_every_object_names_the_model_that_made_it(evidence: Evidence) -> None:
    """Content Qualification, and the algorithm as contributing equipment with the digest of its bytes (S11)."""
    algorithm = evidence.context.algorithm
    for _, data_set in evidence.read:
        (device,) = [one for one in data_set.ContributingEquipmentSequence if "DeviceUID" in one]

        assert data_set.ContentQualification == "RESEARCH"
        assert device.DeviceUID == evidence.context.identity.device_uid()
        assert device.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert (device.ManufacturerModelName, device.SoftwareVersions) == (algorithm.name, algorithm.version)
        assert algorithm.artifact_sha256 in device.ContributionDescription


def test_another_model_is_another_device() -> None:
    """The Device UID changes with the bytes of the model and with nothing else, in every object (S11)."""
    first, again, other = (
        {
            (one.form, device.DeviceUID)
            for one, data_set in evidence_of(segmented_in(SERIES[name](), artifact_sha256=digit * 64)).read
            for device in data_set.ContributingEquipmentSequence
            if "DeviceUID" in device
        }
        for name, digit in (("CT axial", "c"), ("CT oblique", "c"), ("CT axial", "d"))
    )

    assert first == again
    assert len({uid for _, uid in first | other}) == 2
    assert {form for form, _ in first} == {form for form, _ in other}
