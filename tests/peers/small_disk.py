"""A file system of a few blocks that only one program sees, to be full in earnest."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

_WAYS = (("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount"))
_SCRIPT = 'mount -t tmpfs -o size="$SIZE" none "$1" && exec "$0" -c "$PROGRAM" "$@"'


def run_on_small_disk(mount_point: Path, size: str, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a tmpfs of this size (as mount has it) at ``mount_point``, which is the first of its arguments.

    Skips the test where this account may not mount a file system.
    """
    told = [sys.executable, str(mount_point), *arguments]
    environment = os.environ | {"PROGRAM": textwrap.dedent(program), "SIZE": size}
    for way in _WAYS:
        if shutil.which("unshare") and subprocess.run([*way, "true"], capture_output=True, check=False).returncode == 0:
            command = [*way, "sh", "-c", _SCRIPT, *told]
            return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    pytest.skip("This account may not mount a file system; run the tests as root, or allow user namespaces.")
