"""The supervisor with small programs in the roles' places."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from overread.errors import RoleFailed
from overread.supervisor import Supervisor, stop_on_signals

_SIGN_AND_WAIT = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(60)"
_SUPERVISE_AND_WAIT = """
import os, sys, threading
from overread.supervisor import Supervisor
Supervisor(os.environ, {"role": [sys.executable, "-c", sys.argv[1], sys.argv[2]]}).run(threading.Event())
"""
_DEADLINE = 20.0


@contextmanager
def _running(supervisor: Supervisor) -> Iterator[threading.Thread]:
    stop, started = threading.Event(), threading.Event()
    thread = threading.Thread(target=supervisor.run, args=(stop, started.set))
    thread.start()
    try:
        assert started.wait(_DEADLINE)
        yield thread
    finally:
        stop.set()
        thread.join(_DEADLINE)


def _signatures(path: Path, count: int) -> list[int]:
    """The process ids written so far, once there are ``count``."""
    pause = threading.Event()
    for _ in range(int(_DEADLINE / 0.05)):
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= count:
            return [int(line) for line in lines]
        pause.wait(0.05)
    raise AssertionError(f"only {lines} of {count} signatures were written")


def test_a_role_that_is_killed_starts_again(tmp_path: Path) -> None:
    """SIGKILL of a role is followed by a new process of the same role."""
    signed = tmp_path / "signed"
    command = [sys.executable, "-c", _SIGN_AND_WAIT, str(signed)]

    with _running(Supervisor(os.environ, {"role": command})):
        (first,) = _signatures(signed, 1)
        os.kill(first, signal.SIGKILL)
        second = _signatures(signed, 2)[1]

    assert second != first


def test_stopping_ends_every_role(tmp_path: Path) -> None:
    """When the supervisor returns, no role is left running."""
    signed = tmp_path / "signed"
    command = [sys.executable, "-c", _SIGN_AND_WAIT, str(signed)]

    with _running(Supervisor(os.environ, {"one": command, "two": command})):
        roles = _signatures(signed, 2)

    assert [role for role in roles if _is_alive(role)] == []


def test_a_role_that_cannot_start_stops_everything(tmp_path: Path) -> None:
    """A wrong setting is told once and does not turn into a loop of restarts."""
    signed = tmp_path / "signed"
    commands = {
        "good": [sys.executable, "-c", _SIGN_AND_WAIT, str(signed)],
        "bad": [sys.executable, "-c", "raise SystemExit(1)"],
    }

    with pytest.raises(RoleFailed, match="bad"):
        Supervisor(os.environ, commands).run(threading.Event())

    roles = signed.read_text().split() if signed.exists() else []
    assert [role for role in roles if _is_alive(int(role))] == []


def test_the_roles_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL of `overread up` leaves no role behind that would hold the port or the jobs."""
    signed = tmp_path / "signed"
    supervisor = subprocess.Popen([sys.executable, "-c", _SUPERVISE_AND_WAIT, _SIGN_AND_WAIT, str(signed)])
    (role,) = _signatures(signed, 1)
    supervisor.kill()
    supervisor.wait()

    pause = threading.Event()
    for _ in range(int(_DEADLINE / 0.05)):
        if not _is_alive(role):
            return
        pause.wait(0.05)
    raise AssertionError("the role outlived its supervisor")


@pytest.mark.parametrize("ignored", [False, True], ids=["terminal", "nohup"])
def test_a_terminal_that_is_closed_stops_in_order_and_nohup_goes_on(ignored: bool) -> None:
    """SIGHUP stops the roles before their database, unless it was to be ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    stop = threading.Event()
    try:
        with stop_on_signals(stop):
            if ignored:
                assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            else:
                signal.raise_signal(signal.SIGHUP)
        assert stop.is_set() is not ignored
    finally:
        signal.signal(signal.SIGHUP, before)


def _is_alive(process_id: int) -> bool:
    """Whether the process runs; one that has ended but is not yet collected does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
