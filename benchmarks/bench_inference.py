"""How long a volume takes window by window, and how much memory, ours beside MONAI's sliding window in torch.

Same weights, same threads, same windows (96 or 128 voxels per axis, half overlapping, Gaussian). Each contender has a
process of its own, in turns; outputs are compared voxel by voxel. Run as

    .venv/bin/python benchmarks/bench_inference.py [--networks NAME …] [--rounds N] [--threads N] [--json FILE]

``--openvino-python PYTHON`` adds ours on OpenVINO, in an environment that was made with ``pip install
"overread[openvino]"``: its package takes the place of ``onnxruntime``, so both cannot be in one. ``--cuda`` runs both
on a GPU instead, torch with and without TensorFloat-32, which ours does not use. ``--batch`` is the number of windows
at a time. Figures with their machine stand in docs/benchmarks.md.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1])]

import numpy as np  # noqa: E402
from windows.networks import CASES, volume, write_folder  # noqa: E402

_CONTENDER = Path(__file__).with_name("windows") / "contender.py"
_ON_CPU = ("MONAI", "MONAI, channels last", "ours, CPU")
_ON_GPU = ("MONAI, CUDA", "MONAI, CUDA TF32", "ours, CUDA")
_MOST_APART = 1e-3  # of outputs, relative to their range; float32 in another order leaves less


def main() -> int:
    """Measure, print a table, write JSON if asked; 1 when an output is not the same as MONAI's."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--networks", nargs="+", default=list(CASES), choices=list(CASES))
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options.add_argument("--side", type=int, help="voxels per axis of the volume; each network has its own")
    options.add_argument("--batch", type=int, default=1, help="windows at a time")
    options.add_argument("--openvino-python", type=Path)
    options.add_argument("--cuda", action="store_true")
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    figures = []
    for network in asked.networks:
        with tempfile.TemporaryDirectory(prefix="overread-bench-") as name:
            figures += _measured(network, asked, Path(name))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1))
    return 0 if all(figure["apart"] <= _MOST_APART for figure in figures if "TF32" not in figure["who"]) else 1


def _measured(network: str, asked: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    side = asked.side or CASES[network].side
    np.save(folder / "volume.npy", volume(side))
    write_folder(network, folder / "algorithm", asked.batch)
    contenders = _ON_GPU if asked.cuda else _ON_CPU
    pythons = {who: Path(sys.executable) for who in contenders}
    if asked.openvino_python:
        pythons["ours, OpenVINO"] = asked.openvino_python
    runs: dict[str, list[dict[str, float]]] = {who: [] for who in pythons}
    for _ in range(asked.rounds):
        for who, python in pythons.items():
            runs[who].append(_run(python, who, network, folder, asked.threads))
    window = CASES[network].window
    told = f"windows of {window} in {side} voxels per axis, {asked.batch} at a time, {asked.threads} threads"
    print(f"{network}: {told}", flush=True)
    theirs = np.load(folder / f"{contenders[0]}.npy")
    peer = statistics.median(one["seconds"] for one in runs[contenders[0]])
    figures = []
    for who, ones in runs.items():
        ours = np.load(folder / f"{who}.npy")
        seconds = statistics.median(one["seconds"] for one in ones)
        difference = float(np.abs(ours - theirs).max())
        figure = {
            "network": network,
            "who": who,
            "side": side,
            "threads": asked.threads,
            "batch": asked.batch,
            "seconds": round(seconds, 3),
            "cpu_seconds": round(statistics.median(one["cpu_seconds"] for one in ones), 2),
            "of_monai": round(peer / seconds, 2),
            "peak_mib": round(statistics.median(one["peak_mib"] for one in ones)),
            "device_mib": round(statistics.median(one["device_mib"] for one in ones)),
            "largest_difference": difference,
            "apart": difference / float(np.ptp(theirs)),
        }
        figures.append(figure)
        _print(figure, float(np.ptp(theirs)))
    return figures


def _print(figure: dict[str, Any], extent: float) -> None:
    times = f"{figure['seconds']:8.2f} s ({figure['cpu_seconds']:.2f} of CPU)  {figure['of_monai']:5.2f} x MONAI"
    difference = f"largest difference {figure['largest_difference']:.1e} of a range of {extent:.3g}"
    held = f"{figure['peak_mib']:6d} MiB" + (f" + {figure['device_mib']} of the GPU" if figure["device_mib"] else "")
    print(f"  {figure['who']:22}{times}  {held}  {difference}", flush=True)


def _run(python: Path, who: str, network: str, folder: Path, threads: int) -> dict[str, float]:
    command = [str(python), str(_CONTENDER), who, network, str(folder), str(threads)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    sys.exit(main())
