"""A result on one page: what was found, by which algorithm, on which images; its words, however they are printed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from inference.evidence.class_words import examined_words, image_number, numbers, threshold_words, verdict
from inference.evidence.context import EvidenceContext, service_version
from inference.evidence.drawing import Rgb
from inference.evidence.outline import largest_slice
from inference.evidence.predecessor import predecessor_words
from inference.evidence.report_text import measurement_words
from inference.evidence.segment_findings import FoundSegment
from inference.findings.classification import KeyImage
from inference.imaging.frames import image_key
from storage.domain.finding import Finding


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
        facts=_facts(
            context,
            [one.finding for one in found],
            "Outlined with",
            [(one.segment.label, "; ".join(one.finding.made_by)) for one in found],
        ),
    )


def classification_summary(context: EvidenceContext, keys: Sequence[KeyImage]) -> Summary:
    """Each class with its verdict, its probability and the image on which it is highest."""
    return Summary(
        title="AI detection" if any(key.finding.detection for key in keys) else "AI classification",
        marks=(context.short_mark, context.mark),
        headings=("Class", "Result", "Probability", "Threshold", "Highest on image"),
        shares=(0.34, 0.18, 0.16, 0.14, 0.18),
        rows=tuple(_class_row(context, key) for key in keys),
        facts=_facts(
            context,
            [key.finding for key in keys],
            "Thresholds",
            [(_class_name(key), threshold_words(key.finding)) for key in keys],
        ),
    )


def _segment_row(context: EvidenceContext, one: FoundSegment) -> Row:
    label = one.segment.label
    if not one.number:
        return Row(None, (label, "not found", ""))
    source = context.sources[largest_slice(np.asarray(one.areas))]
    image = image_number(image_key(source), context.sources)
    said = "\n".join(measurement_words(measurement) for measurement in one.finding.measurements)
    said = said or "found, not measured"
    return Row(one.segment.rgb, (f"{one.number}  {label}", said, str(image)))


def _class_row(context: EvidenceContext, key: KeyImage) -> Row:
    one, said = key.classification, verdict(key.finding)
    probability, threshold = numbers(one)
    if not key.finding.is_scored:
        return Row(key.rgb, (one.label, said, "", threshold, ""))
    image = image_number(one.key_image, context.sources)
    return Row(key.rgb, (one.label, said, probability, threshold, str(image)))


def _class_name(key: KeyImage) -> str:
    """The class; things that were found are numbered within theirs."""
    label = key.classification.label
    return label.rsplit(" ", 1)[0] if key.places else label


def _together(said: Sequence[tuple[str, str]]) -> Iterator[str]:
    """What is said of each name, those of which the same is said together; of one name alone without it."""
    names: dict[str, list[str]] = {}
    for name, words in said:
        if words and name not in names.setdefault(words, []):
            names[words].append(name)
    for words, alike in names.items():
        yield words if {name for name, _ in said} == set(alike) else f"{', '.join(alike)}: {words}"


def _facts(
    context: EvidenceContext, findings: Sequence[Finding], how: str, said: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    """What stands below the table; ``how`` names what is ``said`` of each thing that was looked for."""
    algorithm = context.algorithm
    images = examined_words(findings, context.sources)
    facts = [
        ("Images", f"{context.sources[0].get('Modality', '')}, {images}"),
        ("Algorithm", f"{algorithm.name} {algorithm.version}, {algorithm.manufacturer}"),
        ("Artifact", f"sha256:{algorithm.artifact_sha256}"),
        ("Manifest", f"sha256:{algorithm.manifest_sha256}"),
        ("Software", f"Overread {service_version()}"),
    ]
    if algorithm.intended_use:
        facts.append(("Intended use", algorithm.intended_use))
    if (followed := predecessor_words(context)) is not None:
        facts.insert(1, ("Follows", followed))
    facts[1:1] = [(how if place == 0 else "", words) for place, words in enumerate(_together(said))]
    return tuple(facts)
