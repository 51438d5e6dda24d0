"""A real Orthanc on free ports of 127.0.0.1, with everything it keeps in a temporary folder."""

import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.peers.free_ports import free_ports

_START_SECONDS = 60.0
_DICOMWEB_PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
_POLL_SECONDS = 0.05


class Orthanc:
    """One running Orthanc; ``dicom_port`` and ``http_port`` are on 127.0.0.1.

    ``modalities`` names the peers it may send to: ``{"overread": ("OVERREAD", "127.0.0.1", port)}``. Without an
    ``ae_title`` it answers to any called AE title. ``dicomweb`` loads Debian's plugin at ``/dicom-web/``.
    ``settings`` are further ones of its configuration.
    """

    def __init__(
        self,
        folder: Path,
        modalities: dict[str, tuple[str, str, int]] | None = None,
        ae_title: str = "ORTHANC",
        dicomweb: bool = False,
        unknown_sop_class_accepted: bool = True,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._settings = settings or {}
        self.ae_title = ae_title
        self._plugins = [_DICOMWEB_PLUGIN] if dicomweb else []
        self.dicom_port, self.http_port = free_ports(2)
        self._folder = folder
        self._modalities = modalities or {}
        self._unknown_sop_class_accepted = unknown_sop_class_accepted
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Orthanc":
        """Start it and return once its REST interface answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "orthanc.json"
        configuration.write_text(json.dumps(self._configuration()))
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/Orthanc", str(configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.wait_until(lambda: self._answers(), "Orthanc did not start", _START_SECONDS)
        return self

    def stop(self) -> None:
        """End it; what it keeps stays in its folder, so that it can be started again."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def upload(self, path: Path) -> None:
        """Hand it one Part 10 file over REST."""
        self.request("POST", "/instances", path.read_bytes())

    def send_study(self, study_instance_uid: str, modality: str) -> dict[str, Any]:
        """Have it C-STORE a whole study to one of its modalities and return what it says of the job."""
        body = {"Resources": [self.study_id(study_instance_uid)], "Synchronous": True}
        answer: dict[str, Any] = self.json("POST", f"/modalities/{modality}/store", json.dumps(body).encode())
        return answer

    def study_id(self, study_instance_uid: str) -> str:
        """Orthanc's own identifier of a study it holds."""
        found = self.json("POST", "/tools/lookup", study_instance_uid.encode())
        return next(item["ID"] for item in found if item["Type"] == "Study")

    def holds_study(self, study_instance_uid: str) -> bool:
        """Whether it holds any instance of the study."""
        return any(item["Type"] == "Study" for item in self.json("POST", "/tools/lookup", study_instance_uid.encode()))

    def instances_of(self, study_instance_uid: str) -> list[tuple[str, bytes]]:
        """(SOP Instance UID, Part 10 file) of each instance it holds of the study; empty when it holds none."""
        if not self.holds_study(study_instance_uid):
            return []
        listed = self.json("GET", f"/studies/{self.study_id(study_instance_uid)}/instances")
        return [
            (item["MainDicomTags"]["SOPInstanceUID"], self.request("GET", f"/instances/{item['ID']}/file"))
            for item in listed
        ]

    def wait_until(self, predicate: Callable[[], bool], what: str = "it did not happen", seconds: float = 60) -> None:
        """Ask ``predicate`` again and again until it holds; after ``seconds`` fail and say ``what``."""
        deadline = time.monotonic() + seconds
        while not predicate():
            if self._process is None or self._process.poll() is not None:
                pytest.fail(f"{what}: Orthanc has ended.\n{self._log_tail()}")
            if time.monotonic() > deadline:
                pytest.fail(f"{what} within {seconds:.0f} s.\n{self._log_tail()}")
            time.sleep(_POLL_SECONDS)

    def json(self, method: str, path: str, body: bytes | None = None) -> Any:
        """The answer of its REST interface, decoded."""
        return json.loads(self.request(method, path, body))

    def request(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The answer of its REST interface; raises OSError when it refuses."""
        # Its own address, and http only.
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data=body, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            content: bytes = answer.read()
        return content

    def _answers(self) -> bool:
        try:
            self.request("GET", "/system")
        except OSError:
            return False
        return True

    def _log_tail(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def _configuration(self) -> dict[str, Any]:
        return {
            "Name": "test",
            "StorageDirectory": str(self._folder / "storage"),
            "IndexDirectory": str(self._folder / "storage"),
            "Plugins": self._plugins,
            "DicomWeb": {"Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
            "DicomAet": self.ae_title,
            "DicomPort": self.dicom_port,
            "HttpPort": self.http_port,
            "DicomCheckCalledAet": False,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "UnknownSopClassAccepted": self._unknown_sop_class_accepted,
            "DicomModalitiesInDatabase": False,
            "DicomModalities": {name: list(peer) for name, peer in self._modalities.items()},
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": True,
            "HttpServerEnabled": True,
            "DicomScuTimeout": 30,
            "StableAge": 1,
            "Locale": "C",
            **self._settings,
        }


@pytest.fixture
def start_orthanc() -> Iterator[Callable[..., Orthanc]]:
    """Start as many Orthancs as a test needs: ``start_orthanc(modalities={…}, ae_title="ORTHANC")``."""
    with ExitStack() as cleanup:
        # Not below tmp_path: pytest keeps that after the run, and this may grow large.
        root = Path(tempfile.mkdtemp(prefix="orthanc-"))
        cleanup.callback(shutil.rmtree, root, ignore_errors=True)
        started: list[Orthanc] = []

        def start(
            modalities: dict[str, tuple[str, str, int]] | None = None,
            ae_title: str = "ORTHANC",
            dicomweb: bool = False,
            unknown_sop_class_accepted: bool = True,
            settings: Mapping[str, Any] | None = None,
        ) -> Orthanc:
            folder = root / str(len(started))
            orthanc = Orthanc(folder, modalities, ae_title, dicomweb, unknown_sop_class_accepted, settings)
            started.append(orthanc)
            cleanup.callback(orthanc.stop)
            return orthanc.start()

        yield start


@pytest.fixture
def orthanc(start_orthanc: Callable[..., Orthanc]) -> Orthanc:
    """One running Orthanc that takes C-STORE from anybody on this machine."""
    return start_orthanc()
