"""A classification from a real PACS, through every role, back into the real PACS; and a study that nobody takes."""

import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset

from storage.objects.layout import DataFolder
from storage.objects.object_store import ObjectStore
from storage.postgres.engine import open_database
from storage.postgres.overview import Overview
from tests.end_to_end.conftest import Product, Series, destination, write_series
from tests.peers.orthanc import Orthanc
from tests.peers.tiny_classifier import MANIFEST, write_tiny_classifier

_THRESHOLD = 0.2
_NAMES = {"OVERREAD_RESULTS_SERIES_NUMBER_BASE": "500", "OVERREAD_RESULTS_SERIES_DESCRIPTION_PREFIX": "KI"}


def test_a_study_comes_back_classified_and_another_with_the_reason_why_not(
    product: Product, start_orthanc: Callable[..., Orthanc], tmp_path: Path
) -> None:
    """Orthanc sends an MR study and receives report and picture into it, and a CT study, which is not analysed."""
    pacs = start_orthanc(modalities={"overread": ("OVERREAD", "127.0.0.1", product.port)})
    product.settings |= destination(pacs.dicom_port) | _NAMES
    classifier = write_tiny_classifier(tmp_path / "classifier", input={"modalities": ["MR"]}, outputs=_outputs())
    added = product.command("algorithms", "add", str(classifier))
    assert added.returncode == 0, added.stderr
    product.start()
    taken, not_taken = write_series(tmp_path / "mr"), write_series(tmp_path / "ct", Modality="CT")
    for path in (*taken.paths, *not_taken.paths):
        pacs.upload(path)

    pacs.send_study(taken.study_instance_uid, "overread")
    pacs.send_study(not_taken.study_instance_uid, "overread")
    product.wait_for_study(taken.study_instance_uid, "done")
    refused = product.wait_for_study(not_taken.study_instance_uid, "not-analysed")

    returned = [pydicom.dcmread(BytesIO(content)) for _, content in pacs.instances_of(taken.study_instance_uid)]
    capture = next(instance for instance in returned if instance.Modality == "OT" and instance.InstanceNumber == 1)
    report = next(instance for instance in returned if instance.Modality == "SR")
    assert len(returned) == len(taken.paths) + 3
    _assert_valid(capture, tmp_path / "sc.dcm")
    _assert_valid(report, tmp_path / "sr.dcm")
    key, probability = _brightest(taken)
    _assert_report(report, key, probability)
    _assert_capture(capture, key, product)
    assert f"Tumour: found; highest probability {probability:.2f} on image {key.InstanceNumber}" in _text(
        product, taken
    )
    assert len(pacs.instances_of(not_taken.study_instance_uid)) == len(not_taken.paths)
    assert refused["error"] == "The series is CT; tiny-classifier 1.0 takes MR."
    assert "The series is CT; tiny-classifier 1.0 takes MR." in product.explain(not_taken.study_instance_uid)
    assert product.silent_instances() == []
    assert "Phantom^Test" not in product.log()


def _outputs() -> dict[str, object]:
    return {"classes": [MANIFEST["outputs"]["classes"][0] | {"threshold": _THRESHOLD}]}


def _brightest(series: Series) -> tuple[Dataset, float]:
    """The image whose mean is highest, and that mean as the tiny classifier's window makes it a probability."""
    images = [pydicom.dcmread(path) for path in series.paths]
    best = max(images, key=lambda image: float(image.pixel_array.mean()))
    return best, float(np.clip(best.pixel_array / 2000, 0, 1).mean())


def _assert_valid(instance: Dataset, path: Path) -> None:
    instance.save_as(path)
    judged = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
    assert [line for line in judged.stderr.splitlines() if line.startswith("Error")] == []
    assert judged.returncode == 0


def _walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", ()):
        yield child
        yield from _walk(child)


def _assert_report(report: Dataset, key: Dataset, probability: float) -> None:
    items = {str(one.ConceptNameCodeSequence[0].CodeValue): one for one in _walk(report)}
    measured = float(items["111012"].MeasuredValueSequence[0].NumericValue)
    assert measured == pytest.approx(100 * probability, abs=1e-3)
    assert items["121052"].ConceptCodeSequence[0].CodeMeaning == "Present"
    (drawn,) = [one for one in _walk(report) if one.ValueType == "SCOORD"]
    image = drawn.ContentSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == key.SOPInstanceUID
    ball_rows, ball_columns = np.nonzero(key.pixel_array > 1000)
    points = np.array(drawn.GraphicData).reshape(-1, 2)
    # The classifier's map has one value for 8 x 8 pixels, so the box is that coarse.
    assert points.min(axis=0) == pytest.approx([ball_columns.min(), ball_rows.min()], abs=8)
    assert points.max(axis=0) == pytest.approx([ball_columns.max() + 1, ball_rows.max() + 1], abs=8)
    assert (report.PreliminaryFlag, report.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")


def _assert_capture(capture: Dataset, key: Dataset, product: Product) -> None:
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == key.SOPInstanceUID
    assert (capture.BurnedInAnnotation, capture.SeriesNumber) == ("YES", 502)
    assert capture.SeriesDescription.startswith("KI ")
    pixels = capture.pixel_array.astype(int)
    middle, corner = pixels[300:340, 300:340], pixels[100:140, 100:140]
    assert (middle[:, :, 0] > middle[:, :, 2] + 40).all()
    assert (corner.max(axis=2) - corner.min(axis=2)).max() < 20
    (result,) = _results(product, str(capture.StudyInstanceUID))
    (picture,) = result["pictures"]
    stored = ObjectStore(DataFolder(product.data_dir)).evidence(picture["sha256"])
    assert (np.asarray(Image.open(BytesIO(stored.read_bytes()))) == capture.pixel_array).all()


def _text(product: Product, series: Series) -> str:
    (result,) = _results(product, series.study_instance_uid)
    return str(result["report_text"])


def _results(product: Product, study_instance_uid: str) -> list[dict[str, object]]:
    database = open_database(product.database_url(), "tests")
    try:
        return Overview(database).report(study_instance_uid)
    finally:
        database.close()
