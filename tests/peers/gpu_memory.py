"""The memory of the first NVIDIA GPU, asked of its driver: how much is free, and taking nearly all of it."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_BLOCK = 2**28


class _Driver:
    """CUDA's driver interface, in the device's primary context, which the runtime uses too."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._call("cuCtxSetCurrent", context)

    def free_bytes(self) -> int:
        """What no process of the machine holds."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value

    def take(self, size: int) -> ctypes.c_uint64:
        """A block of the device's memory."""
        block = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(block), ctypes.c_size_t(size))
        return block

    def give_back(self, block: ctypes.c_uint64) -> None:
        """The end of a block."""
        self._call("cuMemFree_v2", block)

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        assert status == 0, f"{name} answers {status}"


def free_bytes() -> int:
    """What no process of the machine holds of the GPU's memory."""
    return _Driver().free_bytes()


@contextmanager
def all_taken_but(left: int) -> Iterator[None]:
    """Hold the GPU's memory, but for about so many bytes."""
    driver = _Driver()
    blocks = []
    try:
        while (more := driver.free_bytes() - left) > _BLOCK // 16:
            blocks.append(driver.take(min(more, 16 * _BLOCK)))
        yield
    finally:
        for block in blocks:
            driver.give_back(block)
