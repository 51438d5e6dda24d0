"""Build the worker's image without an engine and look into it; `scripts/worker-image` runs this."""

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.peers.container import Image, built_image

_ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0
# The driver's library comes with the host; those of TensorRT belong to a provider that is never asked for.
_FROM_ELSEWHERE = {"libcuda.so.1", "libnvinfer.so.10", "libnvonnxparser.so.10"}
# Every library that a CUDA provider asks for is looked for, under the image's own search path.
_UNRESOLVED = """
import pathlib, subprocess, sysconfig
libraries = (pathlib.Path(sysconfig.get_path("purelib")) / "onnxruntime").rglob("*.so*")
told = "".join(subprocess.run(["ldd", str(each)], capture_output=True, text=True).stdout for each in libraries)
print(*sorted({line.split()[0] for line in told.splitlines() if "not found" in line}))
"""


def main(device: str) -> int:
    """Build, show, start the role; 0 when it lives and no library is missing that the image has to bring."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as data:
        os.chown(data, 10001, 10001)
        dockerfile = _ROOT / "docker" / "worker.Dockerfile"
        with built_image(dockerfile, _ROOT, Path(folder), {"DEVICE": device}) as image:
            image.prepare(Path(data))
            print(image.run("du", "-sh", "/opt/overread").stdout.strip())
            providers = "import onnxruntime; print(onnxruntime.get_available_providers())"
            print(image.run("python", "-c", providers).stdout.strip())
            unresolved = image.run("python", "-c", _UNRESOLVED).stdout.split()
            print(f"libraries that are not found: {', '.join(unresolved) or 'none'}")
            lives = _lives(image)
            print(f"`overread work` {'lives' if lives else 'does not live'}")
    return 0 if lives and set(unresolved) <= _FROM_ELSEWHERE else 1


def _lives(image: Image) -> bool:
    """Whether the role starts without its database, is found healthy, and ends with 0."""
    environment = {"OVERREAD_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "OVERREAD_WORKER_DEVICE": "cpu"}
    with tempfile.NamedTemporaryFile() as log:
        worker = image.start("overread", "work", environment=environment, log=Path(log.name))
        deadline = time.monotonic() + _START_SECONDS
        while image.run(*image.stage.health_check()).returncode != 0 and time.monotonic() < deadline:
            time.sleep(0.5)
        healthy = image.run(*image.stage.health_check()).returncode == 0
        worker.terminate()
        return worker.wait(_START_SECONDS) == 0 and healthy


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
