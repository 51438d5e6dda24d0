"""Whether what an algorithm made of a case is what the case expects, each number with the bound it is held against."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pydicom

from inference.acceptance.acceptance_set import AcceptanceCase
from inference.acceptance.masks import Mask, dice, masks_of, read_mask
from inference.algorithms.classification_manifest import ClassificationManifest
from inference.algorithms.detection_manifest import DetectionManifest
from inference.algorithms.manifest import Manifest
from inference.algorithms.volume_detection_manifest import VolumeDetectionManifest
from inference.conclusion import NotAnalysed
from inference.errors import InvalidAcceptanceSet
from storage.domain.finding import Finding
from storage.domain.result import EvidenceForm, NewResult


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation: what it says in a few words, with the number that was reached, and whether it holds."""

    words: str
    holds: bool


@dataclass(frozen=True, slots=True)
class CaseOutcome:
    """What became of one case."""

    name: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every expectation holds."""
        return all(check.holds for check in self.checks)

    @property
    def words(self) -> str:
        """The case's name and its checks; those that fall short first."""
        told = sorted(self.checks, key=lambda check: check.holds)
        return f"{self.name}: {', '.join(check.words for check in told)}"


def judged(case: AcceptanceCase, folder: Path, manifest: Manifest, outcome: NewResult | NotAnalysed) -> CaseOutcome:
    """Compare an outcome with what the case expects; reference files stand in ``folder``.

    Raises:
        InvalidAcceptanceSet: the case speaks of a label that the algorithm does not have, or a reference is none.
    """
    if isinstance(outcome, NotAnalysed):
        codes = {outcome.reason.code, *(refusal.reason.code for refusal in outcome.refusals)}
        return CaseOutcome(case.name, (_refusal(case.refused, outcome.reason.code, codes),))
    if case.refused is not None:
        return CaseOutcome(case.name, (Check(f"analysed, expected to be refused as {case.refused}", holds=False),))
    known = _labels(manifest)
    masks, classes = [one.label for one in case.masks], [one.label for one in case.classes]
    for label in (*(case.labels or ()), *masks, *classes):
        if label not in known:
            raise InvalidAcceptanceSet(
                f"Case {case.name} speaks of {label!r}, which {manifest.title} does not look for; it looks for "
                f"{', '.join(sorted(known))}."
            )
    return CaseOutcome(case.name, tuple(_checks(case, folder, manifest, outcome)))


def failed(case: AcceptanceCase, code: str) -> CaseOutcome:
    """The outcome of a case whose images could not be used, or whose analysis failed, for the reason with this code."""
    return CaseOutcome(case.name, (_refusal(case.refused, code, {code}),))


def _refusal(wanted: str | None, code: str, codes: set[str]) -> Check:
    if wanted is None:
        return Check(f"not analysed ({code})", holds=False)
    return Check(f"refused as {wanted if wanted in codes else code}, expected {wanted}", wanted in codes)


def _labels(manifest: Manifest) -> set[str]:
    if isinstance(manifest, ClassificationManifest | DetectionManifest | VolumeDetectionManifest):
        return {one.label for one in manifest.outputs.classes}
    return {one.label for one in manifest.outputs.segments}


def _checks(case: AcceptanceCase, folder: Path, manifest: Manifest, result: NewResult) -> Iterator[Check]:
    # The surest detection of a class stands first, so that it is the one that is kept.
    classes = {_label(one): one.classification for one in reversed(result.findings) if one.classification}
    if isinstance(manifest, ClassificationManifest | DetectionManifest | VolumeDetectionManifest):
        present = {label for label, one in classes.items() if one.present}
        masks: dict[str, Mask] = {}
    else:
        found = _found(result)
        masks = {one.label: found.get(one.label, {}) for one in manifest.outputs.segments}
        present = {label for label, mask in masks.items() if any(frame.any() for frame in mask.values())}
    if case.labels is not None:
        told = ", ".join(sorted(present)) or "nothing"
        yield Check(
            f"finds {told}, expected {', '.join(sorted(case.labels)) or 'nothing'}", present == set(case.labels)
        )
    for mask in case.masks:
        if mask.label not in masks:
            raise InvalidAcceptanceSet(f"Case {case.name} has masks, but {manifest.title} outlines nothing.")
        reached = dice(masks[mask.label], read_mask(folder / mask.file, mask.reference_label))
        yield Check(f"{mask.label} Dice {reached:.4f}, at least {mask.minimum_dice:g}", reached >= mask.minimum_dice)
    for one in case.classes:
        if one.label not in classes:
            raise InvalidAcceptanceSet(f"Case {case.name} has classes, but {manifest.title} gives no probabilities.")
        probability, (least, most) = classes[one.label].probability, one.probability
        words = f"{one.label} probability {probability:.4f}, from {least:g} to {most:g}"
        yield Check(words, least <= probability <= most)


def _label(finding: Finding) -> str:
    """The class that a finding is one of; detections of a class are numbered."""
    label = finding.classification.label if finding.classification else ""
    return label.rsplit(" ", 1)[0] if finding.detection and finding.detection.boxes else label


def _found(result: NewResult) -> dict[str, Mask]:
    """The voxels of each structure as a destination would get them; of none where no segmentation was made."""
    forms = (EvidenceForm.BINARY, EvidenceForm.BINARY_UNALIGNED)
    made = next((one.part10 for one in result.evidence if one.form in forms), None)
    return {} if made is None else masks_of(pydicom.dcmread(io.BytesIO(made)))
