"""A result on one page: what was found, by which algorithm, on which images; its words, however they are printed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.evidence.class_words import image_number, numbers
from inference.evidence.context import EvidenceContext, service_version
from inference.evidence.drawing import Rgb
from inference.evidence.outline import largest_slice
from inference.evidence.report_text import measurement_words
from inference.evidence.segment_findings import FoundSegment
from inference.findings.classification import KeyImage
from inference.imaging.frames import image_key


@dataclass(frozen=True, slots=True)
class Row:
    """One finding; ``rgb`` is its colour in the pictures, ``None`` where it is in none of them."""

    rgb: Rgb | None
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """Nothing in it tells who the patient is.

    ``shares`` are the widths of the columns as parts of the table's. ``facts`` are names and values.
    """

    title: str
    marks: tuple[str, ...]
    headings: tuple[str, ...]
    shares: tuple[float, ...]
    rows: tuple[Row, ...]
    facts: tuple[tuple[str, str], ...]


def segmentation_summary(context: EvidenceContext, found: Sequence[FoundSegment]) -> Summary:
    """Each segment with its measurements and the image on which it is largest."""
    return Summary(
        title="AI measurements",
        marks=(context.short_mark, context.mark),
        headings=("Finding", "Measurements", "Largest on image"),
        shares=(0.36, 0.44, 0.20),
        rows=tuple(_segment_row(context, one) for one in found),
        facts=_facts(context),
    )


def classification_summary(context: EvidenceContext, keys: Sequence[KeyImage]) -> Summary:
    """Each class with its verdict, its probability and the image on which it is highest."""
    return Summary(
        title="AI detection" if any(key.finding.detection for key in keys) else "AI classification",
        marks=(context.short_mark, context.mark),
        headings=("Class", "Result", "Probability", "Threshold", "Highest on image"),
        shares=(0.34, 0.18, 0.16, 0.14, 0.18),
        rows=tuple(_class_row(context, key) for key in keys),
        facts=_facts(context),
    )


def _segment_row(context: EvidenceContext, one: FoundSegment) -> Row:
    label = one.segment.label
    if not one.number:
        return Row(None, (label, "not found", ""))
    source = context.sources[largest_slice(np.asarray(one.areas))]
    image = image_number(image_key(source), context.sources)
    said = "\n".join(measurement_words(measurement) for measurement in one.finding.measurements) or "found"
    return Row(one.segment.rgb, (f"{one.number}  {label}", said, str(image)))


def _class_row(context: EvidenceContext, key: KeyImage) -> Row:
    one = key.classification
    probability, threshold = numbers(one)
    image = image_number(one.key_image, context.sources)
    return Row(key.rgb, (one.label, "found" if one.present else "not found", probability, threshold, str(image)))


def _facts(context: EvidenceContext) -> tuple[tuple[str, str], ...]:
    algorithm, count = context.algorithm, len(context.sources)
    facts = [
        ("Images", f"{context.sources[0].get('Modality', '')}, {count} {'image' if count == 1 else 'images'}"),
        ("Algorithm", f"{algorithm.name} {algorithm.version}, {algorithm.manufacturer}"),
        ("Artifact", f"sha256:{algorithm.artifact_sha256}"),
        ("Manifest", f"sha256:{algorithm.manifest_sha256}"),
        ("Software", f"Overread {service_version()}"),
    ]
    if algorithm.intended_use:
        facts.append(("Intended use", algorithm.intended_use))
    return tuple(facts)
