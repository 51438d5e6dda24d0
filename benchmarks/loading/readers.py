"""One reader makes one series a volume of float32, once or more; prints seconds, a digest and peak memory as JSON.

Run by bench_loading.py as ``python -m benchmarks.loading.readers READER FOLDER ROUNDS``. Ours is given what was
recorded at import, as a worker is; the recording is timed apart. Each reader orders the slices itself.
"""

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread

from inference.decoding.pool import shared as decoders

Volume = NDArray[np.float32]


def main() -> int:
    """Read."""
    reader, folder, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    prepared, recorded = READERS[reader](folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds: list[float] = []
    processor: list[float] = []
    told: dict[str, object] = {"reader": reader, "recording": recorded}
    try:
        for _ in range(rounds):
            began, spent = time.perf_counter(), _processor_seconds()
            volume = prepared()
            seconds.append(time.perf_counter() - began)
            processor.append(_processor_seconds() - spent)
    except Exception as error:  # noqa: BLE001 - readers refuse what they cannot decode in many ways
        print(json.dumps(told | {"failed": type(error).__name__}))
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    decoders().close()
    digest = hashlib.sha256(np.ascontiguousarray(volume)).hexdigest()
    told |= {
        "seconds": seconds,
        "processor": processor,
        "digest": digest,
        "peak_mib": peak // 1024,
        "shape": volume.shape,
    }
    print(json.dumps(told | {"mean": float(volume.mean(dtype=np.float64))}))
    return 0


def _processor_seconds() -> float:
    """Of this process and of its children, those that ended and those that live, the time that the processor worked."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ticks = 0
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            fields = (Path("/proc") / child / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime and stime, see proc(5)
    return sum(one.ru_utime + one.ru_stime for one in used) + ticks / os.sysconf("SC_CLK_TCK")


def _ours(folder: Path) -> tuple[Callable[[], Volume], float]:
    from inference.imaging.series_reader import read_headers
    from inference.imaging.volume import load_volume
    from storage.domain.image_record import image_record
    from storage.objects.part10 import data_set_offset
    from tests.peers.synthetic_series import as_kept

    paths = sorted(folder.glob("*.dcm"))
    instances = [as_kept(dcmread(path, stop_before_pixels=True), path) for path in paths]
    contents = [path.read_bytes() for path in paths]
    began = time.perf_counter()
    for content, instance in zip(contents, instances, strict=True):
        image_record(memoryview(content)[data_set_offset(content) :], instance.header.transfer_syntax_uid)
    recorded = time.perf_counter() - began
    del contents
    by_uid = {one.header.sop_instance_uid: one for one in instances}

    def read() -> Volume:
        return load_volume(by_uid, read_headers(instances)).values

    return read, recorded


def _pydicom(folder: Path) -> tuple[Callable[[], Volume], float]:
    def read() -> Volume:
        slices = [dcmread(path) for path in sorted(folder.glob("*.dcm"))]
        slices.sort(key=lambda one: float(one.ImagePositionPatient[2]))
        volume = np.empty((len(slices), slices[0].Rows, slices[0].Columns), np.float32)
        for index, one in enumerate(slices):
            volume[index] = one.pixel_array * np.float32(one.RescaleSlope) + np.float32(one.RescaleIntercept)
        return volume

    return read, 0.0


def _simpleitk(folder: Path) -> tuple[Callable[[], Volume], float]:
    import SimpleITK

    def read() -> Volume:
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
        volume: Volume = SimpleITK.GetArrayFromImage(reader.Execute()).astype(np.float32)
        return volume

    return read, 0.0


def _highdicom(folder: Path) -> tuple[Callable[[], Volume], float]:
    from highdicom import imread
    from highdicom.image import get_volume_from_series

    def read() -> Volume:
        found = get_volume_from_series([imread(path) for path in sorted(folder.glob("*.dcm"))], dtype=np.float32)
        values: Volume = found.array
        ascending = found.affine[2, 0] > 0
        return values if ascending else values[::-1]

    return read, 0.0


READERS: dict[str, Callable[[Path], tuple[Callable[[], Volume], float]]] = {
    "ours": _ours,
    "pydicom": _pydicom,
    "SimpleITK": _simpleitk,
    "highdicom": _highdicom,
}

if __name__ == "__main__":
    sys.exit(main())
