"""What is told of findings that each have one image to look at, whichever task made them."""

from collections.abc import Sequence

from inference.evidence.build import build_classification_evidence
from inference.evidence.drawing import png
from inference.evidence.key_image_picture import draw_key_image
from inference.findings.classification import KeyImage
from inference.imaging.image_series import ImageSeries
from inference.tasks.examination import Case, Examination
from storage.domain.result import ResultPicture


def told_on_key_images(case: Case, series: ImageSeries, keys: Sequence[KeyImage]) -> Examination:
    """The evidence and a picture of each of ``keys``, in their order."""
    context = case.context(series.headers, series.values)
    drawn = [draw_key_image(context, key) for key in keys]
    return Examination(
        context,
        tuple(key.finding for key in keys),
        build_classification_evidence(context, keys, drawn, case.wanted),
        tuple(
            ResultPicture(key.classification.label, png(picture.image()))
            for key, picture in zip(keys, drawn, strict=True)
        ),
    )
