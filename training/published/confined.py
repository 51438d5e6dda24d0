"""A conversion in a process of its own, which has little: no secrets, a limit on everything, and no network if it can.

The parent gives it the checkpoint's files and an empty folder, and takes back an ONNX file and numbers.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from training.errors import ConversionFailed, TrainingError

TIMEOUT_S = 900
MODEL_NAME, RECORD_NAME = "model.onnx", "converted.json"


def convert_confined(name: str, files: Sequence[Path], folder: Path) -> None:
    """Let a child process convert the published network ``name`` from ``files`` into ``folder``.

    Raises:
        ConversionFailed: the child could not, or used more time or memory than it may.
        TrainingError: the child refused the checkpoint; its sentence is the message.
    """
    command = [sys.executable, "-P", "-m", "training.published", name, str(folder), *map(str, files)]
    with tempfile.TemporaryDirectory(prefix="overread-conversion-") as home:
        # Not our environment: settings, tokens and passwords of the service may stand there.
        environment = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "HOME": home}
        child = subprocess.Popen(
            command,
            cwd=home,
            env={**environment, "TMPDIR": home},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            _, said = child.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise ConversionFailed(f"The conversion of {name} took longer than {TIMEOUT_S} s and was ended.") from None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    refused = [line.removeprefix(REFUSED) for line in said.splitlines() if line.startswith(REFUSED)]
    if child.returncode and refused:
        raise TrainingError(refused[0])
    if child.returncode or not (folder / MODEL_NAME).is_file():
        raise ConversionFailed(
            f"The conversion of {name} ended with status {child.returncode}; it may need more memory than there is."
        )


REFUSED = "refused: "
