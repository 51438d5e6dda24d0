"""Pixels are counted label by label and slice by slice."""

import numpy as np
import pytest

from inference.evidence.segment_findings import pair
from inference.findings.segment import SegmentDescription
from storage.domain.coded_concept import CodedConcept
from storage.domain.finding import Finding

SEGMENTS = tuple(
    SegmentDescription(
        number, f"Structure {number}", CodedConcept("123037004", "SCT", "Anatomical Structure"),
        CodedConcept(str(number), "99OVERREAD", f"Structure {number}"), None, (1, 2, 3),
    )
    for number in (1, 2, 7, 255)
)  # fmt: skip
FINDINGS = tuple(Finding(one.type, None, one.label, f"2.25.{one.number}", ()) for one in SEGMENTS)


@pytest.mark.parametrize("filled", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (16, 24)])
def test_areas_and_spans_are_those_of_the_pixels(shape, filled):
    """Whatever the labels: how many pixels each has on each slice, its first one there, and the one behind its last."""
    source = np.random.default_rng(7)
    labels = source.choice([one.number for one in SEGMENTS], (6, *shape)).astype(np.uint8)
    labels[source.random(labels.shape) >= filled] = 0

    for one in pair(labels, SEGMENTS, FINDINGS):
        masks = labels.reshape(6, -1) == one.segment.number
        assert one.areas.tolist() == np.count_nonzero(masks, axis=1).tolist()
        assert one.spans.tolist() == [
            [int(mask.argmax()), int(mask.size - mask[::-1].argmax())] if mask.any() else [0, 0] for mask in masks
        ]


def test_a_label_that_no_segment_describes_is_refused():
    """Its voxels would be in no object."""
    with pytest.raises(ValueError, match="no segment describes"):
        pair(np.full((1, 2, 2), 9, np.uint8), SEGMENTS, FINDINGS)
