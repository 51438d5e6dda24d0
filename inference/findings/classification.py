"""From the highest scores of a series to one finding per class, with the image to look at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.classification_manifest import ClassificationManifest, FindingClass
from inference.algorithms.image_scoring import Highest
from inference.findings.saliency import Region, relative, salient_region
from inference.imaging.frames import frame_number
from inference.imaging.image_series import ImageSeries
from inference.imaging.plane import map_to_image
from storage.domain.finding import Classification, Finding


@dataclass(frozen=True, slots=True)
class KeyImage:
    """A finding with the image it is shown on.

    ``index`` is the image's place in the series, ``values`` are its values after the Modality LUT. ``saliency`` is
    the network's map on the pixels of the image, 0 to 1, or ``None`` where the algorithm gives none or it is
    nowhere above 0; ``mapped`` tells these two apart. A map is the network's own, or ``occluded``: what the probability
    lost where parts of the image were covered. ``region`` is the salient region of a class that is present, or
    the box of a detection; ``places`` are its boxes on all images that it was found on.
    """

    finding: Finding
    classification: Classification
    rgb: tuple[int, int, int]
    index: int
    values: NDArray[np.float32]
    mapped: bool
    saliency: NDArray[np.float32] | None
    region: Region | None
    places: tuple[tuple[int, Region], ...] = ()
    occluded: bool = False


def conclude(
    series: ImageSeries,
    highest: Sequence[Highest],
    images_examined: int,
    manifest: ClassificationManifest,
    tracking_uid: Callable[[str], str],
) -> tuple[KeyImage, ...]:
    """One finding per class of the manifest, in its order, present or not; ``highest`` has the same order."""
    return tuple(
        _key_image(series, score, images_examined, one, manifest, tracking_uid(one.label))
        for one, score in zip(manifest.outputs.classes, highest, strict=True)
    )


def _key_image(
    series: ImageSeries,
    score: Highest,
    images_examined: int,
    described: FindingClass,
    manifest: ClassificationManifest,
    tracking_uid: str,
) -> KeyImage:
    values = series.values(score.image)
    classification = Classification(
        label=described.label,
        probability=score.probability,
        threshold=described.threshold,
        threshold_origin=described.threshold_origin,
        # As the network computes, so that a score equal to the threshold it was chosen from is not lost to rounding.
        present=bool(np.float32(score.probability) >= np.float32(described.threshold)),
        key_sop_instance_uid=str(series.headers[score.image].SOPInstanceUID),
        key_frame_number=frame_number(series.headers[score.image]),
        images_examined=images_examined,
        images=len(series.headers),
    )
    finding = Finding(
        kind=described.finding.concept(),
        site=described.site.concept() if described.site else None,
        tracking_identifier=f"{manifest.identity.name} {described.label}",
        tracking_uid=tracking_uid,
        classification=classification,
    )
    saliency = None
    if score.activation is not None:
        rows, columns = values.shape
        saliency = relative(map_to_image(score.activation, (rows, columns), manifest.image))
    return KeyImage(
        finding=finding,
        classification=classification,
        rgb=described.rgb,
        index=score.image,
        values=values,
        mapped=score.activation is not None,
        saliency=saliency,
        region=salient_region(saliency) if saliency is not None and classification.present else None,
        occluded=manifest.saliency is not None,
    )
