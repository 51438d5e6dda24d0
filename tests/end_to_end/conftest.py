"""The whole product as a user starts it, with an algorithm small enough to watch."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pydicom
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from storage.errors import DatabaseUnavailable
from storage.postgres.engine import Database, open_database
from storage.postgres.overview import Overview
from tests.peers.free_ports import free_port

_DEADLINE = 120.0

collect_ignore = [] if "OVERREAD_LONG_TESTS" in os.environ else ["test_published_volumes.py"]


@dataclass
class Product:
    """One Overread with its own data folder and port; every role a process of its own, as `overread up` runs them."""

    data_dir: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _database: Database | None = None

    def environment(self) -> dict[str, str]:
        """The variables that make a command use this product's settings."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")}
        return inherited | {
            "OVERREAD_CONFIG": os.devnull,
            "OVERREAD_DATA_DIR": str(self.data_dir),
            "OVERREAD_LISTENER_PORT": str(self.port),
            "OVERREAD_WEB_PORT": "0",
            "OVERREAD_STUDY_QUIET_SECONDS": "1.5",
            "OVERREAD_JOBS_LEASE_SECONDS": "3",
            "OVERREAD_SPOOL_MIN_FREE_BYTES": "0",
            **self.settings,
        }

    def command(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run an `overread` command to its end, with this on its standard input."""
        return subprocess.run(
            [sys.executable, "-m", "overread", *arguments],
            env=self.environment(),
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEADLINE,
        )

    def start(self) -> None:
        """Start `overread up` and wait until it answers on its port."""
        self._start("up")

    @contextmanager
    def running(self, role: str) -> Iterator[None]:
        """Only one role, for as long as the block."""
        self._start(role)
        try:
            yield
        finally:
            assert self.stop() == 0

    def _start(self, command: str) -> None:
        log = (self.data_dir.parent / "log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "overread", command], env=self.environment(), stdout=log, stderr=log
        )
        self.wait_until(self._answers, "the listener answers")

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> int:
        """End it as an operator would, and return the exit status."""
        if self._database is not None:
            self._database.close()
            self._database = None
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(_DEADLINE)
        self._process = None
        return status

    def role(self, name: str) -> int | None:
        """The process id of a role as it is now, found among the children of `overread up`."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task")
        for listing in children.glob("*/children"):
            for child in listing.read_text().split():
                try:
                    command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                except FileNotFoundError:
                    continue
                if name.encode() in command:
                    return int(child)
        return None

    def kill(self, name: str) -> bool:
        """SIGKILL a role; False when it is just being started again."""
        process_id = self.role(name)
        if process_id is None:
            return False
        try:
            os.kill(process_id, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def database_url(self) -> str:
        """The URL of the running embedded database."""
        return (self.data_dir / "postgres" / "url").read_text()

    def overview(self) -> Overview:
        """What `overread status` reads, over a connection that is kept: whoever waits looks ten times a second."""
        if self._database is None:
            self._database = open_database(self.database_url(), "tests")
        return Overview(self._database)

    def status(self) -> dict[str, Any]:
        """What `overread status --json` prints, without starting a process each time."""
        return self.overview().status()

    def study(self, study_instance_uid: str) -> dict[str, Any] | None:
        """One study's line of the status."""
        return next((s for s in self.status()["studies"] if s["study_instance_uid"] == study_instance_uid), None)

    def wait_for_study(self, study_instance_uid: str, *states: str) -> dict[str, Any]:
        """The study's line once it is in one of the states."""
        self.wait_until(
            lambda: (self.study(study_instance_uid) or {}).get("state") in states,
            f"study is {' or '.join(states)}",
        )
        found = self.study(study_instance_uid)
        assert found is not None
        return found

    def silent_instances(self) -> list[Any]:
        """Acknowledged instances that are nowhere accounted for; the promise is that there are none."""
        return list(self.overview().no_silent_state())

    def explain(self, uid: str) -> str:
        """The sentences of `overread explain`."""
        done = self.command("explain", uid)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Look again until it holds; a deadline turns into a failure that shows the log."""
        deadline = time.monotonic() + _DEADLINE
        while not _holds_now(holds):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {_DEADLINE:.0f} s: {what}\n{self.log()}")
            time.sleep(0.1)

    def log(self) -> str:
        """The end of what the roles logged."""
        path = self.data_dir.parent / "log"
        return path.read_text()[-8000:] if path.exists() else ""


def _holds_now(holds: Callable[[], bool]) -> bool:
    """Whether it holds; while the database is away, it does not yet."""
    try:
        return holds()
    except DatabaseUnavailable:
        return False


@pytest.fixture
def product(request: pytest.FixtureRequest) -> Iterator[Product]:
    """A product that is not yet started; ends with the test."""
    folder = Path(tempfile.mkdtemp(prefix="overread-e2e-"))
    folder.chmod(0o711)
    product = Product(folder / "data", port=free_port())
    try:
        yield product
    finally:
        try:
            product.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def destination(port: int, ae_title: str = "ORTHANC", name: str = "pacs", **further: object) -> dict[str, str]:
    """The setting that sends results to a DICOM node on this machine."""
    place = {"name": name, "ae_title": ae_title, "host": "127.0.0.1", "port": port, **further}
    return {"OVERREAD_DESTINATIONS": json.dumps([place])}


_THRESHOLD = 1000.0


@pytest.fixture(scope="session")
def bright_voxels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An algorithm folder whose network marks the voxels of an MR volume above 1000.

    It convolves a few thousand times with a kernel that changes nothing, so that there is time to be killed in.
    """
    folder = tmp_path_factory.mktemp("bright-voxels")
    model = _slow_threshold(repetitions=int(os.environ.get("TEST_NETWORK_LAYERS", "400")))
    (folder / "model.onnx").write_bytes(model)
    (folder / "card.md").write_text("# Bright voxels\n\nFor tests: marks voxels above a threshold. Means nothing.\n")
    (folder / "algorithm.yaml").write_text(yaml.safe_dump(_manifest(hashlib.sha256(model).hexdigest())))
    return folder


def _slow_threshold(repetitions: int) -> bytes:
    kernel = np.zeros((1, 1, 3, 3, 3), np.float32)
    kernel[0, 0, 1, 1, 1] = 1.0
    weights = [
        numpy_helper.from_array(kernel, "identity"),
        numpy_helper.from_array(np.float32(_THRESHOLD), "threshold"),
    ]
    nodes, last = [], "input"
    for index in range(repetitions):
        nodes.append(helper.make_node("Conv", [last, "identity"], [f"same{index}"], pads=[1] * 6))
        last = f"same{index}"
    nodes += [
        helper.make_node("Sub", [last, "threshold"], ["above"]),
        helper.make_node("Sigmoid", ["above"], ["output"]),
    ]
    shape = [1, 1, "d", "h", "w"]
    graph = helper.make_graph(
        nodes,
        "bright-voxels",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _manifest(sha256: str) -> dict[str, Any]:
    def code(value: str, meaning: str) -> dict[str, str]:
        return {"value": value, "scheme": "SCT", "meaning": meaning}

    return {
        "identity": {
            "name": "bright-voxels",
            "version": "1.0",
            "manufacturer": "Overread tests",
            "licence": "Apache-2.0",
            "intended_use": "Testing.",
            "use": "research",
        },
        "artifact": {"file": "model.onnx", "sha256": sha256},
        "input": {"modalities": ["MR"], "min_slices": 3},
        "outputs": {
            "segments": [
                {
                    "number": 1,
                    "channel": 0,
                    "label": "Brain",
                    "category": code("123037004", "Anatomical Structure"),
                    "type": code("12738006", "Brain"),
                    "site": code("12738006", "Brain"),
                    "rgb": [255, 200, 0],
                }
            ],
            "measurements": ["volume", "mean_intensity"],
        },
    }


@dataclass
class Series:
    """A small MR series on disk."""

    study_instance_uid: str
    series_instance_uid: str
    paths: list[Path]

    @property
    def uids(self) -> set[str]:
        """Its SOP Instance UIDs."""
        return {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in self.paths}


def write_series(folder: Path, *, slices: int = 12, size: int = 64, **attributes: Any) -> Series:
    """An axial MR series with a bright ball in the middle; ``attributes`` replace those of every instance."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    z, y, x = np.mgrid[:slices, :size, :size]
    distance = np.hypot(np.hypot((z - slices / 2) * 4, y - size / 2), x - size / 2)
    voxels = np.where(distance < size / 4, 2000, 100).astype(np.uint16)
    paths = []
    for index in range(slices):
        instance = _mr_instance(index, voxels[index])
        instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.FrameOfReferenceUID = study, series, frame
        for keyword, value in attributes.items():
            setattr(instance, keyword, value)
        path = folder / f"{index:04}.dcm"
        dcmwrite(path, instance, enforce_file_format=True)
        paths.append(path)
    return Series(attributes.get("StudyInstanceUID", study), attributes.get("SeriesInstanceUID", series), paths)


def _mr_instance(index: int, pixels: np.ndarray) -> Dataset:
    instance = Dataset()
    instance.SpecificCharacterSet = "ISO_IR 192"
    instance.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
    instance.SOPClassUID = MRImageStorage
    instance.SOPInstanceUID = generate_uid()
    instance.StudyDate = instance.SeriesDate = instance.AcquisitionDate = instance.ContentDate = "20260102"
    instance.StudyTime = instance.SeriesTime = instance.AcquisitionTime = instance.ContentTime = "101112"
    instance.AccessionNumber = "A1"
    instance.Modality = "MR"
    instance.Manufacturer = "Phantom"
    instance.ReferringPhysicianName = ""
    instance.PatientName = "Phantom^Test"
    instance.PatientID = "PHANTOM-1"
    instance.PatientBirthDate = ""
    instance.PatientSex = "O"
    instance.BodyPartExamined = "HEAD"
    instance.ScanningSequence, instance.SequenceVariant, instance.ScanOptions = "SE", "NONE", ""
    instance.MRAcquisitionType, instance.EchoTime, instance.RepetitionTime, instance.EchoTrainLength = "2D", 10, 500, 1
    instance.StudyID, instance.SeriesNumber, instance.InstanceNumber = "1", 3, index + 1
    instance.SeriesDescription = "Phantom"
    instance.ImagePositionPatient = [-32.0, -32.0, 4.0 * index]
    instance.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    instance.PixelSpacing, instance.SliceThickness = [1.0, 1.0], 4.0
    instance.PositionReferenceIndicator = ""
    instance.SamplesPerPixel, instance.PhotometricInterpretation = 1, "MONOCHROME2"
    instance.Rows, instance.Columns = pixels.shape
    instance.BitsAllocated, instance.BitsStored, instance.HighBit, instance.PixelRepresentation = 16, 16, 15, 0
    instance.PixelData = pixels.tobytes()
    instance.file_meta = FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return instance
