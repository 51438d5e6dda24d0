"""A conversion in a process of its own, which has little: no secrets, a limit on everything, and no network if it can.

The parent gives it the checkpoint's files and an empty folder, and takes back an ONNX file and numbers.
"""

import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from training.errors import ConversionFailed, TrainingError

TIMEOUT_S = 900
_MOST_WORDS = 300  # characters of what the child said last
MODEL_NAME, RECORD_NAME = "model.onnx", "converted.json"


def convert_confined(name: str, files: Sequence[Path], folder: Path) -> None:
    """Let a child process convert the published network ``name`` from ``files`` into ``folder``.

    Raises:
        ConversionFailed: the child could not, or used more time or memory than it may.
        TrainingError: the child refused the checkpoint; its sentence is the message.
        OSError: the disk is full.
    """
    # The child stands in a folder of its own, so every path is absolute.
    command = [sys.executable, "-P", "-m", "training.published", name, *map(os.path.abspath, (folder, *files))]
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix="conversion-") as home:
        # Not our environment: settings, tokens and passwords of the service may stand there.
        environment = {
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path))),
            "HOME": home,
        }
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
    if child.returncode and os.strerror(errno.ENOSPC) in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if child.returncode or not (folder / MODEL_NAME).is_file():
        raise ConversionFailed(f"The conversion of {name} ended with status {child.returncode}: {_last_words(said)}.")


def _last_words(said: str) -> str:
    """What the child said last, without what a terminal would obey: a stranger's file may have put it there."""
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "it may need more memory than there is")
    return "".join(sign for sign in last[:_MOST_WORDS] if sign.isprintable())


REFUSED = "refused: "
