"""Threat T23: a PACS that forwards everything to us, results too, and copies of them under other UIDs."""

from collections import Counter
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from tests.end_to_end.conftest import Product, destination, write_series
from tests.peers.orthanc import Orthanc

_FORWARD_EVERYTHING = """
function OnStoredInstance(instanceId, tags, metadata, origin)
  if origin['RequestOrigin'] ~= 'Lua' then
    SendToModality(instanceId, 'overread')
    if tags['Modality'] == 'OT' then
      local copy = ModifyInstance(instanceId, {SeriesDescription = 'Copy'}, {}, false)
      SendToModality(copy, 'overread')
    end
  end
end
"""


def test_a_pacs_that_forwards_every_result_to_us_starts_nothing(
    product: Product, bright_voxels: Path, start_orthanc: Callable[..., Orthanc], tmp_path: Path
) -> None:
    """All that comes back is kept and told by its rule, pictures under new UIDs too: one revision, one job, no loop.

    A report of ours that somebody verified there is taken as a verdict.
    """
    script = tmp_path / "forward.lua"
    script.write_text(_FORWARD_EVERYTHING)
    pacs = start_orthanc(
        modalities={"overread": ("OVERREAD", "127.0.0.1", product.port)}, settings={"LuaScripts": [str(script)]}
    )
    product.settings |= destination(pacs.dicom_port)
    assert product.command("algorithms", "add", str(bright_voxels)).returncode == 0
    product.start()
    series = write_series(tmp_path / "series")
    for path in series.paths:
        pacs.upload(path)

    product.wait_for_study(series.study_instance_uid, "done")
    results, copies = 4, 2
    product.wait_until(lambda: len(_excluded(product, series.study_instance_uid)) == results + copies, "all came back")

    assert Counter(_excluded(product, series.study_instance_uid)) == {"own-result": results, "ai-result": copies}
    facts = product.overview().explain(series.study_instance_uid)
    assert [revision["revision"] for revision in facts["revisions"]] == [1]
    assert sum(one["unsettled"] for one in facts["series"]) == 0  # so no second revision can follow
    assert Counter(job["kind"] for job in facts["jobs"]) == {"inference": 1, "delivery": 1}
    assert len(pacs.instances_of(series.study_instance_uid)) == len(series.paths) + results + copies
    told = product.explain(series.study_instance_uid)
    assert "4 instances did not count (own-result)" in told
    assert "2 instances did not count (ai-result)" in told
    assert product.silent_instances() == []

    verified = tmp_path / "verified.dcm"
    _verify(pacs, series.study_instance_uid, verified)
    pacs.upload(verified)
    accepted = " was accepted by a structured report "
    product.wait_until(lambda: accepted in product.explain(series.study_instance_uid), "the verdict was taken")
    assert product.log().count("came back and could not be read") == 0


def _verify(pacs: Orthanc, study_instance_uid: str, path: Path) -> None:
    """The next version of our report, with the flag and the observer that a person leaves who verifies it."""
    (report,) = [
        one for _, file in pacs.instances_of(study_instance_uid) if (one := dcmread(BytesIO(file))).Modality == "SR"
    ]
    study, series, instance, observer = Dataset(), Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = report.SOPClassUID, report.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = report.SeriesInstanceUID, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = report.StudyInstanceUID, [series]
    observer.VerifyingObserverName, observer.VerifyingOrganization = "Doe^Jane", "Radiology"
    observer.VerificationDateTime, observer.VerifyingObserverIdentificationCodeSequence = "20260305101112", []
    report.PredecessorDocumentsSequence, report.VerifyingObserverSequence = [study], [observer]
    report.VerificationFlag = "VERIFIED"
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    report.save_as(path, enforce_file_format=True)


def _excluded(product: Product, study_instance_uid: str) -> list[str]:
    return [one["excluded_rule"] for one in product.overview().explain(study_instance_uid)["excluded"]]
