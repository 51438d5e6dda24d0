"""Boxes, and the places that a classifier looks at, from a real PACS through every role and back into it."""

import subprocess
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset

from storage.postgres.engine import open_database
from storage.postgres.overview import Overview
from tests.conformance.every_evidence import child, content_items, groups_of
from tests.end_to_end.conftest import Product, Series, destination, write_series
from tests.peers.looking_classifier import looking_network
from tests.peers.orthanc import Orthanc
from tests.peers.tiny_classifier import write_tiny_classifier
from tests.peers.tiny_detector import write_tiny_detector

ROWS, COLUMNS = slice(20, 28), slice(32, 40)  # of a square on images 6 to 8, brightest on image 7
BRIGHT = {5: 1800, 6: 2000, 7: 1800}


def test_boxes_come_back(product: Product, start_orthanc: Callable[..., Orthanc], tmp_path: Path) -> None:
    """A detection is added and given a study; Orthanc receives a box on each image of a square, and an absent class."""
    pacs = _started(product, start_orthanc, write_tiny_detector(tmp_path / "algorithm"), "any")
    series = _with_square(write_series(tmp_path / "images"))

    returned = _there_and_back(product, pacs, series, tmp_path)

    report = next(one for one in returned if one.Modality == "SR")
    nodule, mass = groups_of(report)
    assert [child(one, "121052").ConceptCodeSequence[0].CodeMeaning for one in (nodule, mass)] == ["Present", "Absent"]
    regions = [item for item in content_items(nodule) if item.ValueType == "SCOORD"]
    shown = [_instance(item.ContentSequence[0].ReferencedSOPSequence[0], series) for item in regions]
    assert sorted(shown) == sorted(BRIGHT)
    for item in regions:
        points = np.array(item.GraphicData).reshape(-1, 2)
        assert [*points.min(axis=0), *points.max(axis=0)] == [32, 20, 40, 28]
    text = _report_text(product, series)
    assert "Nodule 1: found; highest probability 1.00 on image 7, threshold 0.50 (chosen on validation)" in text
    assert "found on images 6 to 8; 1 of this class reached the threshold" in text
    assert "Mass: none found (threshold 0.60, chosen on validation)" in text
    assert _labels_of_pictures(product, series) == ["Nodule 1", "Mass"]
    assert product.silent_instances() == []
    assert "Phantom^Test" not in product.log()


def test_the_place_that_a_classifier_looks_at_comes_back(
    product: Product, start_orthanc: Callable[..., Orthanc], tmp_path: Path
) -> None:
    """A network without maps is asked by covering places; the map that Orthanc receives is highest on the square."""
    written = write_tiny_classifier(
        tmp_path / "algorithm",
        looking_network(rows=(10, 14), columns=(16, 20)),
        inference={"saliency_output": None},
        saliency={"method": "occlusion", "patch": 4, "stride": 2},
    )
    pacs = _started(product, start_orthanc, written, "ohif")
    series = _with_square(write_series(tmp_path / "images"))

    returned = _there_and_back(product, pacs, series, tmp_path)

    (made,) = [one for one in returned if "FloatPixelData" in one]
    values = np.frombuffer(made.FloatPixelData, "<f4").reshape(len(series.paths), made.Rows, made.Columns)
    assert values[6][ROWS, COLUMNS].min() > 0.3
    around = values.copy()
    around[6, 12:36, 24:48] = 0  # where no patch that touches the square reaches
    assert values.max() == 1
    assert around.max() == 0
    assert "Tumour: found; highest probability 1.00 on image 7" in _report_text(product, series)
    assert product.silent_instances() == []


def _started(product: Product, start_orthanc: Callable[..., Orthanc], folder: Path, profile: str) -> Orthanc:
    pacs = start_orthanc(modalities={"overread": ("OVERREAD", "127.0.0.1", product.port)})
    product.settings |= destination(pacs.dicom_port, profile=profile)
    added = product.command("algorithms", "add", str(folder))
    assert added.returncode == 0, added.stderr
    product.start()
    return pacs


def _with_square(series: Series) -> Series:
    """The series dark but for the square."""
    for place, path in enumerate(series.paths):
        image = pydicom.dcmread(path)
        pixels = np.full_like(image.pixel_array, 100)
        pixels[0, 0] = 101  # an image of one value alone shows nothing
        pixels[ROWS, COLUMNS] = BRIGHT.get(place, 100)
        image.PixelData = pixels.tobytes()
        image.save_as(path)
    return series


def _there_and_back(product: Product, pacs: Orthanc, series: Series, folder: Path) -> list[Dataset]:
    """What Orthanc has of the study beside its images, each of it valid."""
    for path in series.paths:
        pacs.upload(path)
    pacs.send_study(series.study_instance_uid, "overread")
    product.wait_for_study(series.study_instance_uid, "done")
    files = [content for uid, content in pacs.instances_of(series.study_instance_uid) if uid not in series.uids]
    for place, content in enumerate(files):
        path = folder / f"{place}.dcm"
        path.write_bytes(content)
        judged = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
        assert [line for line in judged.stderr.splitlines() if line.startswith("Error")] == []
    return [pydicom.dcmread(BytesIO(content)) for content in files]


def _instance(reference: Dataset, series: Series) -> int:
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in series.paths]
    return uids.index(reference.ReferencedSOPInstanceUID)


def _result(product: Product, series: Series) -> dict[str, Any]:
    database = open_database(product.database_url(), "tests")
    try:
        (result,) = Overview(database).report(series.study_instance_uid)
    finally:
        database.close()
    return result


def _report_text(product: Product, series: Series) -> str:
    return str(_result(product, series)["report_text"])


def _labels_of_pictures(product: Product, series: Series) -> list[str]:
    return [picture["title"] for picture in _result(product, series)["pictures"]]
