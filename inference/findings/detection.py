"""From boxes to findings: one for each thing that was found, and one for each class of which nothing was found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from inference.algorithms.classification_manifest import FindingClass
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.errors import UnusableInput
from inference.findings.boxes import Box, Chain, merged, suppressed, surest
from inference.findings.classification import KeyImage
from inference.findings.saliency import Region
from inference.imaging.frames import frame_number
from inference.imaging.geometry import order_slices
from inference.imaging.image_series import ImageSeries
from storage.domain.finding import Classification, DetectedBox, Detection, Finding

AnyManifest = DetectionManifest | VolumeDetectionManifest


@dataclass(frozen=True, slots=True)
class _Found:
    described: FindingClass
    chain: Chain


def conclude_detections(
    series: ImageSeries,
    boxes: Mapping[int, Sequence[Box]],
    images_examined: int,
    manifest: DetectionManifest,
    tracking_uid: Callable[[str], str],
) -> tuple[KeyImage, ...]:
    """Findings of the classes in the manifest's order, of each class the surest first; a class without any is absent.

    ``boxes`` are those of each class number. Boxes count from the threshold of their class on; of those that overlap
    on an image the best stays; in a stack, those on neighbouring slices are one finding.
    """
    is_stack = _is_stack(series)
    found = [
        _Found(one, chain)
        for one in manifest.outputs.classes
        for chain in _chains(boxes.get(one.index, ()), one, manifest, is_stack=is_stack)
    ]
    return _told(series, found, boxes, images_examined, manifest, tracking_uid)


def conclude_volume_detections(
    series: ImageSeries,
    chains: Mapping[int, Sequence[Chain]],
    manifest: VolumeDetectionManifest,
    tracking_uid: Callable[[str], str],
) -> tuple[KeyImage, ...]:
    """The same of boxes in a volume, each of which is a chain of boxes on slices of the series.

    ``chains`` are those of each class number, of which one that reaches the threshold of its class is a finding.
    """
    found = [
        _Found(one, chain)
        for one in manifest.outputs.classes
        for chain in sorted(chains.get(one.index, ()), key=lambda each: surest(each).order)
        if _is_sure(surest(chain), one)
    ]
    boxes = {label: [surest(chain) for chain in some] for label, some in chains.items()}
    return _told(series, found, boxes, len(series.headers), manifest, tracking_uid)


def _told(
    series: ImageSeries,
    found: Sequence[_Found],
    boxes: Mapping[int, Sequence[Box]],
    images_examined: int,
    manifest: AnyManifest,
    tracking_uid: Callable[[str], str],
) -> tuple[KeyImage, ...]:
    """The surest of what was found, class by class; ``boxes`` are all that the network gave, sure or not."""
    outputs = manifest.outputs
    told = _surest(found, outputs.most_findings)
    keys = []
    for one in outputs.classes:
        reached = sum(each.described is one for each in found)
        chains = [each.chain for each in told if each.described is one]
        for number, chain in enumerate(chains, start=1):
            detection = Detection(tuple(_detected(series, box) for box in chain), reached, len(boxes[one.index]))
            label = f"{one.label} {number}"
            keys.append(_key_image(series, one, chain, label, detection, images_examined, manifest))
        if not reached:
            keys.append(_absent(series, one, boxes.get(one.index, ()), images_examined, manifest))
    return tuple(_tracked(key, tracking_uid) for key in keys)


def _surest(found: Sequence[_Found], most: int) -> list[_Found]:
    """No more than ``most``, but one of each class that was found: to be silent about a class would read as none."""
    ranked = sorted(found, key=lambda one: surest(one.chain).order)
    classes: list[FindingClass] = []
    firsts, others = [], []
    for one in ranked:
        if one.described in classes:
            others.append(one)
        else:
            classes.append(one.described)
            firsts.append(one)
    told = [*firsts, *others[: max(0, most - len(firsts))]]
    return sorted(told, key=lambda one: surest(one.chain).order)


def _is_stack(series: ImageSeries) -> bool:
    """Whether images that follow each other are neighbours in the patient."""
    try:
        order_slices(series.headers)
    except UnusableInput:
        return False
    return True


def _chains(
    boxes: Sequence[Box], one: FindingClass, manifest: DetectionManifest, *, is_stack: bool
) -> list[tuple[Box, ...]]:
    sure = [box for box in boxes if _is_sure(box, one)]
    best = [
        box
        for index in sorted({box.index for box in sure})
        for box in suppressed([each for each in sure if each.index == index], manifest.outputs.nms_iou)
    ]
    if is_stack:
        return merged(best, manifest.outputs.merge_iou)
    return [(box,) for box in sorted(best, key=lambda each: each.order)]


def _is_sure(box: Box, one: FindingClass) -> bool:
    """As the network computes, in float32."""
    return bool(np.float32(box.score) >= np.float32(one.threshold))


def _key_image(
    series: ImageSeries,
    described: FindingClass,
    chain: Sequence[Box],
    label: str,
    detection: Detection,
    images_examined: int,
    manifest: AnyManifest,
) -> KeyImage:
    best = surest(chain)
    classification = _classification(series, described, label, best.index, best.score, images_examined, present=True)
    return KeyImage(
        finding=_finding(described, label, classification, detection, manifest),
        classification=classification,
        rgb=described.rgb,
        index=best.index,
        values=series.values(best.index),
        mapped=False,
        saliency=None,
        region=_region(best),
        places=tuple((box.index, _region(box)) for box in chain),
    )


def _absent(
    series: ImageSeries,
    described: FindingClass,
    boxes: Sequence[Box],
    images_examined: int,
    manifest: AnyManifest,
) -> KeyImage:
    """The class on the image with the surest box that is not sure enough; with none at all, on the middle image."""
    best = surest(boxes) if boxes else None
    index, score = (best.index, best.score) if best is not None else (len(series.headers) // 2, 0.0)
    label = described.label
    classification = _classification(series, described, label, index, score, images_examined, present=False)
    return KeyImage(
        finding=_finding(described, label, classification, Detection((), 0, len(boxes)), manifest),
        classification=classification,
        rgb=described.rgb,
        index=index,
        values=series.values(index),
        mapped=False,
        saliency=None,
        region=None,
    )


def _classification(
    series: ImageSeries,
    described: FindingClass,
    label: str,
    index: int,
    score: float,
    images_examined: int,
    *,
    present: bool,
) -> Classification:
    header = series.headers[index]
    return Classification(
        label=label,
        probability=score,
        threshold=described.threshold,
        threshold_origin=described.threshold_origin,
        present=present,
        key_sop_instance_uid=str(header.SOPInstanceUID),
        key_frame_number=frame_number(header),
        images_examined=images_examined,
        images=len(series.headers),
    )


def _finding(
    described: FindingClass,
    label: str,
    classification: Classification,
    detection: Detection,
    manifest: AnyManifest,
) -> Finding:
    return Finding(
        kind=described.finding.concept(),
        site=described.site.concept() if described.site else None,
        tracking_identifier=f"{manifest.identity.name} {label}",
        tracking_uid="",
        classification=classification,
        detection=detection,
    )


def _tracked(key: KeyImage, tracking_uid: Callable[[str], str]) -> KeyImage:
    return replace(key, finding=replace(key.finding, tracking_uid=tracking_uid(key.classification.label)))


def _detected(series: ImageSeries, box: Box) -> DetectedBox:
    header = series.headers[box.index]
    return DetectedBox(
        sop_instance_uid=str(header.SOPInstanceUID),
        frame_number=frame_number(header),
        top=box.top,
        left=box.left,
        bottom=box.bottom,
        right=box.right,
        score=box.score,
    )


def _region(box: Box) -> Region:
    return Region(box.top, box.left, box.bottom, box.right)
