"""Prints a line for each object of evidence: its source, its form, and the SHA-256 of its bytes.

``python -m tests.conformance.digests``, run in processes that have nothing in common but the job, prints the same.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from inference.algorithms.image_scoring import Highest
from inference.evidence.build import build_classification_evidence
from storage.domain.result import EvidenceObject
from tests.conformance.every_evidence import EVERY_FORM, evidence_of_source, late_evidence_of
from tests.conformance.source_classification import HAEMORRHAGE, TUMOUR, classified, corner_map
from tests.conformance.source_modalities import SERIES, segmented
from tests.conformance.source_series import STARTED_AT

ZONE = "-0500"  # as the sources state it; where they state none, the time zone of the machine is part of the job

CLASSIFIED = [name for name in SERIES if name != "US"]  # which is in colour, and refused: algorithms take grey values


def all_evidence() -> Iterator[tuple[str, tuple[EvidenceObject, ...]]]:
    """Every segmentation, one that follows another, and a classification of every grey one."""
    for name in SERIES:
        yield f"segmentation of {name}", evidence_of_source(name).objects
    yield "on late images of CT axial", late_evidence_of(segmented("CT axial")).objects
    with tempfile.TemporaryDirectory() as folder:
        for name in CLASSIFIED:
            yield f"classification of {name}", _classified(name, Path(folder, name))


def _classified(name: str, folder: Path) -> tuple[EvidenceObject, ...]:
    images = SERIES[name]()
    for image in images:
        image.TimezoneOffsetFromUTC = ZONE
    scores = [Highest(0, 0.93, corner_map()), Highest(len(images) - 1, 0.31, corner_map())]
    case = classified(folder, scores, images, [TUMOUR, HAEMORRHAGE])
    assert case.context.started_at == STARTED_AT
    return build_classification_evidence(case.context, case.keys, case.drawn, EVERY_FORM)


def main() -> None:
    """Print the lines in the order of the objects."""
    for name, objects in all_evidence():
        for one in objects:
            print(f"{name}: {one.form} {hashlib.sha256(one.part10).hexdigest()}")


if __name__ == "__main__":
    main()
