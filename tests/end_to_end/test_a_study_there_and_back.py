"""From a real PACS and from a real modality's sender, through every role, back into the real PACS."""

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pydicom

from tests.end_to_end.conftest import Product, destination, write_series
from tests.peers.orthanc import Orthanc


def test_a_study_pushed_by_orthanc_comes_back_with_its_findings(
    product: Product, bright_voxels: Path, start_orthanc: Callable[..., Orthanc], tmp_path: Path
) -> None:
    """Orthanc sends a study and receives SEG, SR, a picture and the summary into it; the mask is the model's."""
    pacs = start_orthanc(modalities={"overread": ("OVERREAD", "127.0.0.1", product.port)})
    product.settings |= destination(pacs.dicom_port)
    assert product.command("algorithms", "add", str(bright_voxels)).returncode == 0
    product.start()
    series = write_series(tmp_path / "series")
    for path in series.paths:
        pacs.upload(path)

    pacs.send_study(series.study_instance_uid, "overread")
    product.wait_for_study(series.study_instance_uid, "done")

    returned = [pydicom.dcmread(io.BytesIO(content)) for _, content in pacs.instances_of(series.study_instance_uid)]
    segmentation = next(instance for instance in returned if instance.Modality == "SEG")
    report = next(instance for instance in returned if instance.Modality == "SR")
    pictures = [instance for instance in returned if instance.Modality == "OT"]
    assert len(returned) == len(series.paths) + 4
    assert sorted(one.InstanceNumber for one in pictures) == [1, 2]
    _assert_valid(segmentation, tmp_path / "seg.dcm")
    _assert_valid(report, tmp_path / "sr.dcm")
    assert "PRELIMINARY" in _printed(tmp_path / "sr.dcm")
    _assert_mask_is_the_models(segmentation, tmp_path / "seg.dcm", series.paths)
    assert product.silent_instances() == []


def test_a_study_pushed_by_dcmtk_is_analysed(
    product: Product, bright_voxels: Path, orthanc: Orthanc, tmp_path: Path
) -> None:
    """DCMTK's storescu needs nothing special; `status --json` and `explain` tell the same story afterwards.

    It goes by the route whose rule asks for the station that the images name, and says so.
    """
    product.settings |= destination(orthanc.dicom_port)
    rules = {name: [{"attribute": "station_name", "matches": [name]}] for name in ("x", "er-*")}
    product.settings["OVERREAD_LISTENER_ROUTES"] = json.dumps(
        [
            {"ae_title": "OVERREAD", "algorithms": ["none"], "rules": rules["x"]},
            {"ae_title": "OVERREAD", "priority": "stat", "rules": rules["er-*"]},
        ]
    )
    assert product.command("algorithms", "add", str(bright_voxels)).returncode == 0
    product.start()
    series = write_series(tmp_path / "series", StationName="ER-CT1")

    subprocess.run(
        ["storescu", "-aec", "OVERREAD", "127.0.0.1", str(product.port), *map(str, series.paths)], check=True
    )
    product.wait_for_study(series.study_instance_uid, "done")

    status = json.loads(product.command("status", "--json").stdout)
    assert [study["state"] for study in status["studies"]] == ["done"]
    states = [delivery["state"] for delivery in status["deliveries"]]
    assert set(states) == {"acknowledged", "not-needed"}  # the report's other forms only stand in
    assert states.count("acknowledged") == 4
    assert len(orthanc.instances_of(series.study_instance_uid)) == 4
    told = product.explain(series.study_instance_uid)
    assert "goes by entry 2 of [[listener.routes]], because station_name is er-*." in told
    assert "bright-voxels 1.0 has the priority stat here" in told
    assert "acknowledged" in told
    assert "Phantom^Test" not in told
    assert "Phantom^Test" not in product.log()
    verified = product.command("audit", "verify")
    assert verified.returncode == 0, verified.stderr
    assert "each follows from the one before it" in verified.stdout
    assert "Phantom" not in product.command("audit", "export", "--csv", "-").stdout


def _assert_valid(instance: pydicom.Dataset, path: Path) -> None:
    instance.save_as(path)
    judged = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
    assert [line for line in judged.stderr.splitlines() if line.startswith("Error")] == []
    assert judged.returncode == 0


def _printed(path: Path) -> str:
    return subprocess.run(["dsrdump", str(path)], capture_output=True, text=True, check=True).stdout


def _assert_mask_is_the_models(segmentation: pydicom.Dataset, path: Path, sources: list[Path]) -> None:
    """highdicom and pydicom, each in its own way, place every marked voxel where the source is above 1000."""
    expected = {}
    for source in map(pydicom.dcmread, sources):
        expected[round(float(source.ImagePositionPatient[2]), 3)] = source.pixel_array > 1000

    volume = highdicom.seg.segread(path).get_volume(combine_segments=True, rescale_fractional=False)
    for index in range(volume.spatial_shape[0]):
        z = round(float(volume.map_indices_to_reference(np.array([[index, 0, 0]]))[0, 2]), 3)
        np.testing.assert_array_equal(volume.array[index] > 0, expected[z])

    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_array_equal(frame > 0, expected[round(float(position[2]), 3)])
    marked = sum(int(mask.sum()) for mask in expected.values())
    assert int(segmentation.pixel_array.sum()) == marked > 0
