"""How many threads there are, and what each execution provider is asked and told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.algorithms.machine import usable_cores
from inference.algorithms.providers import CPU, CUDA, OPENVINO, TENSORRT, provider_options, wanted_providers
from inference.algorithms.session import Placement, Session
from inference.errors import DeviceUnavailable
from inference.resident_algorithms import compiled_networks
from inference.settings import WorkerSettings
from storage.objects.layout import COMPILED_NETWORKS
from tests.peers.tiny_algorithm import bright_network, write_tiny_algorithm

ALLOWED = len(os.sched_getaffinity(0))


def _group(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def _own(tmp_path: Path, lines: str) -> Path:
    (tmp_path / "own").write_text(lines)
    return tmp_path / "own"


@pytest.mark.parametrize(
    ("limit", "cores"), [("100000 100000", 1), ("150000 100000", 2), ("max 100000", 64), ("10000 100000", 1)]
)
def test_a_container_s_share_of_time_bounds_the_threads(tmp_path: Path, limit: str, cores: int) -> None:
    """Control groups, version 2: the quota over the period, rounded up; max bounds nothing."""
    groups = _group(tmp_path / "cgroup", cpu__max=limit)

    assert usable_cores(groups, _own(tmp_path, "0::/\n")) == min(ALLOWED, cores)


def test_a_group_above_bounds_too(tmp_path: Path) -> None:
    """A pod's limit holds for its containers, which may have none of their own."""
    groups = _group(tmp_path / "cgroup")
    _group(groups / "pod", cpu__max="100000 100000")
    _group(groups / "pod" / "container", cpu__max="max 100000")

    assert usable_cores(groups, _own(tmp_path, "0::/pod/container\n")) == 1


def test_the_first_version_of_groups_is_read_too(tmp_path: Path) -> None:
    """cpu.cfs_quota_us over cpu.cfs_period_us; -1 bounds nothing."""
    for quota, cores in (("100000", 1), ("-1", ALLOWED)):
        groups = _group(tmp_path / quota)
        _group(groups / "cpu" / "job", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")
        assert usable_cores(groups, _own(tmp_path, "3:cpuset:/\n2:cpu,cpuacct:/job\n")) == cores


def test_the_affinity_bounds_the_threads_where_no_group_does(tmp_path: Path) -> None:
    """A process that may run on some cores only has as many threads."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores(tmp_path, tmp_path / "absent") == 1
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("device", "offered", "wanted"),
    [
        ("auto", [TENSORRT, CUDA, CPU], [CUDA, CPU]),
        ("auto", [OPENVINO, CPU], [OPENVINO, CPU]),
        ("auto", [CPU], [CPU]),
        ("cpu", [TENSORRT, CUDA, OPENVINO, CPU], [CPU]),
        ("cuda:1", [TENSORRT, CUDA, CPU], [CUDA, CPU]),
        ("tensorrt", [TENSORRT, CUDA, CPU], [TENSORRT, CUDA, CPU]),
        ("openvino", [OPENVINO, CPU], [OPENVINO, CPU]),
    ],
)
def test_a_device_is_a_list_of_providers(device: str, offered: list[str], wanted: list[str]) -> None:
    """auto takes what the runtime was installed for, but TensorRT only when asked; the CPU takes what is left."""
    assert wanted_providers(device, offered) == wanted


@pytest.mark.parametrize(
    ("device", "offered"), [("cuda", [OPENVINO, CPU]), ("tensorrt", [CUDA, CPU]), ("openvino", [CPU])]
)
def test_a_device_that_is_demanded_and_not_there_is_missed(device: str, offered: list[str]) -> None:
    """Nothing else is taken in its place."""
    with pytest.raises(DeviceUnavailable):
        wanted_providers(device, offered)


def test_no_provider_lowers_the_precision_by_itself() -> None:
    """float32 means float32: no TensorFloat-32 on CUDA, no half precision of TensorRT."""
    assert provider_options(CUDA, "cuda:1", "float32", 2, None)["use_tf32"] == "0"
    assert provider_options(CUDA, "cuda:1", "float32", 2, None)["device_id"] == "1"
    lowered = {"trt_fp16_enable", "trt_bf16_enable", "trt_int8_enable"}
    permitted = {
        precision: lowered & provider_options(TENSORRT, "tensorrt", precision, 2, None).keys()
        for precision in ("float32", "float16", "bfloat16", "int8")
    }
    assert permitted == {
        "float32": set(),
        "float16": {"trt_fp16_enable"},
        "bfloat16": {"trt_bf16_enable"},
        "int8": {"trt_int8_enable"},
    }


def test_what_was_compiled_is_kept_by_digest(tmp_path: Path) -> None:
    """TensorRT and OpenVINO are given the folder; the CPU, which compiles nothing, makes none."""
    assert provider_options(TENSORRT, "tensorrt", "float32", 2, tmp_path)["trt_engine_cache_path"] == str(tmp_path)
    assert provider_options(OPENVINO, "openvino", "float32", 3, tmp_path) == {
        "device_type": "CPU",
        "precision": "FP32",
        "num_of_threads": "3",
        "num_streams": "1",
        "cache_dir": str(tmp_path),
    }
    verified = verify(write_tiny_algorithm(tmp_path / "algorithm"))
    assert Engine(verified, WorkerSettings(device="cpu"), tmp_path / "compiled").provider == CPU
    assert not (tmp_path / "compiled").exists()


def test_what_was_compiled_lies_under_the_data_folder() -> None:
    """Beside the algorithms, not in them: their folders hold what was added and nothing else."""
    assert compiled_networks(Path("/data/algorithms/tiny/1.0-abc")) == Path("/data") / COMPILED_NETWORKS


def test_a_session_never_moves_to_another_provider_by_itself() -> None:
    """ONNX Runtime's own fallback, which would run on the CPU what the result says ran on the GPU, is off."""
    session = Session(bright_network(), Placement("cpu", 1), "tiny")

    assert session._session._enable_fallback is False


_LOADING = """
import resource
from pathlib import Path
import numpy as np
import onnxruntime
from onnx import helper, numpy_helper
from inference.algorithms.session import Placement, Session
from inference.errors import OutOfMemory
from tests.peers.tiny_algorithm import network
weights = numpy_helper.from_array(np.ones(2**26, np.float32), "weights")
nodes = [
    helper.make_node("ReduceMean", ["weights"], ["mean"], keepdims=0),
    helper.make_node("Add", ["x", "mean"], ["y"]),
]
content = network(nodes, [weights])
held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
most = int(held.split()[1]) * 1024 + 64 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (most, most))
try:
    Session(content, Placement("cpu", 1), "The tiny one")
except OutOfMemory as error:
    print(error)
"""


def test_a_network_that_does_not_fit_into_memory_is_not_called_faulty() -> None:
    """256 MiB of weights where 64 are left are told as a lack of memory, which is mended by memory."""
    told = subprocess.run([sys.executable, "-c", _LOADING], capture_output=True, text=True, check=True).stdout

    assert "The tiny one cannot be loaded into the memory" in told
    assert "memory_gib" in told
