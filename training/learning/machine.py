"""The machine that learns: its threads, its seeds, and what was installed on it."""

import os
import platform
from importlib.metadata import version

import numpy as np
import torch

_PACKAGES = ("overread", "torch", "monai", "numpy", "opencv-python-headless", "pandas", "scipy", "pillow")


def prepare_machine(seed: int, threads: int) -> int:
    """Seed everything, forbid operations whose result varies, and return the number of threads in use."""
    wanted = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(wanted)
    torch.manual_seed(seed)
    np.random.seed(seed)
    torch.use_deterministic_algorithms(True)
    return wanted


def versions() -> dict[str, str]:
    """What the result depends on beside configuration and data."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
