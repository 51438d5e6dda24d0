"""DCMTK's storescu as a sender that shares no code with ours."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

Storescu = Callable[..., subprocess.CompletedProcess[str]]


def run_storescu(
    port: int,
    paths: Sequence[Path],
    *,
    called_ae_title: str = "OVERREAD",
    calling_ae_title: str = "STORESCU",
    options: Sequence[str] = ("-R",),
    seconds: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Send the files to 127.0.0.1 and return what storescu said; ``-R`` proposes only what is sent."""
    command = ["storescu", "-v", *options, "-aet", calling_ae_title, "-aec", called_ae_title, "127.0.0.1", str(port)]
    return subprocess.run(
        [*command, *map(str, paths)], capture_output=True, text=True, timeout=seconds, check=False, errors="replace"
    )


@pytest.fixture
def storescu() -> Storescu:
    """Run DCMTK's storescu: ``storescu(port, [path, …], called_ae_title="OVERREAD")``."""
    return run_storescu
