"""One contender, once, in this process: writes its output, prints seconds and peak memory.

Run by bench_inference.py as ``contender.py WHO NETWORK FOLDER THREADS``. Loading, and one batch of windows to warm up,
are not timed; memory is the highest of the process above what it was with its libraries and the volume loaded, and on
a GPU what the process holds of it at its end.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]

import numpy as np  # noqa: E402

from tests.peers.gpu_memory import free_bytes  # noqa: E402

Predict = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Predict, tell, keep the output for comparison."""
    who, network, folder, threads = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    values = np.load(folder / "volume.npy")
    load = _torch if who.startswith("MONAI") else _ours
    prepare = load(who, network, folder, threads)
    free = free_bytes() if "CUDA" in who else 0
    before = _reset_peak()
    predict, window = prepare()
    predict(np.ascontiguousarray(values[: 2 * window, :window, :window]))
    started, busy = time.perf_counter(), time.process_time()
    output = predict(values)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    peak = _peak() - before
    held = free - free_bytes() if "CUDA" in who else 0
    np.save(folder / f"{who}.npy", output)
    print(json.dumps({"seconds": seconds, "cpu_seconds": busy, "peak_mib": peak / 1024, "device_mib": held / 2**20}))


def _ours(who: str, network: str, folder: Path, threads: int) -> Callable[[], tuple[Predict, int]]:
    import onnxruntime

    from inference.algorithms.engine import Engine
    from inference.algorithms.folder import verify
    from inference.algorithms.sliding_window import predict_volume
    from inference.settings import WorkerSettings

    onnxruntime.disable_telemetry_events()
    verified = verify(folder / "algorithm")
    device = {"ours, OpenVINO": "openvino", "ours, CUDA": "cuda"}.get(who, "cpu")

    def prepare() -> tuple[Predict, int]:
        engine = Engine(verified, WorkerSettings(device=device, threads=threads))
        run = verified.manifest.inference
        return lambda values: predict_volume(engine, values, run), run.window[0]

    return prepare


def _torch(who: str, network: str, folder: Path, threads: int) -> Callable[[], tuple[Predict, int]]:
    import torch
    from monai.inferers import sliding_window_inference

    sys.path[:0] = [str(Path(__file__).parents[1])]
    from windows.networks import CASES, batch_of, torch_network

    torch.set_num_threads(threads)
    # The layout that torch's documentation recommends for convolutions.
    layout = torch.channels_last_3d if who == "MONAI, channels last" else torch.contiguous_format
    device = torch.device("cuda" if "CUDA" in who else "cpu")
    torch.backends.cudnn.allow_tf32 = "TF32" in who  # torch's own default is to permit it

    def prepare() -> tuple[Predict, int]:
        model = torch_network(network).to(device, memory_format=layout)
        window, batch = CASES[network].window, batch_of(folder / "algorithm")

        def predict(values: np.ndarray) -> np.ndarray:
            given = torch.from_numpy(values)[None, None].to(device, memory_format=layout)
            with torch.inference_mode():
                out = sliding_window_inference(given, (window,) * 3, batch, model, overlap=0.5, mode="gaussian")
                return out[0].cpu().numpy()

        return predict, window

    return prepare


def _reset_peak() -> int:
    """Begin to count anew, and return what the process holds now, in KiB."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    main()
