"""One ONNX Runtime session for one network: arrays in, arrays out, failures with a name."""

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inference.algorithms.machine import usable_cores
from inference.algorithms.providers import CPU, ON_GPU, Options, provider_options, wanted_providers
from inference.errors import (
    DeviceFull,
    DeviceUnavailable,
    InvalidAlgorithm,
    OutOfMemory,
    PredictionFailed,
    VaryingOutput,
)

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Array = NDArray[Any]
_NO_MAIN_MEMORY = ("bad_alloc", "bad allocation")
# Of the runtime's arenas, of CUDA and TensorRT, of cuBLAS and of cuDNN.
_NO_MEMORY = ("allocate memory", "out of memory", "alloc_failed", "allocation_failed", *_NO_MAIN_MEMORY)
_OF_ANOTHER_SIZE = "computed output shape"  # where an array was bound that the output does not fit into
# Of a node the file may say anything, so only what looks like a name of an exporter's is repeated.
_NODE = re.compile(r"while running (\w{1,40}) node\. Name:'([\w./:-]{0,80})'", re.ASCII)
_FLOAT32: np.dtype[Any] = np.dtype(np.float32)
_TYPES: dict[str, np.dtype[Any]] = {"tensor(float16)": np.dtype(np.float16)}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a session runs: the settings' device and threads, the manifest's precision, a cache or none."""

    device: str
    threads: int
    precision: str = "float32"
    cache: Path | None = None


class Session:
    """A resident session, built from bytes that were checked before.

    Inputs and outputs are bound to arrays of ours, so that the runtime neither copies the input nor allocates an output
    whose size is known from the run before. The provider is the one that really runs: a session that fails on it
    fails, and is not quietly moved to another.
    """

    def __init__(self, model: bytes, placement: Placement, title: str) -> None:
        """Build the session.

        Raises:
            InvalidAlgorithm: the runtime does not accept the network.
            OutOfMemory, DeviceFull: there is not memory enough for it, here or on the device.
            DeviceUnavailable: the device asked for is not there.
        """
        # Imported here: only the worker may load it, and it takes a second.
        import onnxruntime

        wanted = wanted_providers(placement.device, onnxruntime.get_available_providers())
        if wanted[0] in ON_GPU:
            _load_gpu_libraries()
        threads = placement.threads or usable_cores()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.use_deterministic_compute = True
        # The plan for one block would be held beside the arena: half as much memory again, and nothing faster.
        options.enable_mem_pattern = False
        options.log_severity_level = 4  # its own lines say nothing that our errors do not
        if placement.cache is not None and wanted != [CPU]:
            placement.cache.mkdir(parents=True, exist_ok=True)
        told = [
            provider_options(one, placement.device, placement.precision, threads, placement.cache) for one in wanted
        ]
        self._failures = _runtime_errors()
        self._session = _built(model, options, wanted, told, title)
        self.outdated = False
        self.provider: str = self._session.get_providers()[0]
        if placement.device != "auto" and self.provider != wanted[0]:
            raise DeviceUnavailable
        (entry,) = self._session.get_inputs()
        # The input's extents; 0 where one is left open.
        self.extents = [extent if isinstance(extent, int) else 0 for extent in entry.shape]
        self._dtype = _TYPES.get(entry.type, _FLOAT32)
        self._follows_input = {
            one.name
            for one in self._session.get_outputs()
            if all(isinstance(extent, int) or (extent is not None and extent in entry.shape) for extent in one.shape)
        }
        self._known: dict[tuple[int, ...], dict[str, tuple[tuple[int, ...], np.dtype[Any]]]] = {}
        self._most = 0  # of a batch, since a larger one did not fit into memory; 0: none has failed

    def run(self, entry: str, batch: Array, outputs: Sequence[str]) -> list[Array]:
        """The outputs of these names for a batch, each in an array of its own.

        A batch that does not fit into memory is given in halves, and so are those after it.

        Raises:
            OutOfMemory, DeviceFull: what cannot be halved any more does not fit either.
            PredictionFailed: the runtime could not do it.
            VaryingOutput: an output is not as large as it was for other values.
        """
        given = np.ascontiguousarray(batch, self._dtype)
        most = min(self._most or len(given), len(given))
        while True:
            try:
                return self._in_parts(entry, given, outputs, most)
            except self._failures as error:
                failure = _failure(error, self.provider)
            if not isinstance(failure, OutOfMemory | DeviceFull) or most == 1 or self.extents[0]:
                raise failure
            self._most = most = (most + 1) // 2

    def _in_parts(self, entry: str, given: Array, outputs: Sequence[str], most: int) -> list[Array]:
        if len(given) <= most:
            return self._bound(entry, given, outputs)
        parts = [self._bound(entry, given[start : start + most], outputs) for start in range(0, len(given), most)]
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _bound(self, entry: str, given: Array, outputs: Sequence[str]) -> list[Array]:
        binding = self._session.io_binding()
        binding.bind_cpu_input(entry, given)
        known = self._known.get(given.shape, {})
        arrays = {name: np.empty(*known[name]) for name in outputs if name in known}
        for name in outputs:
            if name in arrays:
                array = arrays[name]
                binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            else:
                binding.bind_output(name, "cpu")
        try:
            self._session.run_with_iobinding(binding)
        except self._failures as error:
            if arrays and _OF_ANOTHER_SIZE in str(error):
                raise VaryingOutput from None
            raise
        if len(arrays) < len(outputs):
            arrays = dict(zip(outputs, binding.copy_outputs_to_cpu(), strict=True))
            self._known = {given.shape: {name: _kind(arrays[name]) for name in self._follows_input & arrays.keys()}}
        return [arrays[name] for name in outputs]


def _load_gpu_libraries() -> None:
    """Load CUDA and cuDNN from the packages that come with ``overread[gpu]``, where no loader looks for them.

    What is missing is printed by the runtime, for a person at a prompt; here the provider's failure says it.
    """
    import onnxruntime

    with redirect_stdout(io.StringIO()):
        onnxruntime.preload_dlls()


def _built(
    model: bytes, options: object, providers: Sequence[str], told: Sequence[Options], title: str
) -> "InferenceSession":
    """A session of the runtime, never quietly on another device because the first one was full.

    Where a provider fails for another reason the CPU is tried, which tells a driver from a network that is none.
    """
    import onnxruntime

    try:
        # Its own fallback would also forget what the provider was told of precision.
        return onnxruntime.InferenceSession(
            model, options, providers=providers, provider_options=told, enable_fallback=0
        )
    except _runtime_errors() as error:
        if _lacks_memory(error):
            raise _no_room(title, error, providers[0]) from None
        if providers[0] == CPU:
            raise InvalidAlgorithm(
                f"ONNX Runtime does not accept the network of {title} ({type(error).__name__}); export it again."
            ) from None
    return _built(model, options, [CPU], [{}], title)


def _no_room(title: str, error: Exception, provider: str) -> PredictionFailed:
    if _is_of_device(error, provider):
        return DeviceFull(
            f"{title} cannot be loaded into what memory {provider} has left; free memory of the device, or set "
            '[worker] when_device_full = "cpu".'
        )
    return OutOfMemory(
        f"{title} cannot be loaded into the memory that it may have ({type(error).__name__}); raise [worker] "
        "memory_gib."
    )


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(said in str(error).lower() for said in _NO_MEMORY)


def _is_of_device(error: Exception, provider: str) -> bool:
    """Whether it is the device's memory that is spent, of what lacks memory."""
    said = str(error).lower()
    return provider in ON_GPU and not isinstance(error, MemoryError) and not any(w in said for w in _NO_MAIN_MEMORY)


def _kind(array: Array) -> tuple[tuple[int, ...], np.dtype[Any]]:
    return array.shape, array.dtype


def _failure(error: Exception, provider: str) -> PredictionFailed:
    """The failure by its kind; the runtime has one class for many kinds, so its words decide too."""
    kind, words = type(error).__name__, str(error)
    # With bound arrays the class is always RuntimeError, and the kind stands in the words.
    if kind in ("InvalidArgument", "InvalidGraph", "NotImplemented", "ValueError") or "for input" in words:
        return PredictionFailed(
            f"ONNX Runtime rejects what the network is given ({kind}{_at_node(words)}); compare its input with the "
            "manifest."
        )
    if _lacks_memory(error) and _is_of_device(error, provider):
        return DeviceFull(
            f"The network asks for more memory than {provider} has left, even with the smallest batch; free memory of "
            'the device, use smaller windows, or set [worker] when_device_full = "cpu".'
        )
    if _lacks_memory(error):
        return OutOfMemory(
            f"The network asks for more memory than it may have ({kind}{_at_node(words)}); raise [worker] "
            "memory_gib or use smaller windows."
        )
    return PredictionFailed(
        f"ONNX Runtime failed while running the network ({kind}{_at_node(words)}); check the exported network and the "
        "device's driver."
    )


def _at_node(words: str) -> str:
    """Where in the network it failed, as its file names the place."""
    found = _NODE.search(words)
    return f" at the {found[1]} node{f' {found[2]}' if found[2] else ''}" if found else ""


def _runtime_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    named = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*named, RuntimeError, ValueError, MemoryError)
