"""The disk of the data folder full under load: refused with 0xA700, nothing lost, and on again when there is room."""

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial

from overread.torture.instances import CT
from overread.torture.ledger import SUCCESS, Ledger
from overread.torture.load import Load
from overread.torture.outcome import Outcome
from overread.torture.shim import Shim
from overread.torture.stand import Stand

_OUT_OF_RESOURCES = 0xA700
_REFUSALS = 5
_SMALL, _LARGE = 24 * 2**20, 2**30


def full_disk(rounds: int, source: random.Random) -> Outcome:
    """Fill a small file system, wait for refusals, make it larger, and let the senders end what they owe."""
    where = "a small file system" if _may_mount() else "a cap on what is written, as this account may not mount"
    outcome = Outcome("disk", f"{rounds} full disks ({where})")
    for _ in range(rounds):
        with Stand("disk") as stand, Ledger(stand.ledger_path) as ledger, _small_disk(stand) as grow:
            stand.start_listener()
            with Load(stand.port, ledger, source, mix=(CT,), instances=10) as load:
                stand.wait_until(partial(_is_refused, load), "instances are refused")
                grow()
                load.wait_for_more(_REFUSALS, stand)
                load.finish()
            for status in set(load.statuses) - {SUCCESS, _OUT_OF_RESOURCES}:
                told = "no answer" if status is None else f"status 0x{status:04X}"
                outcome.fault(f"A full disk was answered with {told} {load.statuses[status]} times.", stand)
            stand.wait_until_imported()
            outcome.judge(stand)
            stand.stop_listener()
    return outcome


def _is_refused(load: Load) -> bool:
    return sum(count for status, count in load.statuses.items() if status != SUCCESS) >= _REFUSALS


def _may_mount() -> bool:
    trial = ["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return os.geteuid() == 0 and subprocess.run([_program("unshare"), *trial], capture_output=True).returncode == 0


def _program(name: str) -> str:
    return shutil.which(name) or name


@contextlib.contextmanager
def _small_disk(stand: Stand) -> Iterator[Callable[[], None]]:
    """Give the stand a disk of a few MiB, and a way to make it larger."""
    if not _may_mount():
        shim = Shim(stand.folder)
        stand.extra_environment = shim.environment(stand.disk)
        shim.set(space=_SMALL)
        yield shim.set
        return

    def mount(size: int, *options: str) -> None:
        settings = ",".join((f"size={size}", "mode=711", *options))
        subprocess.run(
            [_program("mount"), "-t", "tmpfs", "-o", settings, "overread-torture", str(stand.disk)], check=True
        )

    mount(_SMALL)
    try:
        yield lambda: mount(_LARGE, "remount")
    finally:
        stand.kill_all()
        subprocess.run([_program("umount"), str(stand.disk)], check=True)
