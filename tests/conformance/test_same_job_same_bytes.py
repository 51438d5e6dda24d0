"""The same job has the same bytes wherever and whenever it is done."""

import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
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
# What is made of a radiograph too; structure sets and maps need a place in the patient.
OF_EVERY_SOURCE = (
    EvidenceForm.COMPREHENSIVE_3D,
    EvidenceForm.COMPREHENSIVE,
    EvidenceForm.ENHANCED,
    EvidenceForm.BASIC_TEXT,
    EvidenceForm.SECONDARY_CAPTURE,
    EvidenceForm.PRESENTATION_STATE,
    EvidenceForm.DOCUMENT,
    EvidenceForm.KEY_OBJECTS,
)


def test_every_encoder_gives_the_same_bytes_in_two_processes(tmp_path: Path) -> None:
    """Time zone, hash seed, locale, folder and clock differ; of all sources, no byte of any object does (S12)."""
    printed = []
    with ExitStack() as running:
        machines = [running.enter_context(_printing(tmp_path / str(n), one)) for n, one in enumerate(MACHINES)]
        for machine in machines:
            lines, mistakes = machine.communicate()
            assert machine.returncode == 0, mistakes
            printed.append(lines.splitlines())

    assert printed[0] == printed[1]
    made = {kind: Counter(line.split(": ")[1].split()[0] for line in printed[0] if line.startswith(kind))
            for kind in ("segmentation", "classification", "on late images")}  # fmt: skip
    assert {EvidenceForm(role) for role in AVAILABLE} <= set(made["on late images"])
    for form in OF_EVERY_SOURCE:
        assert made["segmentation"][form] >= len(SERIES), form
        assert made["classification"][form] >= len(CLASSIFIED), form
    assert made["segmentation"][EvidenceForm.LABEL_MAP] == len(SERIES)


def _printing(folder: Path, machine: dict[str, str]) -> subprocess.Popen[str]:
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "tests.conformance.digests"],
        cwd=folder,
        env=os.environ | machine | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
