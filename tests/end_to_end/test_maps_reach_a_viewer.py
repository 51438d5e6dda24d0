"""A destination whose viewer shows parametric maps is sent them, by a segmentation and by a classification."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ParametricMapStorage
from scipy.special import expit

from tests.end_to_end.conftest import Product, destination, write_series
from tests.peers.orthanc import Orthanc
from tests.peers.tiny_algorithm import bright_network, write_tiny_algorithm
from tests.peers.tiny_classifier import MANIFEST, write_tiny_classifier


def test_an_ohif_destination_gets_the_maps_of_both_tasks(
    product: Product, start_orthanc: Callable[..., Orthanc], tmp_path: Path
) -> None:
    """Each image has the network's own values in the map of the segment, and the key image those of the class."""
    pacs = start_orthanc(modalities={"overread": ("OVERREAD", "127.0.0.1", product.port)})
    product.settings |= destination(pacs.dicom_port, profile="ohif")
    classes = [MANIFEST["outputs"]["classes"][0] | {"threshold": 0.01}]
    for algorithm in (
        write_tiny_algorithm(tmp_path / "tiny", bright_network(1000)),
        write_tiny_classifier(tmp_path / "classifier", outputs={"classes": classes}),
    ):
        added = product.command("algorithms", "add", str(algorithm))
        assert added.returncode == 0, added.stderr
    product.start()
    series = write_series(tmp_path / "series")
    for path in series.paths:
        pacs.upload(path)

    pacs.send_study(series.study_instance_uid, "overread")
    product.wait_for_study(series.study_instance_uid, "done")

    returned = [pydicom.dcmread(io.BytesIO(content)) for _, content in pacs.instances_of(series.study_instance_uid)]
    maps = {one.ContentLabel: one for one in returned if one.SOPClassUID == ParametricMapStorage}
    assert set(maps) == {"AI_PROBABILITY", "AI_SALIENCY"}
    probability, saliency = (_by_image(maps[label]) for label in ("AI_PROBABILITY", "AI_SALIENCY"))
    for image in map(pydicom.dcmread, series.paths):
        above = image.pixel_array.astype(np.float64) - 1000
        np.testing.assert_allclose(probability[image.SOPInstanceUID], expit(above), atol=1e-5)
    assert len(saliency) == len(series.paths)
    assert [values.max() for values in saliency.values() if values.any()] == [1]


def _by_image(one: pydicom.Dataset) -> dict[str, np.ndarray]:
    return {
        frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID: pixels
        for frame, pixels in zip(one.PerFrameFunctionalGroupsSequence, one.pixel_array, strict=True)
    }
