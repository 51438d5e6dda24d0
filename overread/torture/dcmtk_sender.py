"""DCMTK's storescu as a sender whose answers are noted: it shares code neither with the listener nor with us."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from overread.torture.instances import Instance
from overread.torture.ledger import SUCCESS

_STATUSES = {"Success": SUCCESS, "Refused: OutOfResources": 0xA700}
_SENDING = re.compile(r"Sending file: (.+)$")
_ANSWER = re.compile(r"Received Store Response \((.+)\)")
_NUMBER = re.compile(r"0x([0-9a-fA-F]+)")


def dcmtk(name: str) -> str | None:
    """The path of a program of DCMTK; pynetdicom brings others of the same names into the folder of our Python."""
    ours = Path(sys.executable).parent
    folders = [each for each in os.get_exec_path() if Path(each) != ours]
    return shutil.which(name, path=os.pathsep.join(folders))


def has_dcmtk() -> bool:
    """Whether storescu is installed."""
    return dcmtk("storescu") is not None


def send_with_storescu(
    port: int,
    instances: Sequence[Instance],
    note: Callable[[Instance, int | None], None],
    stopped: Callable[[], bool],
) -> set[str]:
    """Send over one association as far as it gets; note each answer at once, return the UIDs of successes."""
    kept: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="overread-torture-") as name:
        by_file = {}
        for number, instance in enumerate(instances):
            path = Path(name) / f"{number:05}.dcm"
            instance.write(path)
            by_file[str(path)] = instance
        command = [dcmtk("storescu") or "storescu", "-v", "-R", "-aec", "OVERREAD", "127.0.0.1", str(port)]
        process = subprocess.Popen([*command, *by_file], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        under_way: Instance | None = None
        with process:
            for line in process.stderr or ():
                if sending := _SENDING.search(line):
                    under_way = by_file[sending[1].strip()]
                elif under_way is not None and (answer := _ANSWER.search(line)):
                    status = _status(answer[1])
                    note(under_way, status)
                    if status == SUCCESS:
                        kept.add(under_way.sop_instance_uid)
                    under_way = None
                if stopped():
                    process.terminate()
        if under_way is not None:
            note(under_way, None)
    return kept


def _status(told: str) -> int | None:
    """The number behind DCMTK's words, as far as it says it."""
    if told in _STATUSES:
        return _STATUSES[told]
    number = _NUMBER.search(told)
    return int(number[1], 16) if number else None
