"""Execution providers of ONNX Runtime: which to ask for, and how each is told to keep to the manifest's precision."""

from collections.abc import Sequence
from pathlib import Path

from inference.errors import DeviceUnavailable

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
ON_GPU = (CUDA, TENSORRT)  # what has a memory of its own

# By device of the settings: the provider that must be there, and those that take what it cannot run.
# remote computes here what it probes a server with.
_DEMANDED = {
    "cpu": [CPU],
    "cuda": [CUDA, CPU],
    "openvino": [OPENVINO, CPU],
    "remote": [CPU],
    "tensorrt": [TENSORRT, CUDA, CPU],
}
_BEST_FIRST = (CUDA, OPENVINO)  # of auto; TensorRT compiles for minutes, so it is only taken when asked for

Options = dict[str, str]


def wanted_providers(device: str, offered: Sequence[str]) -> list[str]:
    """The execution providers to ask for, best first.

    ``device`` is auto, or the name of one, where ``cuda:1`` and ``tensorrt:1`` name the second GPU.

    Raises:
        DeviceUnavailable: one is asked for and the installed runtime does not offer it.
    """
    if device == "auto":
        best = next((provider for provider in _BEST_FIRST if provider in offered), None)
        return [best, CPU] if best else [CPU]
    demanded = _DEMANDED[device.partition(":")[0]]
    if demanded[0] not in offered:
        raise DeviceUnavailable
    return [provider for provider in demanded if provider in offered]


def provider_options(provider: str, device: str, precision: str, threads: int, cache: Path | None) -> Options:
    """What a provider is told, so that it computes in float32 unless ``precision`` of the manifest permits less.

    ``cache`` is a folder for what the provider compiles, one per artifact; without one it compiles at each start.
    """
    gpu = device.partition(":")[2] or "0"
    if provider == CUDA:
        # TensorFloat-32 keeps 10 bits of 23: faster, and another result than the CPU's.
        return {"device_id": gpu, "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}
    if provider == TENSORRT:
        return _tensorrt(gpu, precision, cache)
    if provider == OPENVINO:
        kept = {"cache_dir": str(cache)} if cache else {}
        told = {"device_type": "CPU", "precision": "FP32", "num_of_threads": str(threads), "num_streams": "1"}
        return told | kept
    return {}


def _tensorrt(gpu: str, precision: str, cache: Path | None) -> Options:
    options = {"device_id": gpu, "trt_layer_norm_fp32_fallback": "1"}
    if precision == "float16":
        options["trt_fp16_enable"] = "1"
    elif precision == "bfloat16":
        options["trt_bf16_enable"] = "1"
    elif precision == "int8":
        options["trt_int8_enable"] = "1"  # with the scales that stand in the network
    if cache:
        options |= {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(cache),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(cache),
        }
    return options
