"""The self-test is a valid study that nobody can take for a patient."""

import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread

from inference.evidence.further import AVAILABLE
from overread.destinations.self_test import make_self_test
from storage.domain.result import EvidenceForm
from storage.domain.self_test import is_self_test
from storage.domain.viewer_profile import PROFILES, ViewerProfile, transfer_syntax_of

SECRET = b"s" * 32
_LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"  # an IOD that Debian's dciodvfy does not know


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_instance_is_marked_and_belongs_to_one_study(profile: ViewerProfile, tmp_path: Path) -> None:
    """The Patient ID that is never analysed stands in each, images and results alike, of one study."""
    made = make_self_test(profile, tmp_path, SECRET)

    for one in made.instances:
        data_set = dcmread(one.path)
        assert is_self_test(str(data_set.PatientID))
        assert "not a patient" in data_set.StudyDescription
        assert data_set.StudyInstanceUID == made.study_instance_uid
        assert (data_set.SOPClassUID, data_set.SOPInstanceUID) == (one.sop_class_uid, one.sop_instance_uid)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_each_form_with_an_encoder_is_there_once(profile: ViewerProfile, tmp_path: Path) -> None:
    """Also both binary ones, of which a real result has one: which, its matrix decides."""
    forms = [one.form for one in make_self_test(profile, tmp_path, SECRET).instances if one.form is not None]

    assert len(forms) == len(set(forms))
    assert set(forms) <= profile.forms
    assert {EvidenceForm.BINARY, EvidenceForm.BINARY_UNALIGNED, EvidenceForm.COMPREHENSIVE_3D} <= set(forms)
    assert {EvidenceForm(role) for role in AVAILABLE} & profile.forms <= set(forms)


def test_every_form_is_in_the_transfer_syntax_that_profiles_are_checked_by(tmp_path: Path) -> None:
    """A profile is refused by that table, so it has to say what the encoders do."""
    everything = ViewerProfile("everything", tuple(EvidenceForm), (), (), (), ())
    made = [one for one in make_self_test(everything, tmp_path, SECRET).instances if one.form is not None]

    assert {one.form for one in made} == {*EvidenceForm} - {EvidenceForm.REJECTION_NOTE}  # it follows no result
    for one in made:
        assert dcmread(one.path).file_meta.TransferSyntaxUID == transfer_syntax_of(one.form)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_the_self_test_is_valid_dicom(profile: ViewerProfile, tmp_path: Path) -> None:
    """dciodvfy finds no error in anything: what a destination refuses, it refuses for reasons of its own."""
    for one in make_self_test(profile, tmp_path, SECRET).instances:
        if one.sop_class_uid != _LABEL_MAP:
            done = subprocess.run(["dciodvfy", "-new", one.path], capture_output=True, text=True, check=False)
            assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []
            assert done.returncode == 0


@pytest.mark.parametrize(
    ("patient_id", "marked"),
    [
        ("OVERREAD-SELFTEST", True),
        (" OVERREAD-SELFTEST^HOSPITAL ", True),
        ("", False),
        ("OVERREAD", False),
        ("OVERREAD-4711-SELFTEST", False),
        ("HOSP1-OVERREAD-SELFTEST", True),
        ("overread-selftest", True),
        ("hosp1^Overread-Selftest", True),
    ],
)
def test_the_whole_mark_counts_wherever_and_however_it_stands(patient_id: str, marked: bool) -> None:
    """A PACS may put a prefix before it or change the case; a part of the mark is no mark."""
    assert is_self_test(patient_id) is marked
