"""A disk that only one program sees, of a few blocks, to be full in earnest.

It is a file system in memory where this account may mount one, be it in a user namespace of its own; else the kernel
is told to refuse the blocks of that program (`tests.peers.refused_blocks`), so that the fact is shown everywhere.
"""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

_WAYS = (("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount"))
_MOUNT = 'mount -t tmpfs -o size="$SIZE" none "$1"'
_SCRIPT = f'{_MOUNT} && exec "$0" -c "$PROGRAM" "$@"'
_REFUSING = "from tests.peers.refused_blocks import refuse_blocks\nrefuse_blocks({size})\n"
_KIBIBYTES = {"k": 2**10}


def run_on_small_disk(
    mount_point: Path, size: str, program: str, *arguments: str, mounted: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run Python on a disk of this size, such as ``64k``, at ``mount_point``, which is the first of its arguments.

    ``mounted`` may be ``False`` to have no file system mounted where that could be done.
    """
    told = [sys.executable, str(mount_point), *arguments]
    program = textwrap.dedent(program)
    way = next((way for way in _WAYS if mounted and _works(way, mount_point)), None)
    if way is None:
        refusing = _REFUSING.format(size=int(size[:-1]) * _KIBIBYTES[size[-1]])
        command = [told[0], "-c", refusing + program, *told[1:]]
        environment = dict(os.environ)
    else:
        command = [*way, "sh", "-c", _SCRIPT, *told]
        environment = os.environ | {"PROGRAM": program, "SIZE": size}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def _works(way: tuple[str, ...], mount_point: Path) -> bool:
    if shutil.which(way[0]) is None:
        return False
    command = [*way, "sh", "-c", _MOUNT, "sh", str(mount_point)]
    environment = os.environ | {"SIZE": "16k"}
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0
