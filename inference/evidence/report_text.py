"""The report in plain words, for a terminal; it tells no one who the patient is."""

from collections.abc import Sequence
from textwrap import wrap

from inference.evidence.class_words import examined_words, image_number, sentence
from inference.evidence.context import EvidenceContext
from inference.evidence.predecessor import predecessor_words
from inference.imaging.image_series import pixel_spacing
from storage.domain.finding import Detection, Finding, Measurement
from storage.domain.result import EvidenceObject, EvidenceRole

_SIGNIFICANT = 4
_LINE = 100  # characters of a line of prose
# UCUM codes that read badly in plain words; the DICOM objects keep the codes. In ASCII, as a report in sentences keeps
# its images' character set only if that holds every word.
_UNIT_WORDS = {
    "{unitless}": "",
    "{count}": "",
    "cm3": "ml",
    "[hnsf'U]": "HU",
    "g/ml{SUVbw}": "SUVbw",
    "g/ml{SUVlbm}": "SUVlbm",
    "g/ml{SUVlbm(James128)}": "SUVlbm (James 128)",
    "g/ml{SUVlbm(Janma)}": "SUVlbm (Janma)",
    "g/ml{SUVibw}": "SUVibw",
    "cm2/ml{SUVbsa}": "SUVbsa",
    "{counts}": "counts",
    "{counts}/s": "counts/s",
    "{propcounts}": "proportional to counts",
    "{propcounts}/s": "proportional to counts/s",
}
_OF_VOXELS = " value of population"  # as the codes of percentiles have it
_MOST_DECIMALS = {"mm": 1}  # a pixel is no smaller than that
_ROLE_WORDS = {
    EvidenceRole.SEGMENTATION: "Segmentation",
    EvidenceRole.SECONDARY_CAPTURE: "Picture",
    EvidenceRole.REPORT: "Report",
    EvidenceRole.PRESENTATION_STATE: "Contours",
    EvidenceRole.PARAMETRIC_MAP: "Map",
    EvidenceRole.KEY_OBJECTS: "Key objects",
    EvidenceRole.REJECTION_NOTE: "Rejection note",
    EvidenceRole.DOCUMENT: "Document",
    EvidenceRole.STRUCTURE_SET: "Structures",
}


def report_text(context: EvidenceContext, findings: Sequence[Finding], evidence: Sequence[EvidenceObject]) -> str:
    """What was examined, by which algorithm, what it measured, and which objects say so in the archive."""
    source, algorithm = context.sources[0], context.algorithm
    images = examined_words(findings, context.sources)
    study_date = str(source.get("StudyDate") or "")
    lines = [
        f"AI {_kind(findings)} REPORT",
        context.mark,
        "",
        f"Study date    {_dashed(study_date) or 'not given'}",
        f"Study         {source.StudyInstanceUID}",
        f"Series        {source.get('Modality', '')} {source.get('SeriesNumber') or ''}, {images}",
        f"              {source.SeriesInstanceUID}",
        f"Algorithm     {algorithm.name} {algorithm.version}, {algorithm.manufacturer}",
        f"              artifact sha256:{algorithm.artifact_sha256}",
        f"Analysed      {context.local_started_at:%Y-%m-%d %H:%M:%S %z}",
    ]
    if (followed := predecessor_words(context)) is not None:
        lines.append(f"Follows       {followed}")
    lines.append("")
    for finding in findings:
        if finding.classification is not None:
            lines.append(sentence(finding, context.sources))
            lines.extend(_detection_lines(finding.detection, context) if finding.detection is not None else [])
            continue
        lines.append(_heading(finding))
        lines.extend(_measurement_line(measurement) for measurement in finding.measurements)
        if not finding.measurements:
            lines.append(f"  not measured{_why_not(context)}")
        lines.extend(f"  {phrase}" for phrase in finding.made_by)
    lines.append("")
    if algorithm.intended_use:
        lines.extend([*wrap(f"Intended use: {algorithm.intended_use}", _LINE), ""])
    lines.extend(f"{_ROLE_WORDS[one.role]:<14}{one.sop_instance_uid}" for one in evidence)
    return "\n".join(lines) + "\n"


def _why_not(context: EvidenceContext) -> str:
    """Why nothing is measured, where that is plain: an area needs the size of a pixel."""
    return "" if pixel_spacing(context.sources[0]) else ": the images do not say how large their pixels are"


def _kind(findings: Sequence[Finding]) -> str:
    if any(one.detection for one in findings):
        return "DETECTION"
    return "CLASSIFICATION" if any(one.classification for one in findings) else "MEASUREMENT"


def _detection_lines(one: Detection, context: EvidenceContext) -> list[str]:
    if not one.boxes:
        return []
    numbers = sorted(image_number((box.sop_instance_uid, box.frame_number), context.sources) for box in one.boxes)
    images = f"images {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"image {numbers[0]}"
    return [f"  found on {images}; {one.reached} of this class reached the threshold"]


def finding_sentence(finding: Finding, context: EvidenceContext) -> str:
    """One finding in one sentence."""
    if finding.classification is not None:
        return f"{sentence(finding, context.sources)}."
    numbers = "; ".join([*(measurement_words(one) for one in finding.measurements), *finding.made_by])
    return f"{_heading(finding)}: {numbers}." if numbers else f"{_heading(finding)}."


def _heading(finding: Finding) -> str:
    """What pictures call it, and what its codes mean where that is something else."""
    site = finding.site.meaning if finding.site is not None else ""
    coded = ", ".join(filter(None, (finding.kind.meaning, site)))
    if finding.label.casefold() in ("", finding.kind.meaning.casefold()):
        return coded
    return f"{finding.label} ({coded})"


def measurement_words(measurement: Measurement) -> str:
    """Name, value and unit."""
    return " ".join(_measurement_line(measurement).split())


def value_words(measurement: Measurement) -> str:
    """Value and unit."""
    unit = _UNIT_WORDS.get(measurement.unit.value, measurement.unit.value)
    number = _rounded(measurement.value, _MOST_DECIMALS.get(measurement.unit.value, _SIGNIFICANT))
    return f"{number} {unit}".rstrip()


def _measurement_line(measurement: Measurement) -> str:
    name = measurement.name.meaning
    if measurement.derivation is not None:
        name = f"{name}, {measurement.derivation.meaning.lower().removesuffix(_OF_VOXELS)}"
    return f"  {name:<33} {value_words(measurement)}"


def _rounded(value: float, most_decimals: int) -> str:
    """Four significant digits, never in powers of ten: a reader compares volumes, not exponents."""
    digits = len(str(abs(int(value)))) if abs(value) >= 1 else 0
    text = f"{value:.{min(max(_SIGNIFICANT - digits, 0), most_decimals)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _dashed(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}" if len(date) == 8 else ""
