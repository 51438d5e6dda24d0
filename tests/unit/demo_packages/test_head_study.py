"""The demo's head is a valid DICOM series that lies where the public image says."""

import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.imaging.series_reader import read_headers
from inference.imaging.volume import load_volume
from inference.pipeline import ReadyAlgorithm, analyse
from inference.settings import WorkerSettings
from overread.demo.brain_extraction import write_brain_extraction
from overread.demo.head_study import HeadStudy, UnreadableHead, write_head_study
from storage.domain.result import NewResult
from storage.domain.study import StableStudy, StoredInstance
from tests.peers.synthetic_series import as_kept


@pytest.fixture(scope="module")
def head(pydeface_sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> HeadStudy:
    """The study, with a seed."""
    return write_head_study(pydeface_sdist, tmp_path_factory.mktemp("head"), seed="tests")


@pytest.fixture(scope="module")
def instances(head: HeadStudy) -> list[StoredInstance]:
    """Its files as storage would know them."""
    return [as_kept(pydicom.dcmread(path, stop_before_pixels=True), path) for path in head.files]


def test_each_slice_is_valid_dicom(head: HeadStudy) -> None:
    """dciodvfy finds no error in the MR Image IOD."""
    for path in (head.files[0], head.files[128], head.files[-1]):
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []


def test_every_voxel_lies_where_the_public_image_says(
    instances: list[StoredInstance], pydeface_sdist: Path, tmp_path: Path
) -> None:
    """At random places of the patient, the series and the NIfTI file (RAS) hold the same value."""
    by_uid = {instance.header.sop_instance_uid: instance for instance in instances}
    volume = load_volume(by_uid, read_headers(instances))
    with tarfile.open(pydeface_sdist) as archive:
        name = next(name for name in archive.getnames() if name.endswith("T1w.nii.gz"))
        content = archive.extractfile(name)
        assert content is not None
        (tmp_path / "head.nii.gz").write_bytes(content.read())
    image = nibabel.load(tmp_path / "head.nii.gz")
    values = np.asanyarray(image.dataobj)
    voxels = np.random.default_rng(5).integers(0, values.shape, (2000, 3))
    ras = image.affine @ np.c_[voxels, np.ones(len(voxels))].T
    lps = np.diag([-1, -1, 1, 1]) @ ras

    places = np.rint(np.linalg.inv(volume.geometry.affine) @ lps)[:3].astype(int)

    assert (volume.values[tuple(places)] == values[tuple(voxels.T)]).all()
    assert volume.geometry.plane == "axial"


def test_the_patient_is_fictitious_and_the_source_is_told(head: HeadStudy) -> None:
    """Nobody can take the study for a patient's."""
    ds = pydicom.dcmread(head.files[0], stop_before_pixels=True)

    assert (str(ds.PatientName), ds.PatientID) == ("Demo^Head", "DEMO-0001")
    assert "ds000031" in ds.DerivationDescription
    assert "public research image" in ds.ImageComments


def test_each_call_makes_a_new_study_unless_seeded(pydeface_sdist: Path, head: HeadStudy, tmp_path: Path) -> None:
    """A demo that runs twice pushes two studies; a test that runs twice pushes one."""
    again = write_head_study(pydeface_sdist, tmp_path / "again", seed="tests")
    other = write_head_study(pydeface_sdist, tmp_path / "other")

    assert again.study_instance_uid == head.study_instance_uid
    assert [path.read_bytes() for path in again.files] == [path.read_bytes() for path in head.files]
    assert other.study_instance_uid != head.study_instance_uid


def test_the_demo_finds_a_brain_of_about_1720_ml(
    head: HeadStudy, instances: list[StoredInstance], deepbrain_wheel: Path, tmp_path: Path
) -> None:
    """The whole analysis of the real head gives the volume that the original recipe gives, to one per cent."""
    verified = verify(write_brain_extraction(deepbrain_wheel, tmp_path))
    engine = Engine(verified, WorkerSettings(device="cpu"))
    study = StableStudy(head.study_instance_uid, 1, "DEMO-0001", "", datetime.now(UTC), tuple(instances))

    result = analyse(study, ReadyAlgorithm(verified, engine, engine.provider), datetime.now(UTC), b"s" * 32)

    assert isinstance(result, NewResult)
    (finding,) = result.findings
    volume, intensity = finding.measurements
    assert (volume.unit.value, intensity.unit.value) == ("cm3", "{unitless}")
    assert volume.value == pytest.approx(1723, rel=0.01)


def test_a_package_without_the_head_is_refused(tmp_path: Path) -> None:
    """The user reads a sentence."""
    (tmp_path / "other.tar.gz").write_bytes(b"no archive")

    with pytest.raises(UnreadableHead):
        write_head_study(tmp_path / "other.tar.gz", tmp_path)
