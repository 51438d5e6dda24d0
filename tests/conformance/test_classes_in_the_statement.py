"""The conformance statement names every class of object that we make, and no other."""

import re
from pathlib import Path

from storage.domain.result import EvidenceForm
from tests.conformance.every_evidence import late_evidence_of
from tests.conformance.source_modalities import SERIES, segmented_in

_STATEMENT = Path(__file__).parents[2] / "docs/conformance-statement.md"


def test_the_storage_classes_that_we_send_are_those_of_the_encoders() -> None:
    """The row of Storage as SCU lists the SOP Class of every form, in grey and in colour, once."""
    made = [one for name in ("CT axial", "US") for one, _ in late_evidence_of(segmented_in(SERIES[name]())).read]
    [row] = [
        line for line in _STATEMENT.read_text().splitlines() if line.startswith("| Storage (PS3.4 annex B) | SCU |")
    ]

    assert {one.form for one in made} >= {*EvidenceForm} - {
        EvidenceForm.BINARY_UNALIGNED,
        EvidenceForm.BINARY_PER_SEGMENT_UNALIGNED,
    }
    assert sorted(re.findall(r"1\.2\.840\.10008[.\d]+", row)) == sorted({one.sop_class_uid for one in made})
