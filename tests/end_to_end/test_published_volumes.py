"""The two large published networks on real volumes; minutes each on two busy cores.

Collected only where OVERREAD_LONG_TESTS is set.
"""

import shutil
from pathlib import Path

import pydicom
import pytest

from inference.algorithms.manifest import MANIFEST_NAME
from inference.algorithms.trial import try_out
from inference.pipeline import NotAnalysed
from overread.demo.brain_extraction import write_brain_extraction
from overread.demo.head_study import write_head_study
from overread.packages import DEEPBRAIN, PYDEFACE, PackageFile
from storage.domain.result import NewResult
from tests.peers.analysis import analysed, dice, segmented
from tests.peers.brain_mr import fetched
from tests.peers.nifti_series import axial, write_series
from tests.peers.published import published_algorithm, unpacked

_LIVER = 5  # its label in TotalSegmentator's output
TOTALSEGMENTATOR = PackageFile(
    "totalsegmentator",
    "2.18.0",
    "totalsegmentator-2.18.0.tar.gz",
    "5d4223ef93973bc36d710869d11e7742ead2c154c72f7f9edcaaadd5b6c4bd03",
)


@pytest.mark.timeout(1200)
def test_the_liver_in_a_ct(tmp_path: Path) -> None:
    """The liver of a torso agrees with TotalSegmentator's, and a part of the torso is refused by its length.

    The golden pair of the original is met, and with it a lower precision may be permitted.
    """
    folder = published_algorithm("liver")
    name = "totalsegmentator-2.18.0/tests/reference_files"
    torso = unpacked(TOTALSEGMENTATOR, f"{name}/example_ct.nii.gz", tmp_path)
    organs, _ = axial(unpacked(TOTALSEGMENTATOR, f"{name}/example_seg_fast_force_split.nii.gz", tmp_path))
    files = write_series(torso, "CT", tmp_path / "ct", {"BodyPartExamined": "ABDOMEN"})

    result = analysed(files, folder)
    short = analysed(files[:40], folder)

    assert isinstance(result, NewResult)
    assert dice(segmented(result, files), organs == _LIVER) == pytest.approx(0.930, abs=0.005)
    volume, attenuation = result.findings[0].measurements
    assert volume.value == pytest.approx(1054, rel=0.01)
    assert (attenuation.unit.value, attenuation.value) == ("[hnsf'U]", pytest.approx(43, abs=2))
    assert isinstance(short, NotAnalysed)
    assert short.reason.code == "coverage-too-small"
    assert (try_out(folder).golden or "").endswith("Dice 1.0000")
    assert try_out(_permitting("float16", folder, tmp_path / "float16")).golden


def _permitting(precision: str, folder: Path, copy: Path) -> Path:
    """A copy of the algorithm whose manifest permits a lower precision."""
    shutil.copytree(folder, copy)
    manifest = copy / MANIFEST_NAME
    manifest.write_text(
        manifest.read_text().replace("  output: probability", f"  output: probability\n  precision: {precision}")
    )
    return copy


@pytest.mark.timeout(1200)
def test_the_brain_in_a_head(tmp_path: Path) -> None:
    """The brain of a T1-weighted head has the volume that the package's own recipe gives, and agrees with deepbrain.

    A series that calls itself T2 is refused.
    """
    folder = published_algorithm("brain-extraction-mr")
    files = list(write_head_study(fetched(PYDEFACE), tmp_path / "head", seed="tests").files)
    other = write_brain_extraction(fetched(DEEPBRAIN), tmp_path / "deepbrain")

    result = analysed(files, folder)
    second = analysed(files, other)

    assert isinstance(result, NewResult)
    assert isinstance(second, NewResult)
    assert (try_out(folder).golden or "").endswith("Dice 1.0000")
    volume, _ = result.findings[0].measurements
    assert volume.value == pytest.approx(1776, rel=0.005)
    assert dice(segmented(result, files), segmented(second, files)) > 0.96
    for path in files:
        ds = pydicom.dcmread(path)
        ds.SeriesDescription = "Ax T2 TSE"
        ds.save_as(path)
    refused = analysed(files, folder)
    assert isinstance(refused, NotAnalysed)
    assert refused.reason.code == "series-description-excluded"
