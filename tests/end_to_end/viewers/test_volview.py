"""A second viewer, which shares no code with the first, sees the same segmentation."""

from pathlib import Path

import numpy as np
from playwright.sync_api import BrowserContext

from tests.conformance.source_series import LIVER, NODULE
from tests.end_to_end.viewers.conftest import part10
from tests.end_to_end.viewers.test_ohif import make_case
from tests.peers.volview import read_in_volview


def test_volview_shows_each_voxel_in_its_place(browser: BrowserContext, tmp_path: Path) -> None:
    """The mask on the images' own grid, at its place in the patient, with names and colours, over the images (S14)."""
    case = make_case(21)
    files = [*(part10(source) for source in case.sources), case.evidence[0].part10]

    shown = read_in_volview(browser, tmp_path, files, "segmentation")

    np.testing.assert_array_equal(shown.mask, case.labels)
    assert shown.origin == tuple(case.sources[0].ImagePositionPatient)
    assert shown.spacing == (0.8, 0.8, 2.5)
    assert {number: label for number, (label, _) in shown.segments.items()} == {1: "Liver", 2: "Lung nodule"}
    for segment in (LIVER, NODULE):
        np.testing.assert_allclose(shown.segments[segment.number][1], segment.rgb, atol=3)
    assert shown.pixels_near(LIVER.rgb, 15) > 200
