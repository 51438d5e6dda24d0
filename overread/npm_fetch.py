"""Fetch a pinned npm package through the ordinary npm client and unpack it, once; nothing of it is ever run here."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Collection
from pathlib import Path

from overread.fetch import PackageUnavailable
from overread.packages import OHIF, NpmPackage

_TIMEOUT_S = 600
# What OHIF uses only for slide microscopy, for pieces of anatomy found in the browser, and for its own web site.
_OHIF_WITHOUT = ("dist/dicom-microscopy-viewer/", "dist/ort/", "dist/sw.js", "dist/google.js")


def fetch_ohif(cache: Path) -> Path:
    """The folder of the prebuilt OHIF viewer below ``cache``; raises as ``fetch_unpacked`` does."""
    return fetch_unpacked(OHIF, cache, "dist", _OHIF_WITHOUT)


def fetch_unpacked(package: NpmPackage, cache: Path, part: str, without: Collection[str] = ()) -> Path:
    """The folder ``part`` of the package, unpacked below ``cache``; one that is there costs no network access.

    Names that begin with one of ``without`` are left in the archive.

    Raises:
        PackageUnavailable: there is no npm, npm could not get the package, or it is not the pinned one.
    """
    # The digest is part of the name: another pin is another folder, and what is there is complete.
    folder = cache / f"{package.filename.removesuffix('.tgz')}-{package.sha256[:12]}"
    if folder.is_dir():
        return folder / part
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="fetch-") as scratch:
        archive = _packed(package, Path(scratch))
        unpacked = Path(scratch) / "unpacked"
        _unpack(archive, unpacked, part, without)
        try:
            unpacked.rename(folder)
        except OSError:
            if not folder.is_dir():  # somebody else was faster
                raise
    return folder / part


def _packed(package: NpmPackage, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise PackageUnavailable(
            f"{package.name} {package.version} is fetched with npm, which is not installed; install npm and retry."
        )
    command = [npm, "pack", f"{package.name}@{package.version}", "--silent", "--ignore-scripts"]
    command += ["--pack-destination", str(folder)]
    try:
        subprocess.run(command, cwd=folder, capture_output=True, timeout=_TIMEOUT_S, check=False)
        archive = folder / package.filename
        content = archive.read_bytes()
    except (subprocess.TimeoutExpired, OSError):
        raise PackageUnavailable(
            f"{package.name} {package.version} could not be fetched from the npm registry; "
            "connect to the internet or set the registry that npm uses, then run it again."
        ) from None
    if hashlib.sha256(content).hexdigest() != package.sha256:
        raise PackageUnavailable(
            f"The npm registry gave another file than the pinned {package.filename}; use another registry."
        )
    return archive


def _unpack(archive: Path, folder: Path, part: str, without: Collection[str]) -> None:
    with tarfile.open(archive) as packed:
        for member in packed:
            name = member.name.removeprefix("package/")
            if member.isfile() and name.startswith((f"{part}/", "LICENSE")) and not name.startswith(tuple(without)):
                member.name = name
                packed.extract(member, folder, filter="data")
