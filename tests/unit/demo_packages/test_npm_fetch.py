"""Fetching a pinned npm package: only those bytes, only once, and one sentence when it cannot be had."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from overread.fetch import PackageUnavailable
from overread.npm_fetch import fetch_unpacked
from overread.packages import NpmPackage


def archive(**files: bytes) -> bytes:
    """An npm package with these files, whose dots are written as two underscores and slashes as one."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo("package/" + name.replace("__", ".").replace("_", "/"))
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


CONTENT = archive(dist_index__html=b"<p>", dist_heavy_model__bin=b"0" * 9, LICENSE=b"MIT", install__js=b"evil")
PACKAGE = NpmPackage("@a/viewer", "1.0.0", "a-viewer-1.0.0.tgz", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for npm that gives a prepared file, and notes that it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "npm"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/asked\ncp {folder}/answer "$6/a-viewer-1.0.0.tgz" 2>/dev/null\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_a_package_is_unpacked_once_and_in_part(npm: Path, tmp_path: Path) -> None:
    """The asked part and the licence are there, what was left out is not, and no script was run; then npm has rest."""
    (npm / "answer").write_bytes(CONTENT)

    for _ in range(2):
        found = fetch_unpacked(PACKAGE, tmp_path / "cache", "dist", ["dist/heavy/"])

    assert (found / "index.html").read_bytes() == b"<p>"
    assert {path.name for path in found.parent.rglob("*")} == {"dist", "index.html", "LICENSE"}
    asked = (npm / "asked").read_text().splitlines()
    assert len(asked) == 1
    assert asked[0].startswith("pack @a/viewer@1.0.0 --silent --ignore-scripts ")


def test_other_bytes_are_refused(npm: Path, tmp_path: Path) -> None:
    """Nothing of a file with another digest stays."""
    (npm / "answer").write_bytes(CONTENT + b"\0")

    with pytest.raises(PackageUnavailable, match="another file than the pinned"):
        fetch_unpacked(PACKAGE, tmp_path / "cache", "dist")

    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_registry_the_error_is_one_sentence(npm: Path, tmp_path: Path) -> None:
    """Offline, the user reads what to do."""
    with pytest.raises(PackageUnavailable, match="connect to the internet") as error:
        fetch_unpacked(PACKAGE, tmp_path / "cache", "dist")

    assert "\n" not in str(error.value)


def test_without_npm_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user reads which program is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(PackageUnavailable, match="install npm"):
        fetch_unpacked(PACKAGE, tmp_path / "cache", "dist")
