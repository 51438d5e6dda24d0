"""The demonstration, as `make demo` runs it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import ParametricMapStorage

_COMMAND = [sys.executable, "-m", "overread", "demo"]
_SECONDS = 200


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for the demo's data that the database's account may enter."""
    path = Path(tempfile.mkdtemp(prefix="overread-demo-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_the_demo_ends_with_a_plausible_report_and_pictures(folder: Path) -> None:
    """`overread demo --once` exits 0 after a report of a human brain's volume and pictures with the brain marked.

    A second run uses the set-up of the first and makes a new study.
    """
    first = _run_once(folder)
    second = _run_once(folder)

    for told in (first, second):
        volume = float(re.search(r"Volume +([0-9.]+) ml", told).group(1))  # type: ignore[union-attr]
        assert 1600 < volume < 1850, "the published tools agree on about 1,720 to 1,780 ml for this head"
        assert "Research use only. Not verified by a physician." in told
        assert "✓ They are at DEMOPACS" in told
        assert f"`overread algorithms add` takes it: {folder / 'data' / 'brain-extraction'}\n" in told
    assert _study(first) != _study(second)
    pictures = sorted((folder / "output").glob("*.png"))
    assert [picture.name for picture in pictures] == [
        "overlay-axial.png",
        "overlay-coronal.png",
        "overlay-sagittal.png",
    ]
    assert all(_share_of_marked_pixels(picture) > 0.1 for picture in pictures)
    assert "Demo^Head" not in (folder / "data" / "demo.log").read_text()


def test_the_demo_goes_on_until_it_is_interrupted(folder: Path) -> None:
    """Without --once it says how to push more and how to log in to its dashboard, which shows the study and, with
    --viewer, leads to its segmentation in OHIF, beside which its map arrived; Ctrl-C ends it and everything it started.
    """
    demo = subprocess.Popen(
        [*_COMMAND, "--viewer", "--output", str(folder / "output"), "--data", str(folder / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    guard = threading.Timer(_SECONDS, demo.kill)
    guard.start()
    assert demo.stdout is not None
    told = ""
    for line in demo.stdout:
        told += line
        if "Ctrl-C ends everything" in line:
            break
    shown = _study_on_the_dashboard(told)
    demo.send_signal(signal.SIGINT)
    told += demo.stdout.read()
    status = demo.wait()
    guard.cancel()

    assert status == 0, told
    assert "storescu -aec OVERREAD" in told
    assert "Volume" in shown
    assert shown.count("<figure>") == 3
    address = re.search(r"The result in OHIF: http://127.0.0.1:[0-9]+(\S+)", told)
    assert address is not None, told
    assert "initialSeriesInstanceUID=2.25." in address[1]
    assert f'href="{address[1].replace("&", "&amp;")}"' in shown
    assert ParametricMapStorage in _arrived(folder)
    assert _processes_with(str(folder)) == []


def _arrived(folder: Path) -> set[str]:
    """The SOP Classes of what the demo's PACS was sent."""
    return {dcmread(path, specific_tags=["SOPClassUID"]).SOPClassUID for path in (folder / "data/pacs").glob("*.dcm")}


def _study_on_the_dashboard(told: str) -> str:
    """The study's page, as somebody finds it who does what the demo says."""
    address = re.search(r"Watch it in a browser: (\S+)", told)
    password = re.search(r"password +(\S+)", told)
    assert address is not None, told
    assert password is not None, told
    with httpx.Client(base_url=address[1], follow_redirects=True, timeout=60) as browser:
        (proof,) = re.findall(r'name="proof" value="([^"]+)"', browser.get("/").text)
        browser.post("/login", data={"name": "demo", "password": password[1], "proof": proof})
        return browser.get(f"/studies/{_study(told)}").text


def _run_once(folder: Path) -> str:
    done = subprocess.run(
        [*_COMMAND, "--once", "--output", str(folder / "output"), "--data", str(folder / "data")],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _study(told: str) -> str:
    return re.search(r"Study +(2\.25\.[0-9]+)", told).group(1)  # type: ignore[union-attr]


def _share_of_marked_pixels(picture: Path) -> float:
    """The share of pixels that are coloured, as only the marked segment is; the images are grey."""
    pixels = np.asarray(Image.open(picture).convert("RGB"), np.int16)
    return float(np.mean(pixels.max(axis=2) - pixels.min(axis=2) > 20))


def _processes_with(text: str) -> list[str]:
    """Command lines of running processes that name ``text``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and path.parent.name != str(os.getpid()):
            found.append(command)
    return found
