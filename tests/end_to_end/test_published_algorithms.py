"""Real networks on real images, through the whole analysis: what was measured of each when it was chosen is reached.

Each package is fetched once for all runs on this machine; converting takes most of the time.
"""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from inference.algorithms.trial import try_out
from inference.errors import UnusableInput
from inference.pipeline import NotAnalysed
from overread.demo.head_study import write_head_study
from overread.packages import PYDEFACE, PackageFile
from storage.domain.result import NewResult
from tests.peers.analysis import analysed, dice, segmented
from tests.peers.brain_mr import fetched
from tests.peers.published import published_algorithm, unpacked

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


def _whole(path: Path) -> Path:
    """The image as a modality would send it: with the attributes that old files lack, and an adult's age."""
    ds = pydicom.dcmread(path)
    ds.PatientID, ds.PatientAge = ds.get("PatientID") or "", "050Y"
    ds.save_as(path)
    return path


@pytest.mark.timeout(600)
def test_lungs_on_radiographs(tmp_path: Path) -> None:
    """On a digital radiograph the lungs agree with the mask beside it; an inverted one is outlined as well.

    A tibia is refused. The golden pair of the original is met.
    """
    folder = published_algorithm("lungs-radiograph")
    chest = _whole(unpacked(MEDCV, "medcv/data/chest.dcm", tmp_path))
    reference = np.asarray(nibabel.load(unpacked(MEDCV, "medcv/data/lung_mask.nii.gz", tmp_path)).dataobj).squeeze().T

    digital = analysed([chest], folder)
    inverted = analysed([_whole(unpacked(PYDICOM_DATA, "data_store/data/RG1_UNCR.dcm", tmp_path))], folder)
    tibia = analysed([_whole(unpacked(PYDICOM_DATA, "data_store/data/RG3_UNCR.dcm", tmp_path))], folder)

    assert (try_out(folder).golden or "").endswith("Dice 1.0000")
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


@pytest.mark.timeout(600)
def test_the_kind_of_an_mr_series(tmp_path: Path) -> None:
    """A T1-weighted head is called so, and what the network does not know is refused.

    A proton density weighting is told by its times, a stripped skull by what is blank around the brain.
    """
    folder = published_algorithm("mr-sequence")
    files = list(write_head_study(fetched(PYDEFACE), tmp_path / "head", seed="tests").files)

    result = analysed(files, folder)

    assert isinstance(result, NewResult)
    said = {one.classification.label: one.classification for one in result.findings if one.classification}
    assert [label for label, one in said.items() if one.present] == ["T1-weighted"]
    assert said["T1-weighted"].probability == pytest.approx(0.83, abs=0.02)
    assert said["T1-weighted"].images_examined == 1
    _rewritten(files, _proton_density)
    refused = analysed(files, folder)
    assert isinstance(refused, NotAnalysed)
    assert refused.reason.code == "acquisition-excluded"
    _rewritten(files, _stripped)
    with pytest.raises(UnusableInput) as fault:
        analysed(files, folder)
    assert fault.value.reason.code == "masked-image"


def _rewritten(files: list[Path], edit: Callable[[Dataset], object]) -> None:
    for path in files:
        ds = pydicom.dcmread(path)
        edit(ds)
        ds.save_as(path)


def _proton_density(ds: Dataset) -> None:
    ds.RepetitionTime, ds.EchoTime, ds.ScanningSequence = "3000", "15", "SE"


def _stripped(ds: Dataset) -> None:
    """Everything but an ellipse of a brain's size is blank."""
    rows, columns = np.mgrid[-1 : 1 : ds.Rows * 1j, -1 : 1 : ds.Columns * 1j]
    ds.RepetitionTime, ds.EchoTime, ds.ScanningSequence = "1900", "2.5", ["GR", "IR"]
    ds.PixelData = np.where((rows / 0.6) ** 2 + (columns / 0.7) ** 2 < 1, ds.pixel_array, 0).astype("<u2").tobytes()
