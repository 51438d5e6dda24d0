"""How many CT instances a second are acknowledged: Overread beside DCMTK's storescp, same sender, one run.

Overread has each instance on stable storage before it answers, and writes its rows meanwhile; storescp syncs nothing.
Run as ``.venv/bin/python benchmarks/receive.py [--instances N] [--rounds N]``; needs DCMTK. Debian's storescu leaves
Nagle's algorithm on, and then waits for the delayed acknowledgements of every receiver that does not ask for quick
ones, as storescp does not. To measure without that effect, run it as root where the kernel acknowledges at once:

    quick='ip link set lo up && ip route replace local 127.0.0.1 dev lo table local quickack 1'
    unshare --net sh -c "$quick && .venv/bin/python benchmarks/receive.py"

Figures with the machine they were measured on stand in docs/benchmarks.md.
"""

import argparse
import contextlib
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

_START_SECONDS = 60.0
_ASSOCIATIONS = (1, 4)


def main() -> None:
    """Measure every receiver with every number of associations, round by round, and print medians and ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--instances", type=int, default=200)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    receivers = {"storescp --fork": storescp, "overread listen": overread_listen}
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="overread-bench-") as name:
        root = Path(name)
        root.chmod(0o711)
        for turn in range(chosen.rounds):
            for label, receiver in receivers.items():
                for associations in _ASSOCIATIONS:
                    folders = write_instances(
                        root / f"{turn}-{label[:4]}-{associations}", chosen.instances, associations
                    )
                    with receiver(root / f"kept-{turn}-{label[:4]}-{associations}") as port:
                        rate = chosen.instances / seconds_to_send(folders, port)
                    rates.setdefault((label, associations), []).append(rate)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; CT of 525 kB, instances/s"
    )
    for associations in _ASSOCIATIONS:
        peer = statistics.median(rates["storescp --fork", associations])
        for label in receivers:
            median = statistics.median(rates[label, associations])
            print(f"{associations} association(s)  {label:16}  {median:6.0f}  {median / peer:5.2f} x storescp")


def write_instances(folder: Path, count: int, parts: int) -> list[Path]:
    """``count`` CT instances of 512 x 512 x 16 bit, split over ``parts`` folders."""
    noise = np.random.default_rng(1).integers(0, 4096, (512, 512), np.uint16).tobytes()
    folders = []
    for part in range(parts):
        here = folder / str(part)
        here.mkdir(parents=True)
        study, series = generate_uid(), generate_uid()
        for index in range(part, count, parts):
            instance = Dataset()
            instance.SOPClassUID, instance.SOPInstanceUID = CTImageStorage, generate_uid()
            instance.Modality, instance.PatientName, instance.PatientID = "CT", "Bench^Mark", "BENCH"
            instance.StudyInstanceUID, instance.SeriesInstanceUID, instance.InstanceNumber = study, series, index + 1
            instance.SamplesPerPixel, instance.PhotometricInterpretation = 1, "MONOCHROME2"
            instance.Rows = instance.Columns = 512
            instance.BitsAllocated, instance.BitsStored, instance.HighBit = 16, 12, 11
            instance.PixelRepresentation, instance.PixelData = 0, noise
            instance.file_meta = FileMetaDataset()
            instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dcmwrite(here / f"{index:05}.dcm", instance, enforce_file_format=True)
        folders.append(here)
    return folders


def seconds_to_send(folders: list[Path], port: int) -> float:
    """One storescu per folder, all at once; every instance must be acknowledged."""
    command = ["storescu", "-R", "-aec", "OVERREAD", "+sd", "127.0.0.1", str(port)]
    start = time.perf_counter()
    senders = [subprocess.Popen([*command, str(folder)]) for folder in folders]
    statuses = [sender.wait() for sender in senders]
    elapsed = time.perf_counter() - start
    if any(statuses):
        raise SystemExit("storescu failed; the figure would mean nothing")
    return elapsed


@contextlib.contextmanager
def storescp(folder: Path) -> Iterator[int]:
    """DCMTK's receiver, a process per association, writing files and syncing nothing."""
    folder.mkdir()
    port = free_port()
    with _running(["storescp", "--fork", "-od", str(folder), str(port)], dict(os.environ), port):
        yield port


@contextlib.contextmanager
def overread_listen(folder: Path) -> Iterator[int]:
    """Our listener with its embedded PostgreSQL."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OVERREAD_")} | {
        "OVERREAD_CONFIG": os.devnull,
        "OVERREAD_DATA_DIR": str(folder),
        "OVERREAD_LISTENER_PORT": str(port),
    }
    with _running([sys.executable, "-m", "overread", "listen"], environment, port):
        yield port


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
