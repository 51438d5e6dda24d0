"""docker/orthanc/orthanc.json under a real Orthanc; only ports, folders and the name of the listener's host differ."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers.dicom_echo import echo
from tests.peers.free_ports import free_ports

ROOT = Path(__file__).parents[2]
_DEADLINE = 60.0
_PASSWORD = 'a "quoted" password'


@dataclass
class Neighbours:
    """Orthanc and our listener, side by side as compose.yaml starts them."""

    http: int
    dicom: int

    def ask(self, method: str, path: str, password: str | None = _PASSWORD) -> int:
        """The status of Orthanc's REST interface."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", b"{}", method=method)
        if method == "GET":
            request.data = None
        if password is not None:
            token = base64.b64encode(f"orthanc:{password}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - its own address
                status: int = answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0
        return status


@pytest.fixture
def orthanc_and_listener(tmp_path: Path) -> Iterator[Neighbours]:
    """Both, on free ports."""
    http, dicom, ours = free_ports(3)
    text = (ROOT / "docker" / "orthanc" / "orthanc.json").read_text(encoding="utf-8")
    for old, new in (
        ("/var/lib/orthanc/db", str(tmp_path / "db")),
        ('"HttpPort": 8042', f'"HttpPort": {http}'),
        ('"DicomPort": 4242', f'"DicomPort": {dicom}'),
        ('"Host": "listen", "Port": 11112', f'"Host": "127.0.0.1", "Port": {ours}'),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "orthanc.json").write_text(text, encoding="utf-8")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")},
        "ORTHANC_PASSWORD": _PASSWORD.replace('"', '\\"'),
        "OVERREAD_CONFIG": str(ROOT / "docker" / "overread.toml"),
        "OVERREAD_LISTENER_PEERS": '[{"ae_title": "ORTHANC", "networks": ["127.0.0.0/8"]}]',
        "OVERREAD_LISTENER_HOST": "127.0.0.1",
        "OVERREAD_LISTENER_PORT": str(ours),
        "OVERREAD_DATA_DIR": str(tmp_path / "data"),
        "OVERREAD_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }
    commands = (["/usr/sbin/Orthanc", str(tmp_path / "orthanc.json")], [sys.executable, "-m", "overread", "listen"])
    with (tmp_path / "log").open("wb") as log:
        running = [subprocess.Popen(each, env=environment, stdout=log, stderr=log) for each in commands]
    neighbours = Neighbours(http, dicom)
    try:
        deadline = time.monotonic() + _DEADLINE
        while neighbours.ask("GET", "/system") == 0 or not _listens(ours):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        yield neighbours
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait(_DEADLINE)


def test_nobody_reads_orthanc_without_the_password_of_the_environment(orthanc_and_listener: Neighbours) -> None:
    """The variable takes the place of its name in the file; without it, or with the name itself, the answer is 401."""
    assert orthanc_and_listener.ask("GET", "/system", None) == 401
    assert orthanc_and_listener.ask("GET", "/system", "${ORTHANC_PASSWORD}") == 401
    assert orthanc_and_listener.ask("GET", "/system") == 200


def test_orthanc_and_the_listener_know_each_other(orthanc_and_listener: Neighbours) -> None:
    """Orthanc reaches the listener under the titles that both files name, lets us in as OVERREAD, and no stranger."""
    assert orthanc_and_listener.ask("POST", "/modalities/overread/echo") == 200
    assert echo(orthanc_and_listener.dicom, calling="OVERREAD", called="ORTHANC") == "success"
    assert echo(orthanc_and_listener.dicom, calling="STRANGER", called="ORTHANC") != "success"


def test_the_settings_call_orthanc_by_its_title() -> None:
    """Results go to the title and port that orthanc.json gives Orthanc."""
    orthanc = (ROOT / "docker" / "orthanc" / "orthanc.json").read_text(encoding="utf-8")
    ours = (ROOT / "docker" / "overread.toml").read_text(encoding="utf-8")

    assert '"DicomAet": "ORTHANC"' in orthanc
    assert re.search(r'ae_title = "ORTHANC"\nhost = "orthanc"\nport = 4242', ours)
    assert '"DicomPort": 4242' in orthanc


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
