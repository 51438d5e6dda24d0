"""The short form of `scripts/fuzz`: each reader meets some ten thousand inputs that its own coverage bred."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from listener.scp.commitment import read_request
from listener.scp.instance_header import read_header
from tests.fuzz import command, header
from tests.peers.raw_sender import CT

_ROOT = Path(__file__).parents[2]
_SECONDS = 5


@pytest.mark.parametrize("name", ["multipart", "header", "command", "association", "address", "stored_file"])
def test_no_input_escapes(name: str, tmp_path: Path) -> None:
    """There is one kind of failure; nothing hangs, and memory stays bounded. The search was led by coverage."""
    search = [sys.executable, "-m", "tests.fuzz.run", name, "--seconds", str(_SECONDS), "--corpus", str(tmp_path)]
    done = subprocess.run(
        # A shell in between: the kernel would count the memory of this whole test run as the peak of our own child.
        ["sh", "-c", '"$@"; exit $?', "sh", *search],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    figures = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    assert int(figures["number_of_executed_units"]) > 100
    assert int(figures["new_units_added"]) > 0
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("crash", "timeout", "oom"))] == []


def test_seeds_are_good_inputs_too() -> None:
    """The search begins where readers succeed, so that it tries what is behind their first refusal."""
    assert read_header(CT, "1.2.3.4", "1.2.840.10008.1.2", header.SEEDS[0][1:]).study_instance_uid == "1.2.3"
    assert read_header(CT, "1.2.3.4", "1.2.840.10008.1.2.1.99", header.SEEDS[5][1:]).patient_id == "CANARY-ID"
    assert len(read_request(header.SEEDS[6][1:], "1.2.840.10008.1.2.1")[1]) == 1
    assert command.read_command(command.SEEDS[0]).sop_instance_uid == "1.2.3.4"
