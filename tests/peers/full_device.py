"""A GPU whose memory others have taken, in ONNX Runtime's own words; what it computes, the CPU computes.

``python -m tests.peers.full_device`` is a model child that has only such a GPU.
"""

from collections.abc import Sequence
from typing import Any

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from inference.algorithms.providers import CPU, CUDA
from inference.model_child import child

# As they were reported of version 1.19 and later, the host's name left out.
ARENA = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "Name:'/stem/Conv' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void* "
    "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*, bool, "
    "onnxruntime::WaitNotificationFn) Failed to allocate memory for requested buffer of size 939524096"
)
CUDA_MALLOC = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: /onnxruntime_src/onnxruntime/core/"
    "providers/cuda/cuda_call.cc:114 CUDA failure 2: out of memory ; GPU=0 ; hostname=host ; file=/onnxruntime_src/"
    "onnxruntime/core/providers/cuda/cuda_allocator.cc ; line=47 ; expr=cudaMalloc((void**)&p, size);"
)
CUBLAS = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: /onnxruntime_src/onnxruntime/core/"
    "providers/cuda/cuda_call.cc:114 CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; hostname=host ; file="
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider.cc ; line=164 ; "
    "expr=cublasCreate(&cublas_handle_);"
)
NO_DRIVER = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: /onnxruntime_src/onnxruntime/core/"
    "providers/cuda/cuda_call.cc:114 CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; "
    "GPU=-1 ; hostname=host ; file=/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider.cc ; "
    "line=276 ; expr=cudaSetDevice(info_.device_id);"
)
_REAL = onnxruntime.InferenceSession


class FullDevice:
    """Stands for ``onnxruntime.InferenceSession``: on CUDA, batches of more than ``fits`` fail with these words.

    ``loads`` are the words with which a session cannot even be built; ``asked`` are the batches it was given.
    """

    def __init__(self, fits: int = 0, words: str = ARENA, loads: str = "") -> None:
        self.fits, self.words, self.loads = fits, words, loads
        self.asked: list[int] = []

    def __call__(self, model: bytes, options: Any, providers: Sequence[str], **told: Any) -> Any:
        """Build a session."""
        if providers[0] != CUDA:
            return _REAL(model, options, providers=providers, **told)
        if self.loads:
            raise RuntimeException(self.loads)
        return _OnDevice(self, _REAL(model, options, providers=[CPU]))


class _OnDevice:
    def __init__(self, device: FullDevice, session: Any) -> None:
        self._device, self._session = device, session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get_providers(self) -> list[str]:
        return [CUDA, CPU]

    def io_binding(self) -> Any:
        binding = self._session.io_binding()
        bind = binding.bind_cpu_input

        def noted(name: str, array: Any) -> None:
            self._device.asked.append(len(array))
            bind(name, array)

        binding.bind_cpu_input = noted
        return binding

    def run_with_iobinding(self, binding: Any) -> None:
        if self._device.asked[-1] > self._device.fits:
            raise RuntimeError(f"Error in execution: {self._device.words}")  # with bound arrays it is this class
        self._session.run_with_iobinding(binding)


def offered() -> list[str]:
    """What a runtime with CUDA offers."""
    return [CUDA, CPU]


if __name__ == "__main__":
    onnxruntime.get_available_providers = offered
    onnxruntime.InferenceSession = FullDevice()
    child.main()
