"""The lines along which lengths were measured, for pictures and presentation states to draw."""

from dataclasses import dataclass

import numpy as np

from inference.evidence.context import EvidenceContext
from inference.evidence.outline import Polyline
from inference.evidence.report_text import value_words
from inference.evidence.segment_findings import FoundSegment
from inference.imaging.frames import image_key


@dataclass(frozen=True, slots=True, eq=False)
class DrawnLine:
    """A line by its two ends, (column, row) in pixels of its image, and its length, such as ``17.2 mm``."""

    points: Polyline
    words: str


def lines_on(context: EvidenceContext, one: FoundSegment, index: int) -> list[DrawnLine]:
    """The lines of a segment on the image at place ``index``, in the order of its measurements."""
    image = image_key(context.sources[index])
    return [
        DrawnLine(np.array(each.line.image_points, np.float32), value_words(each))
        for each in one.finding.measurements
        if each.line is not None and each.line.image == image
    ]


def images_with_lines(context: EvidenceContext, one: FoundSegment) -> set[int]:
    """The places of the images on which lengths of a segment were measured."""
    measured = {each.line.image for each in one.finding.measurements if each.line is not None}
    return {index for index, source in enumerate(context.sources) if image_key(source) in measured}
