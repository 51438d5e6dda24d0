"""Several processes on one data folder agree on one secret, and nobody else reads what they keep."""

import multiprocessing
import os
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from storage.objects.layout import DataFolder
from storage.objects.site_secret import site_secret

_PROCESSES = 8


def _answer(root: Path, umask: int, barrier: Barrier, answers: "multiprocessing.Queue[bytes]") -> None:
    os.umask(umask)
    barrier.wait(60)
    answers.put(site_secret(DataFolder(root)))


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_processes_that_start_at_once_agree(tmp_path: Path, umask: int) -> None:
    """Of eight roles that start on an empty folder at the same moment all read the same secret, whatever the umask;
    folders and files are closed to other accounts, and no draft is left."""
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(_PROCESSES), context.Queue()
    root = tmp_path / "data"
    processes = [context.Process(target=_answer, args=(root, umask, barrier, answers)) for _ in range(_PROCESSES)]
    for process in processes:
        process.start()
    secrets = {answers.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)

    assert len(secrets) == 1
    assert len(secrets.pop()) == 32
    assert [path.name for path in root.glob("site-secret*")] == ["site-secret"]
    assert {path.name for path in [root, *root.rglob("*")] if path.stat().st_mode & 0o077} == set()
