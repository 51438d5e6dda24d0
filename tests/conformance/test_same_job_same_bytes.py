"""The same job has the same bytes wherever and whenever it is done."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from inference.evidence.further import AVAILABLE
from storage.domain.result import EvidenceForm
from tests.conformance.digests import CLASSIFIED
from tests.conformance.source_modalities import SERIES

ROOT = Path(__file__).parents[2]
# Two machines' worth of processes: what may differ between them and must not show in an object.
MACHINES = (
    {"TZ": "Asia/Kolkata", "PYTHONHASHSEED": "1", "LC_ALL": "C"},
    {"TZ": "America/St_Johns", "PYTHONHASHSEED": "4242", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"},
)


def test_every_encoder_gives_the_same_bytes_in_two_processes(tmp_path: Path) -> None:
    """Time zone, hash seed, locale, folder and clock differ; of all sources, no byte of any object does (S12)."""
    printed = []
    for place, machine in enumerate(MACHINES):
        folder = tmp_path / str(place)
        folder.mkdir()
        environment = os.environ | machine | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
        run = subprocess.run(
            [sys.executable, "-m", "tests.conformance.digests"],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(run.stdout.splitlines())

    assert printed[0] == printed[1]
    of_segmentations = Counter(line.split(": ")[1].split()[0] for line in printed[0] if line.startswith("segm"))
    of_classifications = Counter(line.split(": ")[1].split()[0] for line in printed[0] if line.startswith("class"))
    for form in {EvidenceForm(role) for role in AVAILABLE} | {EvidenceForm.LABEL_MAP, EvidenceForm.BASIC_TEXT}:
        assert of_segmentations[form] >= len([name for name in SERIES if _makes(form, name)]), form
    for form in (EvidenceForm.COMPREHENSIVE_3D, EvidenceForm.SECONDARY_CAPTURE, EvidenceForm.KEY_OBJECTS):
        assert of_classifications[form] >= len(CLASSIFIED), form


def _makes(form: EvidenceForm, name: str) -> bool:
    return form is not EvidenceForm.STRUCTURE_SET or name[:2] in ("CT", "MR", "PT")
